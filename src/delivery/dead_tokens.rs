//! The tokens that are registered no more: gathered while a send goes on, listed at its end.
//!
//! They are appended to `.RUN.dead-tokens.partial`, a JSON array `[token, user]` a line. A crash may tear the last line:
//! it is passed over, and what it held was not recorded yet.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::count::counted;
use crate::csv_writer::cannot_write;
use crate::error::{Context as _, Kind, Result};
use crate::state::ledger::UserKey;

/// The dead tokens of a run.
pub(super) struct DeadTokens {
    path: PathBuf,
    /// The list of an earlier part of the run.
    list: PathBuf,
    file: Option<File>,
    pending: Vec<u8>,
}

/// User and token, each pair once.
pub(super) type Dead = BTreeSet<(String, String)>;

impl DeadTokens {
    pub(super) fn of(directory: &Path, run: &str) -> Self {
        Self {
            path: directory.join(format!(".{run}.dead-tokens.partial")),
            list: directory.join(format!("{run}.dead-tokens.csv")),
            file: None,
            pending: Vec::new(),
        }
    }

    /// Adds one; it is on the disk after [`DeadTokens::flush`].
    pub(super) fn add(&mut self, user: &UserKey, token: &str) {
        let line = serde_json::json!([token, user.to_string()]);
        self.pending.extend_from_slice(line.to_string().as_bytes());
        self.pending.push(b'\n');
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let failed = |error| cannot_write(&self.path, error);
        let mut file = match self.file.take() {
            Some(file) => file,
            None => append_to(&self.path).map_err(failed)?,
        };
        file.write_all(&self.pending)
            .and_then(|()| file.sync_data())
            .map_err(failed)?;
        self.file = Some(file);
        self.pending.clear();
        Ok(())
    }

    /// Every one that this run has found.
    pub(super) fn read(&self) -> Result<Dead> {
        let mut found = self.listed()?;
        let Some(file) = there(&self.path)? else {
            return Ok(found);
        };
        for line in BufReader::new(file).split(b'\n') {
            let line = line.kind(Kind::Failed, || {
                format!("cannot read {}", self.path.display())
            })?;
            // A torn line is no JSON.
            if let Ok((token, user)) = serde_json::from_slice::<(String, String)>(&line) {
                found.insert((user, token));
            }
        }
        Ok(found)
    }

    fn listed(&self) -> Result<Dead> {
        let Some(file) = there(&self.list)? else {
            return Ok(Dead::new());
        };
        let rows = csv::Reader::from_reader(file).into_deserialize::<(String, String)>();
        rows.collect::<Result<Dead, csv::Error>>()
            .kind(Kind::Failed, || {
                format!("cannot read {}", self.list.display())
            })
    }

    /// They are in the list now.
    pub(super) fn forget(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn there(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).kind(Kind::Failed, || format!("cannot read {}", path.display())),
    }
}

/// Opens it for appending; behind a torn line a new one is begun.
fn append_to(path: &Path) -> std::io::Result<File> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = OpenOptions::new()
        .create(true)
        .read(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

pub(super) fn write_list((file, path): (File, PathBuf), tokens: &Dead) -> Result<()> {
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
pub(super) fn write_sql((mut file, path): (File, PathBuf), run: &str, tokens: &Dead) -> Result<()> {
    let quoted: Vec<String> = tokens
        .iter()
        .map(|(_, token)| format!("  '{}'", token.replace('\'', "''")))
        .collect();
    let text = format!(
        "-- {} that the push service said are registered no more, found by run {run}.\n\
         -- To be run by the owner of the source database; pushctl writes nothing there.\n\
         UPDATE devices SET token = NULL, updated_at = now()\nWHERE token IN (\n{}\n);\n",
        counted(tokens.len() as u64, "tokens"),
        quoted.join(",\n")
    );
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| cannot_write(&path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_line_costs_nothing_but_itself() {
        let directory = tempfile::tempdir().unwrap();
        let mut dead = DeadTokens::of(directory.path(), "run-1");
        dead.add(&UserKey::of("ana"), "token\twith\nbreaks");
        dead.flush().unwrap();
        let path = directory.path().join(".run-1.dead-tokens.partial");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"[\"torn").unwrap();
        let mut dead = DeadTokens::of(directory.path(), "run-1");
        dead.add(&UserKey::of("bo"), "t:2");
        dead.flush().unwrap();
        let pair = |user: &str, token: &str| (user.to_owned(), token.to_owned());
        let expected = [pair("ana", "token\twith\nbreaks"), pair("bo", "t:2")];
        assert_eq!(dead.read().unwrap(), Dead::from(expected));
    }
}
