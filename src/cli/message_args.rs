//! The message and the audience of a push as flags of `send` and `preview`.

use std::path::PathBuf;

use clap::ValueHint;

use crate::delivery::Input;
use crate::error::{Error, Result};
use crate::run;
use crate::settings::message;
use crate::template::link::AllowedHosts;
use crate::template::push::Wording;

use super::context::CommandContext;
use super::setting_args;

/// The flags of the message.
#[derive(Debug, Clone, clap::Args)]
#[command(args = setting_args::flags(&message::FLAGS))]
pub(super) struct WordFlags {
    /// Title; [[var:column]] inserts a value of the row
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// Body; takes the same variables
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Deep link: an https URL with an allowed host
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    deep_link: Option<String>,
    /// Data string for the app; repeatable
    #[arg(long, value_name = "KEY=VALUE")]
    data: Vec<String>,
}

/// The flags of the audience.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AudienceFlags {
    /// Audience file: CSV with a column of user ids
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    audience: Option<PathBuf>,
    /// User ids, in place of a file
    #[arg(
        long,
        value_name = "ID,ID",
        value_delimiter = ',',
        conflicts_with = "audience"
    )]
    users: Vec<String>,
}

impl WordFlags {
    /// Returns the message; title and body are required.
    pub(super) fn wording(&self, context: &CommandContext) -> Result<Wording> {
        let needed = |text: &Option<String>, flag: &str| {
            text.clone().ok_or_else(|| {
                Error::usage(format!("{flag} TEXT is required"))
                    .hint("`pushctl preview` shows the rendered push")
            })
        };
        let mut data = std::collections::BTreeMap::new();
        for pair in &self.data {
            let (key, value) = pair
                .split_once('=')
                .ok_or_else(|| Error::usage(format!("--data: {pair:?} is not KEY=VALUE")))?;
            data.insert(key.to_owned(), value.to_owned());
        }
        Ok(Wording {
            variants: Vec::new(),
            title: needed(&self.title, "--title")?,
            body: needed(&self.body, "--body")?,
            deep_link: self.deep_link.clone(),
            data,
            options: context.settings.message.all(),
        })
    }
}

impl AudienceFlags {
    /// Returns whether an audience was given.
    pub(super) fn is_given(&self) -> bool {
        self.audience.is_some() || !self.users.is_empty()
    }

    /// Returns the audience.
    pub(super) fn input(&self) -> Result<Input> {
        if !self.users.is_empty() {
            return Ok(Input::Users(
                self.users.iter().map(|id| id.trim().to_owned()).collect(),
            ));
        }
        let path = self.audience.clone().ok_or_else(|| {
            Error::usage("--audience FILE or --users ID,ID is required")
                .hint("`pushctl generate AUDIENCE` writes audience files")
        })?;
        let path = std::path::absolute(&path).unwrap_or(path);
        Ok(Input::File { path, sha256: None })
    }
}

/// Returns the allowed hosts of deep links.
pub(super) fn hosts(context: &CommandContext) -> Result<AllowedHosts> {
    run::services::hosts(&context.settings)
}
