//! The files of a send, in the directory for outcomes. `RUN` is the run's id, with `.push-1` or `.test-1` for the
//! pushes of an automation:
//!
//! | name | content |
//! | --- | --- |
//! | `RUN.outcomes.csv` | `user_id, outcome, code, message_name, attempts, ms`: a row for each row of the audience, and for each further device; with variants also `variant` |
//! | `RUN.dead-tokens.csv` | `user_id, token` of every dead token: the push service reports it as unregistered; mode 0600 |
//! | `RUN.dead-tokens.sql` | the statement that clears them, for the database's owner; mode 0600 |
//! | `RUN.invalid-tokens.csv` | `user_id, token` of every token that the push service rejects as malformed; mode 0600 |
//!
//! The ledger comes first: it is complete also if a file cannot be written, and [`rewrite`] writes the file later. A
//! dead token of which only the hash is known is in the SQL file by its hash, and not in the list.
//!
//! While a send goes on, dead tokens are appended to `.RUN.dead-tokens.partial`, a JSON array `[token, user]` a line,
//! which a run resumed after a crash reads; the files appear at the end, complete. A run resumed after a stop reads its
//! list.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::groups::VariantSplit;
use super::summary::VariantOutcome;
use super::token_lists::{ListKind, TokenLists, write_list, write_sql};
use super::{TEST_SUFFIX, file_stem};
use crate::atomic_publish::{Rename, Staging};
use crate::csv_writer::cannot_write;
use crate::error::{Error, ErrorKind, Result};
use crate::state::ledger::{Ending, LedgerPush, Recipient, Standing, TokenHash, UserKey};
use crate::state::{Run, RunStatus, Store};

/// The end of the names of outcome files.
pub(super) const OUTCOMES: &str = ".outcomes.csv";
/// The ends of the names of all files.
pub(crate) const ENDINGS: [&str; 4] = [
    OUTCOMES,
    ListKind::Dead.list(),
    ".dead-tokens.sql",
    ListKind::Invalid.list(),
];
/// The maximum of test pushes of an occurrence.
const TESTS: u32 = 20;

/// The last column is there if the push has variants.
const HEADER: [&str; 7] = [
    "user_id",
    "outcome",
    "code",
    "message_name",
    "attempts",
    "ms",
    "variant",
];

/// The paths of the files of a finished send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OutcomeFiles {
    /// Outcomes, row by row.
    pub outcomes: PathBuf,
    /// Dead tokens, if there are any.
    pub dead_tokens: Option<PathBuf>,
    /// The statement that clears them in the source.
    pub dead_tokens_sql: Option<PathBuf>,
    /// Tokens that the push service rejected as malformed, if there are any.
    #[serde(default)]
    pub invalid_tokens: Option<PathBuf>,
}

/// Written files.
#[derive(Debug)]
pub struct WrittenFiles {
    /// The paths.
    pub files: OutcomeFiles,
    /// Dead tokens that are in the SQL file by their hash only.
    pub by_hash: u64,
    /// The outcomes of each variant.
    pub variants: Vec<VariantOutcome>,
}

/// Writes a finished send's files, all or none.
pub(super) async fn write(
    directory: &Path,
    stem: &str,
    (store, push, split): (&Store, &LedgerPush, &VariantSplit),
    repeated: &HashMap<UserKey, u64>,
    lists: &TokenLists,
) -> Result<WrittenFiles> {
    let staging = Staging::open(directory, stem)?;
    let names = names(stem);
    let (mut by_hash, variants) =
        write_outcomes(staging.create("outcomes")?, (store, push, split), repeated).await?;
    let mut renames = vec![Rename {
        staged: "outcomes".to_owned(),
        name: names[0].clone(),
    }];
    let tokens = lists.dead.read()?;
    let invalid = lists.invalid.read()?;
    let known = tokens
        .iter()
        .map(|(user, token)| (user, TokenHash::of(token)));
    for (user, hash) in known {
        by_hash.remove(&(user.clone(), hash));
    }
    let mut absent = Vec::new();
    let mut add = |is_there: bool, staged: &str, name: &String| {
        if is_there {
            let (staged, name) = (staged.to_owned(), name.clone());
            renames.push(Rename { staged, name });
        } else {
            absent.push(name.clone());
        }
        is_there.then(|| directory.join(name))
    };
    let dead_tokens = add(!tokens.is_empty(), "list", &names[1]);
    let invalid_tokens = add(!invalid.is_empty(), "invalid", &names[3]);
    let is_any_dead = !(tokens.is_empty() && by_hash.is_empty());
    let dead_tokens_sql = add(is_any_dead, "sql", &names[2]);
    if dead_tokens.is_some() {
        write_list(staging.create("list")?, &tokens)?;
    }
    if invalid_tokens.is_some() {
        write_list(staging.create("invalid")?, &invalid)?;
    }
    if is_any_dead {
        write_sql(staging.create("sql")?, stem, &tokens, &by_hash)?;
    }
    let lock = staging.lock_output()?;
    staging.publish_files(&lock, &renames, &absent)?;
    Ok(WrittenFiles {
        files: OutcomeFiles {
            outcomes: directory.join(&names[0]),
            dead_tokens,
            dead_tokens_sql,
            invalid_tokens,
        },
        by_hash: by_hash.len() as u64,
        variants,
    })
}

fn names(stem: &str) -> [String; 4] {
    ENDINGS.map(|ending| format!("{stem}{ending}"))
}

/// Returns the error about missing files of a send, and how to write them.
pub(super) fn missing_files_error(error: &Error, directory: &Path, stem: &str, run: &str) -> Error {
    let path = directory.join(&names(stem)[0]);
    // A state store that went away is no fault of the directory.
    let kind = match error.kind() {
        ErrorKind::Unreachable => ErrorKind::Unreachable,
        _ => ErrorKind::Failed,
    };
    Error::new(kind, format!("{error:#}"))
        .context(format!(
            "cannot write {} and the lists of dead tokens beside it; the outcome of each recipient is in the state store",
            path.display()
        ))
        .hint(format!(
            "`pushctl runs files {run}` writes them once that is fixed"
        ))
}

/// Writes the files of a finished run again from the ledger, push by push. Repeated rows are not in them; dead tokens
/// are listed as far as their text is in the directory.
///
/// # Errors
/// The run is open, or has sent nothing; or a file cannot be written.
pub async fn rewrite(directory: &Path, store: &Store, run: &Run) -> Result<Vec<WrittenFiles>> {
    if run.status == RunStatus::Open {
        return Err(
            Error::usage(format!("run {} is still open", run.id)).hint(format!(
                "`pushctl resume {}` finishes it, and writes its files at the end",
                run.id
            )),
        );
    }
    let mut written = Vec::new();
    for (stem, (push, lists)) in pushes_of(directory, store, run).await? {
        let split = VariantSplit::recorded(run, push.number);
        let push = (store, &push, &split);
        let files = write(directory, &stem, push, &HashMap::new(), &lists).await?;
        lists.forget();
        written.push(files);
    }
    if written.is_empty() {
        return Err(Error::usage(format!(
            "run {} has sent nothing, so it has no outcomes",
            run.id
        )));
    }
    Ok(written)
}

/// Returns the occurrences that test pushes of a run may have.
pub(crate) fn test_occurrences(run: &Run) -> impl Iterator<Item = String> {
    (1..=TESTS).map(|nth| match nth {
        1 => format!("{}{TEST_SUFFIX}", run.occurrence),
        nth => format!("{}#{nth}{TEST_SUFFIX}", run.occurrence),
    })
}

/// Returns the pushes of a run, with test pushes, by the names of their files. The last of several tests has the name.
async fn pushes_of(
    directory: &Path,
    store: &Store,
    run: &Run,
) -> Result<BTreeMap<String, (LedgerPush, TokenLists)>> {
    let mut pushes = BTreeMap::new();
    for occurrence in std::iter::once(run.occurrence.clone()).chain(test_occurrences(run)) {
        for push in store.pushes(&run.automation, &occurrence).await? {
            let named = (run.automation.as_str(), occurrence.as_str(), push.number);
            let lists = TokenLists::of(directory, &file_stem(named, &run.id))
                .and_of(file_stem(named, &push.run));
            pushes.insert(file_stem(named, &run.id), (push, lists));
        }
    }
    Ok(pushes)
}

/// The recipients whose token is dead with its hash, and the outcomes of each variant.
type Found = (BTreeSet<(String, TokenHash)>, Vec<VariantOutcome>);

async fn write_outcomes(
    (file, path): (File, PathBuf),
    (store, push, split): (&Store, &LedgerPush, &VariantSplit),
    repeated: &HashMap<UserKey, u64>,
) -> Result<Found> {
    let mut dead = BTreeSet::new();
    let mut variants: Vec<VariantOutcome> = split.names().map(VariantOutcome::named).collect();
    let failed = |error: csv::Error| match error.into_kind() {
        csv::ErrorKind::Io(error) => cannot_write(&path, error),
        other => Error::new(ErrorKind::Failed, format!("{other:?}")),
    };
    let mut out = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .from_writer(file);
    let columns = HEADER.len() - usize::from(split.is_empty());
    out.write_record(&HEADER[..columns]).map_err(failed)?;
    store
        .each_recipient(push, |recipient| {
            let is_dead = recipient.standing == Standing::Ended(Ending::Dead);
            if let Some(hash) = recipient.token.filter(|_| is_dead) {
                dead.insert((recipient.user.to_string(), hash));
            }
            let is_held_out = recipient.code.as_deref() == Some("holdout");
            let variant = split.place(&recipient.user).filter(|_| !is_held_out);
            let variant = variant.and_then(|place| variants.get_mut(place));
            let name = variant.map(|variant| {
                variant.add(recipient);
                variant.name.clone()
            });
            let record = record(recipient, name.unwrap_or_default());
            out.write_record(&record[..columns]).map_err(failed)
        })
        .await?;
    for (user, count) in repeated {
        for _ in 0..*count {
            let user = user.to_string();
            let record = [&user, "skipped", "repeated", "", "0", "0", ""];
            out.write_record(&record[..columns]).map_err(failed)?;
        }
    }
    let file = out
        .into_inner()
        .map_err(|error| cannot_write(&path, error.into_error()))?;
    file.sync_all()
        .map_err(|error| cannot_write(&path, error))?;
    Ok((dead, variants))
}

fn record(recipient: &Recipient, variant: String) -> [String; 7] {
    [
        recipient.user.to_string(),
        recipient.standing.as_str().to_owned(),
        recipient.code.clone().unwrap_or_default(),
        recipient.message_name.clone().unwrap_or_default(),
        recipient.attempts.to_string(),
        recipient.elapsed.as_millis().to_string(),
        variant,
    ]
}
