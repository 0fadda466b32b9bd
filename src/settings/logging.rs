//! How pushctl talks: the log's format and colour.

use clap::ValueEnum;

use crate::error::Result;

use super::parse::choice;
use super::resolver::Resolver;
use super::setting::{Setting, Visibility};

/// How pushctl talks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Logging {
    /// What a line of the log looks like.
    pub log_format: LogFormat,
    /// Whether there is colour.
    pub color: Color,
}

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// Text.
    #[default]
    Auto,
    /// For people.
    Text,
    /// One JSON object a line, for platforms that collect logs.
    Json,
}

/// Whether there is colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Color {
    /// On a terminal, unless the environment says otherwise.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

/// `--log-format`.
pub static LOG_FORMAT: Setting = Setting {
    name: "log_format",
    flag: "--log-format",
    variables: &["PUSHCTL_LOG_FORMAT"],
    default: "auto",
    visibility: Visibility::Plain,
    about: "log format: auto, text or json (one JSON object a line)",
};

/// `--color`.
pub static COLOR: Setting = Setting {
    name: "color",
    flag: "--color",
    variables: &["PUSHCTL_COLOR"],
    default: "auto",
    visibility: Visibility::Plain,
    about: "colour: auto, always or never",
};

impl Logging {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        Ok(Self {
            log_format: settings.value(&LOG_FORMAT, choice)?,
            color: settings.value(&COLOR, choice)?,
        })
    }
}
