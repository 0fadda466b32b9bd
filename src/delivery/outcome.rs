//! The files of a send, in the directory for outcomes:
//!
//! | name | what it holds |
//! | --- | --- |
//! | `RUN.outcomes.csv` | `user_id, outcome, code, message_name, attempts, ms`: a row for each row of the audience, and for each further device |
//! | `RUN.dead-tokens.csv` | `user_id, token` of every token that the service said is registered no more; mode 0600 |
//! | `RUN.dead-tokens.sql` | the statement that clears them, for the database's owner; mode 0600 |
//!
//! While a send goes on, dead tokens are appended to `.RUN.dead-tokens.partial`, which a run that goes on after a crash
//! finds again; the files appear at the end, whole.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::csv_file::cannot_write;
use crate::error::{Context as _, Error, Kind, Result};
use crate::publish::{Rename, Staging};
use crate::state::Store;
use crate::state::ledger::{Ending, Push, Recipient, Standing, UserKey};

/// Recipients read from the ledger at once.
const PAGE: u32 = 2_000;
const HEADER: [&str; 6] = [
    "user_id",
    "outcome",
    "code",
    "message_name",
    "attempts",
    "ms",
];

/// Where the files of a finished send are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct Files {
    /// Outcomes, row by row.
    pub outcomes: PathBuf,
    /// Dead tokens, if there are any.
    pub dead_tokens: Option<PathBuf>,
    /// The statement that clears them.
    pub dead_tokens_sql: Option<PathBuf>,
}

/// The dead tokens of a run, appended as they are found.
pub(super) struct DeadTokens {
    path: PathBuf,
    file: Option<File>,
    pending: String,
}

impl DeadTokens {
    pub(super) fn of(directory: &Path, run: &str) -> Self {
        Self {
            path: directory.join(format!(".{run}.dead-tokens.partial")),
            file: None,
            pending: String::new(),
        }
    }

    /// Adds one; it is on the disk after [`DeadTokens::flush`].
    pub(super) fn add(&mut self, user: &UserKey, token: &str) {
        // Neither can hold a line break: the user's comes last because it may hold anything else.
        let user = user.to_string().replace(['\n', '\r'], " ");
        let _ = writeln!(self.pending, "{token}\t{user}");
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let failed = |error| cannot_write(&self.path, error);
        if self.file.is_none() {
            if let Some(directory) = self.path.parent() {
                std::fs::create_dir_all(directory).map_err(failed)?;
            }
            let mut options = OpenOptions::new();
            let file = options
                .create(true)
                .append(true)
                .mode(0o600)
                .open(&self.path);
            self.file = Some(file.map_err(failed)?);
        }
        if let Some(file) = &mut self.file {
            file.write_all(self.pending.as_bytes())
                .and_then(|()| file.sync_data())
                .map_err(failed)?;
        }
        self.pending.clear();
        Ok(())
    }

    /// Every complete line so far, each token once.
    fn read(&self) -> Result<BTreeSet<(String, String)>> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(BTreeSet::new());
            }
            Err(error) => return Err(cannot_write(&self.path, error)),
        };
        let mut found = BTreeSet::new();
        for line in BufReader::new(file).lines() {
            let line = line.kind(Kind::Failed, || {
                format!("cannot read {}", self.path.display())
            })?;
            if let Some((token, user)) = line.split_once('\t') {
                found.insert((user.to_owned(), token.to_owned()));
            }
        }
        Ok(found)
    }
}

/// Writes a finished send's files, all or none.
pub(super) async fn write(
    directory: &Path,
    run: &str,
    (store, push): (&Store, &Push),
    repeated: &HashMap<UserKey, u64>,
    dead: DeadTokens,
) -> Result<Files> {
    let staging = Staging::open(directory, run)?;
    let names = [
        format!("{run}.outcomes.csv"),
        format!("{run}.dead-tokens.csv"),
        format!("{run}.dead-tokens.sql"),
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
        write_sql(staging.create("sql")?, run, &tokens)?;
        for (staged, name) in [("list", &names[1]), ("sql", &names[2])] {
            let (staged, name) = (staged.to_owned(), name.clone());
            renames.push(Rename { staged, name });
        }
    }
    let lock = staging.lock_output()?;
    staging.publish_files(&lock, &renames, &absent)?;
    if !tokens.is_empty() {
        let _ = std::fs::remove_file(&dead.path);
    }
    let dead_file = |name: &String| (!tokens.is_empty()).then(|| directory.join(name));
    Ok(Files {
        outcomes: directory.join(&names[0]),
        dead_tokens: dead_file(&names[1]),
        dead_tokens_sql: dead_file(&names[2]),
    })
}

async fn write_outcomes(
    (file, path): (File, PathBuf),
    (store, push): (&Store, &Push),
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
    let mut after = 0;
    loop {
        let page = store.recipients(push, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.claim;
        for recipient in &page {
            out.write_record(record(recipient)).map_err(failed)?;
        }
    }
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
        word(recipient.standing).to_owned(),
        recipient.code.clone().unwrap_or_default(),
        recipient.message_name.clone().unwrap_or_default(),
        recipient.attempts.to_string(),
        recipient.elapsed.as_millis().to_string(),
    ]
}

/// How files and sums call where somebody stands.
pub(super) fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Queued => "queued",
        Standing::Unanswered => "under_way",
        Standing::Ended(Ending::Accepted) => "accepted",
        Standing::Ended(Ending::Failed) => "failed",
        Standing::Ended(Ending::Dead) => "dead",
        Standing::Ended(Ending::Skipped) => "skipped",
        Standing::Ended(Ending::Cancelled) => "cancelled",
        Standing::Ended(Ending::InDoubt) => "in_doubt",
    }
}

fn write_list((file, path): (File, PathBuf), tokens: &BTreeSet<(String, String)>) -> Result<()> {
    let failed = |error: std::io::Error| cannot_write(&path, error);
    let mut out = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(file);
    let lines = std::iter::once(("user_id", "token")).chain(
        tokens
            .iter()
            .map(|(user, token)| (user.as_str(), token.as_str())),
    );
    for (user, token) in lines {
        out.write_record([user, token])
            .map_err(|error| failed(error.into()))?;
    }
    let file = out
        .into_inner()
        .map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)
}

/// A token that was registered anew meanwhile would be another one: what is dead stays dead.
fn write_sql(
    (mut file, path): (File, PathBuf),
    run: &str,
    tokens: &BTreeSet<(String, String)>,
) -> Result<()> {
    let quoted: Vec<String> = tokens
        .iter()
        .map(|(_, token)| format!("  '{}'", token.replace('\'', "''")))
        .collect();
    let text = format!(
        "-- {} tokens that the push service said are registered no more, found by run {run}.\n\
         -- To be run by the owner of the source database; pushctl writes nothing there.\n\
         UPDATE devices SET token = NULL, updated_at = now()\nWHERE token IN (\n{}\n);\n",
        tokens.len(),
        quoted.join(",\n")
    );
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| cannot_write(&path, error))
}
