//! The funnel: how many people remain after each stage, and why the others left.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::statement::{self, Statement};
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};
use crate::source::Snapshot;

/// From everyone considered to those in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Funnel {
    /// Who is considered, in words.
    pub base: String,
    /// How many people are considered.
    pub considered: u64,
    /// The stages in order.
    pub stages: Vec<StageCount>,
    /// People who pass every stage.
    pub passed: u64,
    /// Of these, people who belong to no file.
    pub in_no_file: u64,
    /// People who are in at least one file.
    pub in_a_file: u64,
    /// Rows of all files; more than `in_a_file` where a user is in two.
    pub rows: u64,
    /// Rows that the files hold: fewer than `rows` under `--limit`, and otherwise the same.
    #[serde(default)]
    pub written: Option<u64>,
}

/// What is shown of a funnel: the base, each stage, and the files. The last line is the sum of the files' rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunnelLine {
    /// What holds of those who are counted.
    pub name: String,
    /// How many they are.
    pub count: u64,
    /// How many fewer than on the line before.
    pub left: u64,
    /// Why those left, or why there are more.
    pub because: String,
}

impl Funnel {
    /// Adds the rows that the files hold. Without a limit they are the rows of the last stage, in the same snapshot.
    pub(super) fn with_files(
        mut self,
        written: u64,
        limit: Option<u64>,
        definition: &Definition,
    ) -> Result<Self> {
        if limit.is_none() && written != self.rows {
            return Err(Error::new(
                ErrorKind::Failed,
                format!(
                    "the funnel of {} ends with {}, and its files hold {}",
                    definition.name,
                    counted(self.rows, "rows"),
                    counted(written, "rows")
                ),
            )
            .hint(format!("the query of {} gives another result each time: does it call random() or now()? Nothing was published", definition.origin)));
        }
        self.written = Some(written);
        Ok(self)
    }

    /// Returns the lines in order. Each counts people, but for those about rows, which are only there where rows are
    /// not people.
    pub fn lines(&self) -> Vec<FunnelLine> {
        let line = |name: &str, count, left, because: &str| FunnelLine {
            name: name.to_owned(),
            count,
            left,
            because: because.to_owned(),
        };
        let mut lines = vec![line(&self.base, self.considered, 0, "")];
        let stages = self.stages.iter();
        lines.extend(
            stages.map(|stage| line(&stage.name, stage.remain, stage.left, &stage.because)),
        );
        lines.push(line(
            "in a file",
            self.in_a_file,
            self.in_no_file,
            "in no file",
        ));
        if self.rows != self.in_a_file {
            let more = "rows: some people are in two files";
            lines.push(line("rows of the files", self.rows, 0, more));
        }
        if let Some(written) = self.written.filter(|written| *written != self.rows) {
            let left = self.rows.saturating_sub(written);
            lines.push(line("rows within --limit", written, left, "beyond --limit"));
        }
        lines
    }
}

/// One stage of a funnel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StageCount {
    /// What holds of those who stay.
    pub name: String,
    /// Why the others left, in words.
    pub because: String,
    /// How many left here.
    pub left: u64,
    /// How many remain.
    pub remain: u64,
}

/// Counts the funnel in the present snapshot.
pub async fn count(snapshot: &Snapshot, definition: &Definition) -> Result<Funnel> {
    let statement = statement::funnel(definition);
    let mut depths = Vec::new();
    for counts in numbers(snapshot, definition, &statement).await? {
        match counts.as_slice() {
            &[depth, people, rows] => {
                depths.push((usize::try_from(depth).unwrap_or(usize::MAX), people, rows));
            }
            _ => return Err(unexpected()),
        }
    }
    Ok(assemble(definition, &depths))
}

async fn numbers(
    snapshot: &Snapshot,
    definition: &Definition,
    statement: &Statement,
) -> Result<Vec<Vec<u64>>> {
    let rows = snapshot
        .query(&statement.text)
        .await
        .map_err(|error| super::located(definition, statement, error))?
        .rows;
    let number = |value: &Option<String>| value.as_ref()?.parse().ok();
    rows.iter()
        .map(|row| {
            row.iter()
                .map(number)
                .collect::<Option<Vec<u64>>>()
                .ok_or_else(unexpected)
        })
        .collect()
}

fn unexpected() -> Error {
    Error::new(
        ErrorKind::Bug,
        "the funnel query returned a row that is not a count",
    )
}

/// Makes the funnel from `(stages passed, people, rows)`.
fn assemble(definition: &Definition, depths: &[(usize, u64, u64)]) -> Funnel {
    let at = |depth: usize| {
        depths
            .iter()
            .find(|(d, ..)| *d == depth)
            .map_or((0, 0), |(_, people, rows)| (*people, *rows))
    };
    let declared = &definition.header.stages;
    let considered = depths.iter().map(|(_, people, _)| people).sum();
    let mut remain: u64 = considered;
    let stages = declared.iter().enumerate().map(|(index, stage)| {
        let left = at(index).0;
        remain -= left;
        StageCount {
            name: stage.name.clone(),
            because: stage.left.clone(),
            left,
            remain,
        }
    });
    let stages = stages.collect();
    let (in_a_file, rows) = at(declared.len() + 1);
    Funnel {
        base: definition.header.base.clone(),
        considered,
        stages,
        passed: remain,
        in_no_file: at(declared.len()).0,
        in_a_file,
        rows,
        written: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_left_and_who_remains_add_up() {
        let definition = super::super::catalogue::Catalogue::built_in()
            .get("layer2")
            .unwrap();
        let last = definition.header.stages.len();
        let funnel = assemble(
            &definition,
            &[(0, 5, 5), (1, 3, 3), (last, 2, 2), (last + 1, 10, 11)],
        );
        assert_eq!(funnel.considered, 20);
        assert_eq!((funnel.stages[0].left, funnel.stages[0].remain), (5, 15));
        assert_eq!(
            (
                funnel.passed,
                funnel.in_no_file,
                funnel.in_a_file,
                funnel.rows
            ),
            (12, 2, 10, 11)
        );
        let left: u64 = funnel.stages.iter().map(|stage| stage.left).sum();
        assert_eq!(left + funnel.passed, funnel.considered);
    }
}
