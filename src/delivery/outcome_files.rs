//! The files of a send, in the directory for outcomes. `RUN` is the run's id, with `.push-1` or `.test-1` for the pushes of
//! an automation:
//!
//! | name | what it holds |
//! | --- | --- |
//! | `RUN.outcomes.csv` | `user_id, outcome, code, message_name, attempts, ms`: a row for each row of the audience, and for each further device |
//! | `RUN.dead-tokens.csv` | `user_id, token` of every token that the service said is registered no more; mode 0600 |
//! | `RUN.dead-tokens.sql` | the statement that clears them, for the database's owner; mode 0600 |
//!
//! While a send goes on, dead tokens are appended to `.RUN.dead-tokens.partial`, a JSON array `[token, user]` a line, which
//! a run that goes on after a crash finds again; the files appear at the end, whole. A run that goes on after it was
//! stopped finds what it had found in its list.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dead_tokens::{DeadTokens, write_list, write_sql};
use crate::atomic_publish::{Rename, Staging};
use crate::csv_writer::cannot_write;
use crate::error::{Error, Kind, Result};
use crate::state::Store;
use crate::state::ledger::{LedgerPush, Recipient, UserKey};

const HEADER: [&str; 6] = [
    "user_id",
    "outcome",
    "code",
    "message_name",
    "attempts",
    "ms",
];

/// Where the files of a finished send are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OutcomeFiles {
    /// Outcomes, row by row.
    pub outcomes: PathBuf,
    /// Dead tokens, if there are any.
    pub dead_tokens: Option<PathBuf>,
    /// The statement that clears them.
    pub dead_tokens_sql: Option<PathBuf>,
}

/// Writes a finished send's files, all or none.
pub(super) async fn write(
    directory: &Path,
    stem: &str,
    (store, push): (&Store, &LedgerPush),
    repeated: &HashMap<UserKey, u64>,
    dead: DeadTokens,
) -> Result<OutcomeFiles> {
    let staging = Staging::open(directory, stem)?;
    let names = [
        format!("{stem}.outcomes.csv"),
        format!("{stem}.dead-tokens.csv"),
        format!("{stem}.dead-tokens.sql"),
    ];
    write_outcomes(staging.create("outcomes")?, (store, push), repeated).await?;
    let mut renames = vec![Rename {
        staged: "outcomes".to_owned(),
        name: names[0].clone(),
    }];
    let tokens = dead.read()?;
    let mut absent = Vec::new();
    if tokens.is_empty() {
        absent.extend(names[1..].iter().cloned());
    } else {
        write_list(staging.create("list")?, &tokens)?;
        write_sql(staging.create("sql")?, stem, &tokens)?;
        for (staged, name) in [("list", &names[1]), ("sql", &names[2])] {
            let (staged, name) = (staged.to_owned(), name.clone());
            renames.push(Rename { staged, name });
        }
    }
    let lock = staging.lock_output()?;
    staging.publish_files(&lock, &renames, &absent)?;
    dead.forget();
    let dead_file = |name: &String| (!tokens.is_empty()).then(|| directory.join(name));
    Ok(OutcomeFiles {
        outcomes: directory.join(&names[0]),
        dead_tokens: dead_file(&names[1]),
        dead_tokens_sql: dead_file(&names[2]),
    })
}

async fn write_outcomes(
    (file, path): (File, PathBuf),
    (store, push): (&Store, &LedgerPush),
    repeated: &HashMap<UserKey, u64>,
) -> Result<()> {
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => cannot_write(&path, error),
        other => Error::new(Kind::Failed, format!("{other:?}")),
    };
    let mut out = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(file);
    out.write_record(HEADER).map_err(failed)?;
    store
        .each_recipient(push, |recipient| {
            out.write_record(record(recipient)).map_err(failed)
        })
        .await?;
    for (user, count) in repeated {
        for _ in 0..*count {
            let user = user.to_string();
            out.write_record([&user, "skipped", "repeated", "", "0", "0"])
                .map_err(failed)?;
        }
    }
    let file = out
        .into_inner()
        .map_err(|error| cannot_write(&path, error.into_error()))?;
    file.sync_all().map_err(|error| cannot_write(&path, error))
}

fn record(recipient: &Recipient) -> [String; 6] {
    [
        recipient.user.to_string(),
        recipient.standing.as_str().to_owned(),
        recipient.code.clone().unwrap_or_default(),
        recipient.message_name.clone().unwrap_or_default(),
        recipient.attempts.to_string(),
        recipient.elapsed.as_millis().to_string(),
    ]
}
