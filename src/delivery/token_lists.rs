//! The dead and the invalid tokens of a send: collected while it runs, listed at its end.
//!
//! They are appended to `.RUN.dead-tokens.partial` and `.RUN.invalid-tokens.partial`, a JSON array `[token, user]` a
//! line. A crash may leave the last line incomplete: it is ignored.
//!
//! The ledger comes first: where the file cannot be written, tokens stay in memory until the end of the send, when the
//! whole list is written. A token that does not fit there, or was lost with a process, is known to the ledger by its
//! hash, and is in the SQL file by it. An invalid one is then in the outcome file alone, by its user.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::count::counted;
use crate::csv_writer::cannot_write;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::state::ledger::{TokenHash, UserKey};

/// The maximum of bytes of tokens in memory where the file cannot be written: about 80,000 tokens.
const MOST_WAITING: usize = 16 << 20;

/// The tokens of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ListKind {
    /// No longer registered.
    Dead,
    /// Rejected as malformed.
    Invalid,
}

impl ListKind {
    /// Returns the end of the list's name.
    pub(super) const fn list(self) -> &'static str {
        match self {
            Self::Dead => ".dead-tokens.csv",
            Self::Invalid => ".invalid-tokens.csv",
        }
    }

    /// Returns the end of the name of the file to which tokens are appended.
    fn partial(self) -> &'static str {
        match self {
            Self::Dead => ".dead-tokens.partial",
            Self::Invalid => ".invalid-tokens.partial",
        }
    }
}

/// Both lists of a run.
pub(super) struct TokenLists {
    pub(super) dead: TokenList,
    pub(super) invalid: TokenList,
}

impl TokenLists {
    pub(super) fn of(directory: &Path, stem: &str) -> Self {
        let list = |kind| TokenList::of(directory, stem, kind);
        Self {
            dead: list(ListKind::Dead),
            invalid: list(ListKind::Invalid),
        }
    }

    /// Adds the lists of another run.
    pub(super) fn and_of(mut self, stem: String) -> Self {
        self.dead.stems.push(stem.clone());
        self.invalid.stems.push(stem);
        self
    }

    /// Writes added tokens.
    pub(super) fn flush(&mut self) {
        self.dead.flush();
        self.invalid.flush();
    }

    /// Returns the error of a file while the send ran.
    pub(super) fn failure(&self) -> Option<&Error> {
        self.dead.failure.as_ref().or(self.invalid.failure.as_ref())
    }

    /// Removes the partial files: the tokens are in the lists now.
    pub(super) fn forget(self) {
        self.dead.forget();
        self.invalid.forget();
    }
}

/// A list of a run.
pub(super) struct TokenList {
    kind: ListKind,
    directory: PathBuf,
    /// The beginnings of the names of this run's files, and of the run that opened the push.
    stems: Vec<String>,
    path: PathBuf,
    file: Option<File>,
    pending: Vec<u8>,
    /// The error of the file. It is not written again before the end.
    failure: Option<Error>,
}

/// User and token, each pair once.
pub(super) type ListedTokens = BTreeSet<(String, String)>;

impl TokenList {
    fn of(directory: &Path, stem: &str, kind: ListKind) -> Self {
        Self {
            kind,
            directory: directory.to_owned(),
            stems: vec![stem.to_owned()],
            path: directory.join(format!(".{stem}{}", kind.partial())),
            file: None,
            pending: Vec::new(),
            failure: None,
        }
    }

    /// Adds a token, which [`TokenList::flush`] writes.
    pub(super) fn add(&mut self, user: &UserKey, token: &str) {
        let line = serde_json::json!([token, user.to_string()]).to_string();
        if self.failure.is_some() && self.pending.len() + line.len() > MOST_WAITING {
            return;
        }
        self.pending.extend_from_slice(line.as_bytes());
        self.pending.push(b'\n');
    }

    /// Writes added tokens, unless the file could not be written before.
    fn flush(&mut self) {
        if self.pending.is_empty() || self.failure.is_some() {
            return;
        }
        match self.append() {
            Ok(()) => self.pending.clear(),
            Err(error) => {
                let error = cannot_write(&self.path, error);
                tracing::warn!(
                    "{error:#}; the send continues, and these tokens are kept in memory"
                );
                self.failure = Some(error);
            }
        }
    }

    fn append(&mut self) -> std::io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(append_to(&self.path)?),
        };
        let before = file.metadata()?.len();
        let written = file
            .write_all(&self.pending)
            .and_then(|()| file.sync_data());
        if written.is_err() {
            // On a full disk, half a line only takes space.
            let _ = file.set_len(before);
        }
        written
    }

    /// Returns all known tokens of the kind: of this process, of earlier parts of the run, of the run that opened the
    /// push, and of processes that joined on this machine.
    pub(super) fn read(&self) -> Result<ListedTokens> {
        let mut found = ListedTokens::new();
        take_lines(self.pending.as_slice(), &mut found)
            .kind(ErrorKind::Bug, || "cannot read memory")?;
        let is_ours = |name: &str| {
            let stem = name
                .strip_suffix(self.kind.list())
                .or_else(|| name.strip_prefix('.')?.strip_suffix(self.kind.partial()));
            let of_these = |stem: &str| {
                let mut rests = self
                    .stems
                    .iter()
                    .filter_map(|own| stem.strip_prefix(own.as_str()));
                rests.any(|rest| rest.is_empty() || rest.starts_with(".joined-"))
            };
            stem.is_some_and(of_these)
        };
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten();
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if is_ours(&name) {
                read_file(&path, &mut found)?;
            }
        }
        Ok(found)
    }

    /// Removes the partial file: the tokens are in the list now.
    fn forget(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn read_file(path: &Path, found: &mut ListedTokens) -> Result<()> {
    let Some(file) = there(path)? else {
        return Ok(());
    };
    let cannot = || format!("cannot read {}", path.display());
    if path.extension().is_some_and(|ending| ending == "csv") {
        let rows = csv::Reader::from_reader(file).into_deserialize::<(String, String)>();
        for row in rows {
            found.insert(row.kind(ErrorKind::Failed, cannot)?);
        }
        return Ok(());
    }
    take_lines(BufReader::new(file), found).kind(ErrorKind::Failed, cannot)
}

fn take_lines(lines: impl std::io::BufRead, found: &mut ListedTokens) -> std::io::Result<()> {
    for line in lines.split(b'\n') {
        // An incomplete line is not JSON.
        if let Ok((token, user)) = serde_json::from_slice::<(String, String)>(&line?) {
            found.insert((user, token));
        }
    }
    Ok(())
}

fn there(path: &Path) -> Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).kind(ErrorKind::Failed, || {
            format!("cannot read {}", path.display())
        }),
    }
}

/// Opens the file for appending, on a new line.
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

pub(super) fn write_list((file, path): (File, PathBuf), tokens: &ListedTokens) -> Result<()> {
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

/// Writes the statement that clears dead tokens. `by_hash` are those of which only the hash is known.
pub(super) fn write_sql(
    (mut file, path): (File, PathBuf),
    run: &str,
    tokens: &ListedTokens,
    by_hash: &BTreeSet<(String, TokenHash)>,
) -> Result<()> {
    let quote = |text: &str| format!("'{}'", text.replace('\'', "''"));
    let mut text = format!(
        "-- {} that the push service reported as unregistered, found by run {run}.\n\
         -- For the owner of the source database; pushctl writes nothing there.\n",
        counted((tokens.len() + by_hash.len()) as u64, "tokens"),
    );
    if !tokens.is_empty() {
        let quoted = tokens
            .iter()
            .map(|(_, token)| format!("  {}", quote(token)));
        text += &clear("token", &quoted.collect::<Vec<_>>());
    }
    if !by_hash.is_empty() {
        text += "-- These tokens are known by user and hash only.\n";
        let pairs = by_hash
            .iter()
            .map(|(user, hash)| format!("  ({}, '{hash}')", quote(user)));
        let columns = "(user_id::text, left(encode(sha256(convert_to(token, 'UTF8')), 'hex'), 32))";
        text += &clear(columns, &pairs.collect::<Vec<_>>());
    }
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(|error| cannot_write(&path, error))
}

fn clear(columns: &str, values: &[String]) -> String {
    format!(
        "UPDATE devices SET token = NULL, updated_at = now()\nWHERE {columns} IN (\n{}\n);\n",
        values.join(",\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_of(directory: &Path) -> TokenList {
        TokenList::of(directory, "run-1", ListKind::Dead)
    }

    #[test]
    fn an_incomplete_line_is_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let mut dead = list_of(directory.path());
        dead.add(&UserKey::of("ana"), "token\twith\nbreaks");
        dead.flush();
        let path = directory.path().join(".run-1.dead-tokens.partial");
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(b"[\"torn").unwrap();
        let mut dead = list_of(directory.path());
        dead.add(&UserKey::of("bo"), "t:2");
        dead.flush();
        let pair = |user: &str, token: &str| (user.to_owned(), token.to_owned());
        let expected = [pair("ana", "token\twith\nbreaks"), pair("bo", "t:2")];
        assert_eq!(dead.read().unwrap(), ListedTokens::from(expected));
    }

    #[test]
    fn tokens_that_cannot_be_written_stay_in_memory_up_to_a_bound() {
        let directory = tempfile::tempdir().unwrap();
        let blocked = directory.path().join("file");
        std::fs::write(&blocked, "").unwrap();
        let mut dead = list_of(&blocked);
        let token = "t".repeat(1 << 20);
        for n in 0..40 {
            dead.add(&UserKey::of(&n.to_string()), &token);
            dead.flush();
        }
        assert!(dead.failure.as_ref().unwrap().to_string().contains("run-1"));
        let kept = dead.read().unwrap().len();
        assert!((10..20).contains(&kept), "{kept}");
    }

    #[test]
    fn the_list_of_a_joined_process_is_read_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        for (name, token) in [
            ("run-1.dead-tokens.csv", "t:1"),
            ("run-1.joined-7.dead-tokens.csv", "t:2"),
            ("run-10.dead-tokens.csv", "t:3"),
        ] {
            std::fs::write(
                directory.path().join(name),
                format!("user_id,token\r\nana,{token}\r\n"),
            )
            .unwrap();
        }
        let found = list_of(directory.path()).read().unwrap();
        let tokens: Vec<&str> = found.iter().map(|(_, token)| token.as_str()).collect();
        assert_eq!(tokens, ["t:1", "t:2"]);
    }
}
