//! Reads a few flags before the arguments are parsed, because the query files that they name become subcommands.
//!
//! clap's `ignore_errors` does not do it. It drops everything after the first unknown argument: of
//! `generate mine --hours 24 --queries DIR --config FILE` it reports neither flag while `mine` is unknown.

use std::ffi::{OsStr, OsString};

use clap::ValueEnum as _;

use crate::settings::Flags;
use crate::settings::automation::DIRECTORY;
use crate::settings::file::CONFIG;
use crate::settings::generate::QUERIES;
use crate::settings::logging::{COLOR, Color};
use crate::settings::state::STATE;

/// The raw arguments, up to `--`.
pub(super) struct EarlyArgs<'a> {
    arguments: &'a [OsString],
}

impl<'a> EarlyArgs<'a> {
    pub(super) fn look(arguments: &'a [OsString]) -> Self {
        let end = arguments
            .iter()
            .skip(1)
            .position(|argument| argument == "--");
        Self {
            arguments: end.map_or(arguments, |end| &arguments[..=end]),
        }
    }

    /// Returns whether one of these words is an argument.
    pub(super) fn mentions(&self, words: &[&str]) -> bool {
        self.arguments
            .iter()
            .skip(1)
            .any(|argument| words.iter().any(|word| argument == word))
    }

    /// Returns the places that are needed before the arguments are parsed.
    pub(super) fn flags(&self) -> Flags {
        let mut flags = Flags::default();
        for setting in [&CONFIG, &QUERIES, &DIRECTORY, &STATE] {
            let value = self.value_of(setting.flag).and_then(OsStr::to_str);
            if let Some(value) = value {
                flags.set(setting.name, value);
            }
        }
        flags
    }

    /// `--color WHEN`.
    pub(super) fn color(&self) -> Color {
        let given = self.value_of(COLOR.flag).and_then(OsStr::to_str);
        given
            .and_then(|when| Color::from_str(when, true).ok())
            .unwrap_or_default()
    }

    fn value_of(&self, flag: &str) -> Option<&'a OsStr> {
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == flag {
                return arguments.next().map(OsString::as_os_str);
            }
            let attached = argument
                .to_str()
                .and_then(|text| text.strip_prefix(flag)?.strip_prefix('='));
            if let Some(value) = attached {
                return Some(OsStr::new(value));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_in_both_spellings_and_not_after_two_dashes() {
        let arguments: Vec<OsString> = [
            "pushctl",
            "generate",
            "--queries=a",
            "--config",
            "b",
            "--",
            "--color=never",
        ]
        .map(OsString::from)
        .to_vec();
        let early = EarlyArgs::look(&arguments);
        let flags = early.flags();
        assert_eq!(flags.get(&QUERIES), Some("a"));
        assert_eq!(flags.get(&CONFIG), Some("b"));
        assert_eq!(early.color(), Color::Auto);
        assert!(early.mentions(&["why", "generate"]) && !early.mentions(&["pushctl"]));
    }
}
