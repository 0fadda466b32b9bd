//! The flags that every command has.

use std::path::{Path, PathBuf};

use clap::builder::PossibleValuesParser;
use clap::{ArgAction, Args, ValueEnum, ValueHint};

use crate::settings::setting::Setting;

use crate::settings::logging::{Color, LogFormat, Logging};
use crate::settings::{Environment, Flags, logging, source, state};
use crate::ui::{Bars, Document, Loudness, OutputArgs, Stdout};

use super::context::Confirmation;

/// Flags that are accepted before and after the subcommand.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Globals {
    /// Configuration file [default: pushctl.toml here, else in the XDG configuration directory]
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
    /// Write the result as one JSON document to standard output
    #[arg(long, global = true)]
    json: bool,
    /// Print only errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Log more: -v each step, -vv every statement and attempt
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Log format: text, or JSON lines for platforms that collect logs
    #[arg(long, global = true, value_name = "FORMAT", value_parser = words::<LogFormat>())]
    log_format: Option<String>,
    /// Colour; auto: on a terminal
    #[arg(long, global = true, value_name = "WHEN", value_parser = words::<Color>())]
    color: Option<String>,
    /// Log lines in place of progress bars
    #[arg(long, global = true)]
    no_progress: bool,
    /// Answer every confirmation with yes
    #[arg(short, long, global = true)]
    yes: bool,
    #[arg(long, global = true, value_name = "URL", value_hint = ValueHint::Url, help = "Connection URL of the source database [env: DATABASE_URL]")]
    database_url: Option<String>,
    /// State store: a PostgreSQL URL or a SQLite file [default: in the XDG state directory]
    #[arg(long, global = true, value_name = "PLACE")]
    state: Option<String>,
    /// Overall time limit: attempts, waits and queries together [default: 5m]
    #[arg(long, global = true, value_name = "DURATION")]
    deadline: Option<String>,
    /// Print help; -h for a summary
    #[arg(short, long, global = true, action = ArgAction::Help)]
    help: Option<bool>,
}

impl Globals {
    /// Passes the flags that are settings on to the settings.
    pub fn flags(&self, flags: &mut Flags) {
        let Self {
            // The place of the settings and the output options of this call are not settings.
            config: _,
            json: _,
            quiet: _,
            verbose: _,
            no_progress: _,
            yes: _,
            help: _,
            log_format,
            color,
            database_url,
            state,
            deadline,
        } = self;
        flags.set(&logging::LOG_FORMAT, log_format.as_ref());
        flags.set(&logging::COLOR, color.as_ref());
        flags.set(&source::URL, database_url.as_ref());
        flags.set(&state::STATE, state.as_ref());
        flags.set(&source::DEADLINE, deadline.as_ref());
    }

    /// `--config`.
    pub fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

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

    /// Returns log format and colour from flags and environment, for errors before the settings are resolved.
    pub fn talk(&self, environment: &Environment) -> Logging {
        Logging {
            log_format: word(
                self.log_format.as_deref(),
                environment,
                &logging::LOG_FORMAT,
            ),
            color: word(self.color.as_deref(), environment, &logging::COLOR),
        }
    }
}

fn word<T: ValueEnum + Default>(flag: Option<&str>, environment: &Environment, key: &Setting) -> T {
    let variable = key
        .variables
        .iter()
        .find_map(|name| environment.process(name));
    flag.or(variable)
        .and_then(|word| T::from_str(word, true).ok())
        .unwrap_or_default()
}

/// Returns the possible values of a setting, without a help text for each.
pub(super) fn words<T: ValueEnum>() -> PossibleValuesParser {
    let words = T::value_variants()
        .iter()
        .filter_map(ValueEnum::to_possible_value);
    PossibleValuesParser::new(
        words
            .map(|word| word.get_name().to_owned())
            .collect::<Vec<_>>(),
    )
}
