//! Why a user is, or is not, in an audience: every condition, whether it holds, and the values it read.

use serde::Serialize;

use super::definition::Definition;
use super::parameters::{Values, fill};
use super::query_context::QueryContext;
use super::statement;
use crate::budget::Budget;
use crate::error::{Error, ErrorKind, Result};
use crate::source::{Snapshot, Source};

/// The verdict about one user.
#[derive(Debug, Clone, Serialize)]
pub struct Why {
    pub audience: String,
    pub user_id: String,
    /// The instant at which windows end.
    pub as_of: String,
    /// Whether the audience's query considers this user.
    pub considered: bool,
    /// The description of the users considered.
    pub base: String,
    /// The conditions in order.
    pub stages: Vec<Condition>,
    /// The stems of the user's files.
    pub files: Vec<String>,
}

/// One condition and its result.
#[derive(Debug, Clone, Serialize)]
pub struct Condition {
    pub name: String,
    pub holds: bool,
    /// The reason why users fail it.
    pub otherwise: String,
    /// The values it read.
    pub values: serde_json::Map<String, serde_json::Value>,
}

/// Connects and evaluates the conditions for one user; `user_id` is a UUID.
pub async fn ask(
    source: &Source,
    budget: &Budget,
    question: &QueryContext<'_>,
    user_id: &str,
) -> Result<Why> {
    source
        .read(
            budget,
            question.interrupt,
            question.watch,
            async |snapshot: &Snapshot| {
                let opened = question.open(snapshot, budget).await?;
                read(snapshot, question, &opened.as_of, user_id).await
            },
        )
        .await
}

async fn read(
    snapshot: &Snapshot,
    question: &QueryContext<'_>,
    as_of: &str,
    user_id: &str,
) -> Result<Why> {
    let definition = question.definition;
    snapshot
        .set_parameters(&[(statement::WHY_USER, user_id.to_owned())])
        .await?;
    let statement = statement::why(definition);
    let rows = snapshot
        .query(&statement.text)
        .await
        .map_err(|error| super::located(definition, &statement, error))?
        .rows;
    let mut why = Why {
        audience: definition.name.clone(),
        user_id: user_id.into(),
        as_of: as_of.into(),
        considered: !rows.is_empty(),
        base: definition.header.base.clone(),
        stages: Vec::new(),
        files: Vec::new(),
    };
    for row in &rows {
        add_row(&mut why, definition, question.values, row)?;
    }
    Ok(why)
}

/// Reads the stages of a user. There may be a row for each file: a stage holds if one of them says so.
fn add_row(
    why: &mut Why,
    definition: &Definition,
    values: &Values,
    row: &[Option<String>],
) -> Result<()> {
    let unexpected = || Error::new(ErrorKind::Bug, "unexpected format of the conditions");
    let (json, file) = (
        row.first().and_then(Option::as_deref),
        row.get(1).ok_or_else(unexpected)?,
    );
    let seen: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(json.ok_or_else(unexpected)?).map_err(|_| unexpected())?;
    let mut conditions = Vec::new();
    for (stage, holds) in definition.header.stages.iter().zip(&row[2..]) {
        let shown = stage.show.iter().map(|name| {
            let name = name.get_ref();
            (name.clone(), seen.get(name).cloned().unwrap_or_default())
        });
        conditions.push(Condition {
            name: stage.name.clone(),
            holds: holds.as_deref() == Some("t"),
            otherwise: stage.left.clone(),
            values: shown.collect(),
        });
    }
    let member = conditions.iter().all(|condition| condition.holds);
    if member && let Some(index) = file {
        let file = index
            .parse()
            .ok()
            .and_then(|index: usize| definition.header.files.get(index));
        let stem = fill(file.ok_or_else(unexpected)?.stem.get_ref(), values);
        if !why.files.contains(&stem) {
            why.files.push(stem);
        }
    }
    let further = |conditions: &[Condition]| {
        conditions
            .iter()
            .take_while(|condition| condition.holds)
            .count()
    };
    if why.stages.is_empty() || further(&conditions) > further(&why.stages) {
        why.stages = conditions;
    }
    Ok(())
}
