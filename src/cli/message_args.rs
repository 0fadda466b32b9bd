//! The words of a push as flags, and the audience they are for: what `send` and `preview` share.

use std::path::PathBuf;

use clap::ValueHint;

use crate::delivery::Input;
use crate::error::{Error, Result};
use crate::run;
use crate::template::link::AllowedHosts;
use crate::template::push::Wording;

use super::context::CommandContext;

/// What people read.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct WordFlags {
    /// First line on the phone; [[var:column]] stands for a value of the row
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// The text below it
    #[arg(long, value_name = "TEXT")]
    body: Option<String>,
    /// Where a tap leads: an https URL whose host is allowed
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    deep_link: Option<String>,
    /// A further string for the app; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    data: Vec<String>,
}

/// To whom.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct AudienceFlags {
    /// The audience file: CSV with a column that names the user
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    audience: Option<PathBuf>,
    /// A handful of people by id, in place of a file
    #[arg(
        long,
        value_name = "ID,ID",
        value_delimiter = ',',
        conflicts_with = "audience"
    )]
    users: Vec<String>,
}

impl WordFlags {
    /// The words; title and body are needed.
    pub(super) fn wording(&self) -> Result<Wording> {
        let needed = |text: &Option<String>, flag: &str| {
            text.clone().ok_or_else(|| {
                Error::usage(format!("what do people read? {flag} is missing"))
                    .hint("`pushctl preview` shows what a push will look like")
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
            title: needed(&self.title, "--title")?,
            body: needed(&self.body, "--body")?,
            deep_link: self.deep_link.clone(),
            data,
        })
    }
}

impl AudienceFlags {
    /// Whether anybody was named.
    pub(super) fn is_given(&self) -> bool {
        self.audience.is_some() || !self.users.is_empty()
    }

    /// Where the people are.
    pub(super) fn input(&self) -> Result<Input> {
        if !self.users.is_empty() {
            return Ok(Input::Users(
                self.users.iter().map(|id| id.trim().to_owned()).collect(),
            ));
        }
        let path = self.audience.clone().ok_or_else(|| {
            Error::usage("to whom? --audience FILE or --users ID,ID is missing")
                .hint("`pushctl generate AUDIENCE` writes audience files")
        })?;
        let path = std::path::absolute(&path).unwrap_or(path);
        Ok(Input::File { path, sha256: None })
    }
}

/// The hosts that deep links may lead to.
pub(super) fn hosts(context: &CommandContext) -> Result<AllowedHosts> {
    run::services::hosts(&context.settings)
}
