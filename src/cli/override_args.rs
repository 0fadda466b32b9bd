//! `--override GUARD --reason TEXT`: what a person switches off for one run.

use crate::error::{Error, Result};
use crate::run::gates::{Guard, Override, Overrides};

use super::context::CommandContext;
use super::services;

/// The flags of every command that a guard can refuse.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct OverrideFlags {
    /// Pass these guards once, with a reason that is recorded: paused, max-audience, quiet-hours, …
    #[arg(
        long = "override",
        value_name = "GUARD,GUARD",
        value_delimiter = ',',
        requires = "reason"
    )]
    guards: Vec<String>,
    /// Why guards are overridden; recorded with the run
    #[arg(long, value_name = "TEXT", requires = "guards")]
    reason: Option<String>,
}

impl OverrideFlags {
    /// What is overridden, by whom and why.
    pub(super) fn given(&self, context: &CommandContext) -> Result<Option<Override>> {
        if self.guards.is_empty() {
            return Ok(None);
        }
        let mut guards = Vec::new();
        for name in &self.guards {
            let guard = Guard::parse(name.trim())?;
            if !guards.contains(&guard) {
                guards.push(guard);
            }
        }
        let reason = self.reason.as_deref().unwrap_or_default().trim();
        if reason.is_empty() {
            return Err(Error::usage("--reason: the reason is empty"));
        }
        Ok(Some(Override {
            guards,
            reason: reason.to_owned(),
            actor: services::holder(context).who,
            at: context.clock.now(),
        }))
    }
}

/// The overrides of a run that is about to begin.
pub(super) fn alone(given: Option<&Override>) -> Overrides {
    Overrides(given.cloned().into_iter().collect())
}
