//! The flags that every command has.

use clap::{ArgAction, Args, ValueEnum};

use crate::settings::file::CONFIG;
use crate::settings::logging::Logging;
use crate::settings::setting::Setting;
use crate::settings::{Environment, Flags, logging, source, state};
use crate::ui::{Bars, Document, Loudness, OutputArgs, Stdout};

use super::context::Confirmation;
use super::setting_args;

/// Flags that are accepted before and after the subcommand.
#[derive(Debug, Clone, Args)]
#[command(
    next_help_heading = "Global options",
    args = setting_args::global_flags(&[
        &CONFIG, &logging::LOG_FORMAT, &logging::COLOR, &source::URL, &state::STATE, &source::DEADLINE,
    ]),
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Globals {
    /// Write the result as one JSON document to standard output
    #[arg(long, global = true)]
    json: bool,
    /// Print only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Log more: -v each step, -vv every statement and attempt
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log lines in place of progress bars
    #[arg(long, global = true)]
    no_progress: bool,
    /// Answer every confirmation with yes
    #[arg(short, long, global = true)]
    yes: bool,
}

impl Globals {
    /// `--yes`.
    pub fn confirmation(&self) -> Confirmation {
        if self.yes {
            Confirmation::Given
        } else {
            Confirmation::Needed
        }
    }

    /// Returns the output options; log format and colour are still the defaults.
    pub fn output_args(&self, stdout: Stdout) -> OutputArgs {
        OutputArgs {
            document: if self.json {
                Document::Json
            } else {
                Document::Text
            },
            loudness: match (self.quiet, self.verbose) {
                (true, _) => Loudness::Quiet,
                (false, 0) => Loudness::Normal,
                (false, 1) => Loudness::Verbose,
                (false, _) => Loudness::Debug,
            },
            talk: Logging::default(),
            bars: if self.no_progress {
                Bars::Off
            } else {
                Bars::Allowed
            },
            stdout,
        }
    }
}

/// Returns log format and colour from flags and environment, for errors before the settings are resolved.
pub(super) fn talk(flags: &Flags, environment: &Environment) -> Logging {
    Logging {
        log_format: word(flags, environment, &logging::LOG_FORMAT),
        color: word(flags, environment, &logging::COLOR),
    }
}

fn word<T: ValueEnum + Default>(flags: &Flags, environment: &Environment, key: &Setting) -> T {
    let mut variables = key.variables.iter();
    let variable = || variables.find_map(|name| environment.process(name));
    let word = flags.get(key).or_else(variable);
    word.and_then(|word| T::from_str(word, true).ok())
        .unwrap_or_default()
}
