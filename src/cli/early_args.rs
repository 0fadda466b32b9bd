//! Reads a few flags before the arguments are parsed, because the query files that they name become subcommands.
//!
//! clap's `ignore_errors` does not do it. It drops everything after the first unknown argument: of
//! `generate mine --hours 24 --queries DIR --config FILE` it reports neither flag while `mine` is unknown.

use std::ffi::OsString;
use std::path::Path;

use clap::ValueEnum as _;

use crate::settings::logging::Color;

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

    /// `--queries DIR`.
    pub(super) fn queries(&self) -> Option<&'a Path> {
        self.value_of("--queries").map(Path::new)
    }

    /// `--automations DIR`.
    pub(super) fn automations(&self) -> Option<&'a Path> {
        self.value_of("--automations").map(Path::new)
    }

    /// `--config FILE`.
    pub(super) fn config(&self) -> Option<&'a Path> {
        self.value_of("--config").map(Path::new)
    }

    /// `--state PLACE`.
    pub(super) fn state(&self) -> Option<&'a Path> {
        self.value_of("--state").map(Path::new)
    }

    /// `--color WHEN`.
    pub(super) fn color(&self) -> Color {
        let given = self.value_of("--color").and_then(std::ffi::OsStr::to_str);
        given
            .and_then(|when| Color::from_str(when, true).ok())
            .unwrap_or_default()
    }

    fn value_of(&self, flag: &str) -> Option<&'a std::ffi::OsStr> {
        let mut arguments = self.arguments.iter();
        while let Some(argument) = arguments.next() {
            if argument == flag {
                return arguments.next().map(OsString::as_os_str);
            }
            let attached = argument
                .to_str()
                .and_then(|text| text.strip_prefix(flag)?.strip_prefix('='));
            if let Some(value) = attached {
                return Some(std::ffi::OsStr::new(value));
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
        assert_eq!(early.queries(), Some(Path::new("a")));
        assert_eq!(early.config(), Some(Path::new("b")));
        assert_eq!(early.color(), Color::Auto);
        assert!(early.mentions(&["why", "generate"]) && !early.mentions(&["pushctl"]));
    }
}
