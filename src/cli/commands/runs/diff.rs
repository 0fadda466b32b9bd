//! `pushctl runs diff`: compares the audience files of two runs.

use crate::exit::ExitStatus;
use std::fs::File;

use serde::Serialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::cli::context::CommandContext;
use crate::cli::{help, run_selector, services};
use crate::csv_diff::{self, Options};
use crate::csv_writer::hex;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::report::gather::{AudienceFile, audience_files};
use crate::report::number;
use crate::state::{Run, Store};
use crate::ui::{Alignment, Document, Table};

use super::STATUSES;

/// Compare the audience files of two runs: who was added, who was removed
///
/// Reads the audience files of both runs, which must still exist and be unchanged.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl runs diff 0198b2a4 last", "from the earlier run to the later one"),
        ("pushctl runs diff 0198b2a4 last --examples 20", "with more examples"),
    ]),
    after_help = help::statuses(&STATUSES),
)]
pub(crate) struct Args {
    /// Earlier run: its id or a prefix of it
    #[arg(value_name = "A")]
    a: String,
    /// Later run; `last` for the newest
    #[arg(value_name = "B")]
    b: String,
    /// Column that identifies a user
    #[arg(long, value_name = "COLUMN", default_value = "user_id")]
    key: String,
    /// Number of examples of each kind, per file
    #[arg(long, value_name = "N", default_value_t = 5)]
    examples: usize,
}

/// One audience file of both runs; `None` where a run does not have it.
#[derive(Debug, Serialize)]
struct Difference {
    file: String,
    rows_a: Option<u64>,
    rows_b: Option<u64>,
    /// In both.
    stayed: u64,
    /// Only in the second.
    came: u64,
    /// Only in the first.
    left: u64,
    came_examples: Vec<String>,
    left_examples: Vec<String>,
}

impl Args {
    pub(crate) async fn run(self, context: &CommandContext) -> Result<ExitStatus> {
        let store = services::store(context).await?;
        let a = run_selector::run(context, &store, &self.a).await?;
        let b = run_selector::run(context, &store, &self.b).await?;
        let pairs = pairs(files(&store, &a).await?, files(&store, &b).await?);
        let options = Options {
            key: vec![self.key],
            examples: self.examples,
            ..Options::default()
        };
        // Reading files holds up this thread, and the signals have another.
        let compared = tokio::task::spawn_blocking(move || {
            let each = pairs.into_iter();
            each.map(|(name, a, b)| difference(name, a, b, &options))
                .collect::<Result<Vec<_>>>()
        });
        let differences = compared
            .await
            .kind(ErrorKind::Bug, || "the comparison was not finished")??;
        match context.ui.document() {
            Document::Json => context
                .ui
                .json(&json!({ "a": a.id, "b": b.id, "files": differences }))?,
            Document::Text => print_result(context, &differences)?,
        }
        Ok(ExitStatus::Done)
    }
}

/// Returns the audience files of a run.
async fn files(store: &Store, run: &Run) -> Result<Vec<AudienceFile>> {
    let files = audience_files(run, &store.phases(&run.id).await?);
    if files.is_empty() {
        return Err(
            Error::usage(format!("run {} has no recorded audience files", run.id))
                .hint("it did not finish its generate phase"),
        );
    }
    Ok(files)
}

type Pair = (String, Option<AudienceFile>, Option<AudienceFile>);

/// Pairs files of the same stem; if each run has one file, those two.
fn pairs(a: Vec<AudienceFile>, mut b: Vec<AudienceFile>) -> Vec<Pair> {
    let alone = a.len() == 1 && b.len() == 1;
    let mut pairs: Vec<Pair> = Vec::new();
    for file in a {
        let same = b.iter().position(|other| alone || other.stem == file.stem);
        let other = same.map(|place| b.remove(place));
        pairs.push((file.stem.clone(), Some(file), other));
    }
    pairs.extend(
        b.into_iter()
            .map(|file| (file.stem.clone(), None, Some(file))),
    );
    pairs
}

fn difference(
    name: String,
    a: Option<AudienceFile>,
    b: Option<AudienceFile>,
    options: &Options,
) -> Result<Difference> {
    for file in [&a, &b].into_iter().flatten() {
        unchanged(file)?;
    }
    // A file is compared with itself to count its rows.
    let (first, second) = match (&a, &b) {
        (Some(a), Some(b)) => (&a.path, &b.path),
        (Some(only), None) | (None, Some(only)) => (&only.path, &only.path),
        (None, None) => {
            return Err(Error::new(
                ErrorKind::Bug,
                "a file of neither run was compared",
            ));
        }
    };
    let diff = csv_diff::diff(first, second, options)?;
    let both = a.is_some() && b.is_some();
    let first_of = |examples: Vec<Vec<String>>| {
        examples
            .into_iter()
            .map(|key| key.join(", "))
            .collect::<Vec<_>>()
    };
    Ok(Difference {
        file: name,
        rows_a: a.is_some().then_some(diff.a.rows),
        rows_b: b.is_some().then_some(diff.b.rows),
        stayed: if both { diff.same + diff.changed } else { 0 },
        came: if both {
            diff.added
        } else {
            b.map_or(0, |_| diff.b.rows)
        },
        left: if both {
            diff.removed
        } else {
            a.map_or(0, |_| diff.a.rows)
        },
        came_examples: first_of(diff.examples.added),
        left_examples: first_of(diff.examples.removed),
    })
}

fn unchanged(file: &AudienceFile) -> Result<()> {
    let path = file.path.display();
    let mut opened = File::open(&file.path)
        .kind(ErrorKind::Usage, || format!("cannot read {path}"))
        .map_err(|error| error.hint("audience files are deleted after their retention"))?;
    let Some(sha256) = &file.sha256 else {
        return Ok(());
    };
    let mut digest = Sha256::new();
    std::io::copy(&mut opened, &mut Hashing(&mut digest))
        .kind(ErrorKind::Failed, || format!("cannot read {path}"))?;
    if hex(&digest.finalize()) == *sha256 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Failed,
        format!("{path} has changed since the run"),
    ))
}

/// Hashes written bytes.
struct Hashing<'a>(&'a mut Sha256);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn print_result(context: &CommandContext, differences: &[Difference]) -> Result<()> {
    let mut table = Table::new(["FILE", "A", "B", "STAYED", "CAME", "LEFT"]);
    for column in 1..6 {
        table = table.align(column, Alignment::Right);
    }
    let rows = |rows: Option<u64>| rows.map_or_else(|| "–".to_owned(), number);
    for one in differences {
        table.row([
            one.file.clone(),
            rows(one.rows_a),
            rows(one.rows_b),
            number(one.stayed),
            number(one.came),
            number(one.left),
        ]);
    }
    context.ui.table(&table)?;
    for one in differences {
        name(context, &one.file, "came", &one.came_examples, one.came)?;
        name(context, &one.file, "left", &one.left_examples, one.left)?;
    }
    Ok(())
}

fn name(
    context: &CommandContext,
    file: &str,
    what: &str,
    examples: &[String],
    all: u64,
) -> Result<()> {
    if examples.is_empty() {
        return Ok(());
    }
    context.ui.print(format_args!("\n{file}: {what}"))?;
    for example in examples {
        let example = crate::snippet::visible(example);
        context.ui.print(format_args!("  {example}"))?;
    }
    match all.saturating_sub(examples.len() as u64) {
        0 => Ok(()),
        more => context
            .ui
            .print(format_args!("  … and {} more", number(more))),
    }
}
