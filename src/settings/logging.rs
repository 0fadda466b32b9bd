//! Settings of the log: format and colour.

use clap::ValueEnum;

use crate::error::Result;

use super::parse::choice;
use super::resolver::Resolver;
use super::setting::Setting;

/// The settings of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Logging {
    /// The log format.
    pub log_format: LogFormat,
    /// When to use colour.
    pub color: Color,
}

/// The log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// Text; the default.
    #[default]
    Auto,
    /// Text with times and levels.
    Text,
    /// One JSON object a line, for platforms that collect logs.
    Json,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless the environment forbids it.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// `--log-format`.
pub static LOG_FORMAT: Setting = Setting::new(
    "log_format",
    "Log format: text, or JSON lines for platforms that collect logs",
)
.flag("--log-format", "FORMAT")
.choice::<LogFormat>()
.variables(&["PUSHCTL_LOG_FORMAT"])
.default("auto");

/// `--color`.
pub static COLOR: Setting = Setting::new("color", "Colour; auto: on a terminal")
    .flag("--color", "WHEN")
    .choice::<Color>()
    .variables(&["PUSHCTL_COLOR"])
    .default("auto");

impl Logging {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        Ok(Self {
            log_format: settings.value(&LOG_FORMAT, choice)?,
            color: settings.value(&COLOR, choice)?,
        })
    }
}
