//! The requests that the stand-in received and the messages that it accepted, in memory and in a file.
//!
//! A line is `microseconds since 1970 <TAB> message name <TAB> token <TAB> answered|lost|validated`, written before the
//! answer is sent, so the file has every accepted message even if the stand-in is killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The state of the answer to an accepted message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was sent.
    Answered,
    /// The script withheld it.
    Lost,
    /// The request was `validate_only`, so nothing would be delivered.
    Validated,
}

/// One accepted message.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) token: String,
    pub(crate) name: String,
    pub(crate) fate: Fate,
}

/// A request with a well-formed message, with any answer.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) token: String,
    pub(crate) at: Instant,
    pub(crate) connection: u64,
    pub(crate) message: serde_json::Value,
}

/// Whether attempts and accepted messages are also kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// They are kept, for tests.
    Kept,
    /// They are not kept: a long-running program uses the file.
    Spared,
}

/// The log; shared by all connections.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: Option<File>,
    memory: Memory,
    accepted: Mutex<Vec<Accepted>>,
    attempts: Mutex<Vec<Attempt>>,
    names: AtomicU64,
    epoch: u64,
}

impl Ledger {
    /// Opens the log, which appends to `file` if there is one.
    pub(crate) fn open(file: Option<&Path>, memory: Memory) -> io::Result<Self> {
        let file = file
            .map(|path| OpenOptions::new().create(true).append(true).open(path))
            .transpose()?;
        Ok(Self {
            file,
            memory,
            accepted: Mutex::default(),
            attempts: Mutex::default(),
            names: AtomicU64::new(0),
            epoch: micros(),
        })
    }

    pub(crate) fn memory(&self) -> Memory {
        self.memory
    }

    /// Returns a message name that no stand-in ever uses twice.
    pub(crate) fn name(&self, project: &str) -> String {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        format!("projects/{project}/messages/0:{:x}%{number:x}", self.epoch)
    }

    pub(crate) fn attempt(&self, attempt: Attempt) {
        lock(&self.attempts).push(attempt);
    }

    /// Writes the lines of `batch` in one call and empties it; only then may the answers be sent.
    pub(crate) fn commit(&self, batch: &mut Vec<Accepted>, lines: &mut Vec<u8>) -> io::Result<()> {
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(mut file) = self.file.as_ref() {
            let now = micros();
            lines.clear();
            for entry in batch.iter() {
                let fate = match entry.fate {
                    Fate::Answered => "answered",
                    Fate::Lost => "lost",
                    Fate::Validated => "validated",
                };
                writeln!(lines, "{now}\t{}\t{}\t{fate}", entry.name, entry.token)?;
            }
            file.write_all(lines)?;
        }
        match self.memory {
            Memory::Kept => lock(&self.accepted).append(batch),
            Memory::Spared => batch.clear(),
        }
        Ok(())
    }

    pub(crate) fn accepted(&self) -> Vec<Accepted> {
        lock(&self.accepted).clone()
    }

    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        lock(&self.attempts).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn micros() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
