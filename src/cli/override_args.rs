//! `--override GUARD --reason TEXT`: the guards that are overridden for one run.

use crate::error::{Error, Result};
use crate::run::gates::{Guard, Override, Overrides};

use super::context::CommandContext;
use super::services;

/// The flags of every command that a guard can stop.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct OverrideFlags {
    /// Guards to override for this run: paused, max-audience, quiet-hours, …; needs --reason
    #[arg(
        long = "override",
        value_name = "GUARD,GUARD",
        value_delimiter = ',',
        requires = "reason"
    )]
    guards: Vec<String>,
    /// Reason for the override; recorded with the run
    #[arg(long, value_name = "TEXT", requires = "guards")]
    reason: Option<String>,
}

impl OverrideFlags {
    /// Returns the overridden guards, with actor and reason.
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
            return Err(Error::usage("--reason must not be empty"));
        }
        Ok(Some(Override {
            guards,
            reason: reason.to_owned(),
            actor: services::holder(context).who,
            at: context.clock.now(),
        }))
    }
}

/// Returns the overrides of a new run.
pub(super) fn alone(given: Option<&Override>) -> Overrides {
    Overrides(given.cloned().into_iter().collect())
}
