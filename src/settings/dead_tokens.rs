//! Settings of tokens that the push service reports as unregistered.

use std::time::Duration;

use crate::clock::text::duration;
use crate::error::Result;

use super::parse::text;
use super::resolver::Resolver;
use super::setting::Setting;

/// The settings of dead tokens.
#[derive(Debug, Clone)]
pub struct DeadTokenSettings {
    /// How long a dead token is not tried again; 0: it is always tried.
    pub suppress: Duration,
    /// The command that gets the dead tokens of a send.
    pub command: Option<String>,
}

static SUPPRESS: Setting = Setting::new(
    "dead_tokens.suppress",
    "Time without a message to a dead token that was not registered again; 0 tries each one",
)
.variables(&["PUSHCTL_DEAD_TOKENS_SUPPRESS"])
.default("30d");
static COMMAND: Setting = Setting::new(
    "dead_tokens.command",
    "Shell command that gets the list of dead tokens after a send, as CSV on its standard input",
)
.variables(&["PUSHCTL_DEAD_TOKENS_COMMAND"]);

impl DeadTokenSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        Ok(Self {
            suppress: settings.value(&SUPPRESS, duration)?,
            command: settings.optional(&COMMAND, text)?,
        })
    }
}
