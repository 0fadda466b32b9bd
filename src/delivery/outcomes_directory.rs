//! The checks of the outcomes directory before the first claim: it is writable, and the state store is not older than
//! the files in it.
//!
//! A store that was restored from an older copy, or a new one, does not know the earlier recipients, and would send to
//! them again. The outcome files show this. Every send writes a note to `.pushctl-store-ID`, one small file for each
//! state store that uses the directory:
//!
//! `{"run":RUN,"at":TIME,"sender":NUMBER}`
//!
//! `sender` is the number that the store gave to the send; a store gives each number once, and an older copy of it has
//! a lower one. A store that has no note here yet (it is new, was filled by an import, or the files were made before
//! there were notes) is compared with the newest run of any store that wrote here: it knows that run, or has opened a
//! push since then. So stores can share a directory, and old records and files can be removed.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::outcome_files::OUTCOMES;
use crate::csv_writer::cannot_write;
use crate::disk;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::state::Store;

const NOTE: &str = ".pushctl-store-";
/// The approximate size of a row of the outcome file, with its share of dead tokens.
const ROW: u64 = 160;
/// The minimum of free space: for the last answers and the lists of dead tokens.
pub(crate) const LEAST: u64 = 256 * 1024;

/// The note of a store's newest send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    run: String,
    at: Timestamp,
    /// The number that the store gave to the send.
    sender: i64,
}

/// The reason why outcome files cannot be written into a directory. It can be fixed, so a run that fails for it before
/// its first claim stays open.
#[derive(Debug)]
struct Unwritable {
    message: String,
    cause: Option<std::io::Error>,
}

impl fmt::Display for Unwritable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Unwritable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let cause = self.cause.as_ref()?;
        Some(cause)
    }
}

/// Returns whether a send ended before its first claim because it could not write outcome files.
pub(crate) fn is_unwritable(error: &Error) -> bool {
    error.find::<Unwritable>().is_some()
}

/// Refuses a directory in which outcome files for so many rows cannot be written.
pub(super) fn check_writable(directory: &Path, rows: u64) -> Result<()> {
    let failed = |error: std::io::Error| cannot_use(directory, error);
    std::fs::create_dir_all(directory).map_err(failed)?;
    disk::try_writing(directory).map_err(failed)?;
    let needed = LEAST + rows * ROW;
    match disk::room(directory) {
        Some(room) if room < needed => Err(unwritable(
            format!(
                "{} has {} free, and the outcome files of {rows} rows take about {}",
                directory.display(),
                disk::size(room),
                disk::size(needed)
            ),
            None,
        )
        .hint("nothing was sent; free some space, or choose another directory with --outcomes")),
        _ => Ok(()),
    }
}

fn cannot_use(directory: &Path, error: std::io::Error) -> Error {
    let mend = disk::remedy(&error);
    let message = format!("cannot write outcome files into {}", directory.display());
    unwritable(message, Some(error)).hint(format!(
        "nothing was sent; {mend}, or choose another directory with --outcomes"
    ))
}

fn unwritable(message: String, cause: Option<std::io::Error>) -> Error {
    Error::from_cause(ErrorKind::Failed, Unwritable { message, cause })
}

/// Refuses a store that is older than the files in the directory. Called before the send is enrolled in it.
pub(crate) async fn check_store(directory: &Path, store: &Store) -> Result<()> {
    let own = read(&note_path(directory, &store.identity().await?));
    if let Some(note) = own {
        if store.newest_sender().await? >= note.sender {
            return Ok(());
        }
        let why = format!(
            "run {} sent with it at {:.0}, and it has no record of that",
            note.run, note.at
        );
        return Err(too_old(directory, store, &note.run, &why).hint(
            "it was probably restored from a backup: restore a newer one, or recipients since then may get a push again",
        ));
    }
    let Some((run, at)) = newest_run(directory) else {
        return Ok(());
    };
    let is_known = store.run(&run).await?.is_some();
    if is_known
        || store
            .newest_push()
            .await?
            .is_some_and(|newest| newest >= at)
    {
        return Ok(());
    }
    let why = format!("it does not know run {run} of {at:.0}");
    Err(too_old(directory, store, &run, &why).hint(
        "check that it is the right store (--state, PUSHCTL_STATE_URL); a new store does not know earlier recipients. For an unrelated store, choose another directory with --outcomes",
    ))
}

fn too_old(directory: &Path, store: &Store, run: &str, why: &str) -> Error {
    let file = outcome_file(directory, run)
        .map(|path| format!(" ({})", path.display()))
        .unwrap_or_default();
    Error::new(
        ErrorKind::Refused,
        format!(
            "the state store {} is older than the outcome files in {}: {why}{file}",
            store.place(),
            directory.display()
        ),
    )
    .hint("--override state-store --reason TEXT sends with this store anyway")
}

/// Writes the note of a send durably. `anew`: also over the note of a later send.
pub(super) async fn note(
    directory: &Path,
    store: &Store,
    (run, sender, at): (&str, i64, Timestamp),
    anew: bool,
) -> Result<()> {
    let path = note_path(directory, &store.identity().await?);
    if !anew && read(&path).is_some_and(|note| note.sender > sender) {
        return Ok(());
    }
    let note = Note {
        run: run.to_owned(),
        at,
        sender,
    };
    let text =
        serde_json::to_vec(&note).kind(ErrorKind::Bug, || "a note cannot be written as JSON")?;
    let failed = |error| cannot_write(&path, error);
    let mut file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    file.write_all(&text)
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    file.persist(&path).map_err(|error| failed(error.error))?;
    std::fs::File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

fn note_path(directory: &Path, identity: &str) -> PathBuf {
    directory.join(format!("{NOTE}{identity}"))
}

fn read(path: &Path) -> Option<Note> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// Returns the newest run that wrote into the directory, and its time, by notes and names of outcome files.
fn newest_run(directory: &Path) -> Option<(String, Timestamp)> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let runs = entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        if name.starts_with(NOTE) {
            let note = read(&entry.path())?;
            return Some((note.run, note.at));
        }
        run_of(&name)
    });
    runs.max_by_key(|(_, at)| *at)
}

/// Returns the run of an outcome file, and when it began.
fn run_of(name: &str) -> Option<(String, Timestamp)> {
    if !name.ends_with(OUTCOMES) {
        return None;
    }
    let run = name.get(..36)?;
    let (seconds, nanoseconds) = Uuid::try_parse(run).ok()?.get_timestamp()?.to_unix();
    let at = Timestamp::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?).ok()?;
    Some((run.to_owned(), at))
}

fn outcome_file(directory: &Path, run: &str) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    let mut paths = entries.map(|entry| entry.path());
    paths.find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(run) && name.ends_with(OUTCOMES)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_outcome_file_gives_its_run_and_its_time() {
        let run = Uuid::now_v7();
        let (named, at) = run_of(&format!("{run}.push-1.outcomes.csv")).unwrap();
        assert_eq!(named, run.to_string());
        let age = Timestamp::now().duration_since(at);
        assert!(age.as_secs() < 60, "{age}");
        for other in ["run-1.outcomes.csv", "a.csv", "é.outcomes.csv"] {
            assert_eq!(run_of(other), None);
        }
        let list = format!("{run}.dead-tokens.csv");
        assert_eq!(run_of(&list), None);
    }
}
