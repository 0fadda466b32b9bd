//! What a conversion does not carry over.

use std::fmt;

use serde::Serialize;

use crate::snippet::visible;

/// A part of the old file that the new one does not have, or has in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// Its path in the JSON: `pushSequence[1].timing`.
    pub path: String,
    /// What became of it.
    pub message: String,
}

impl fmt::Display for Note {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.path, self.message)
    }
}

/// The notes, as they are collected.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    pub(super) fn add(&mut self, path: impl AsRef<str>, message: impl AsRef<str>) {
        self.0.push(Note {
            path: visible(path.as_ref()),
            message: visible(message.as_ref()),
        });
    }

    pub(super) fn finish(self) -> Vec<Note> {
        self.0
    }
}
