//! Guards: the conditions that must hold before or while a push is sent, and how an actor overrides one for a run.
//!
//! The table in [`run::gates`](crate::run::gates) says which guard applies to which way of starting a push.

use std::fmt;

use clap::ValueEnum;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::suggest::nearest;

/// A condition that must hold before or while a push is sent.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Guard {
    /// The automation is not paused.
    Paused,
    /// The automation has no other open live run.
    OpenRun,
    /// The occurrence's lease is held, by the state store's clock, and is checked again before each message is sent.
    Lease,
    /// A recipient is claimed durably before the message is sent, once for a push.
    Claim,
    /// The audience has at least `min_audience` rows.
    MinAudience,
    /// The audience has at most `max_audience` rows; more than `warn_audience` causes a warning.
    MaxAudience,
    /// The audience changed by at most `max_change_percent` since the last completed run.
    MaxChange,
    /// At most `max_skipped_percent` of the rows are skipped.
    MaxSkipped,
    /// No push is sent during `quiet_hours`.
    QuietHours,
    /// No push begins or continues more than `max_lateness_minutes` after its time.
    Lateness,
    /// The audience file matches the automation: its parameters, no limit, its age, and the checksums of its manifest.
    Audience,
    /// At most `max_overlap_percent` of the recipients had the push earlier on the day, under another occurrence.
    Overlap,
    /// No interrupted publication is beside the audience file.
    CommitMarker,
    /// The test pushes were accepted.
    Test,
    /// The whole cancellation window passed before the first live push.
    Window,
    /// The notification history allows another push to the recipient.
    Cadence,
    /// The recipient's account is not deleted and the token belongs to the recipient, checked when the message is sent.
    Recipient,
    /// The user ids are valid for the history in use.
    UserIds,
    /// The outcomes directory can be written to.
    Outcomes,
    /// The state store can be written to, and is not older than the newest outcome file.
    StateStore,
    /// Not too many messages fail.
    Failures,
    /// The command's deadline, also while a server does not answer.
    Deadline,
    /// The run was not cancelled.
    Cancel,
    /// The push was confirmed.
    Confirmation,
}

impl Guard {
    /// Returns every guard, in the order of the table.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// Returns its name, for `--override` and for records.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::OpenRun => "open-run",
            Self::Lease => "lease",
            Self::Claim => "claim",
            Self::MinAudience => "min-audience",
            Self::MaxAudience => "max-audience",
            Self::MaxChange => "max-change",
            Self::MaxSkipped => "max-skipped",
            Self::QuietHours => "quiet-hours",
            Self::Lateness => "lateness",
            Self::Audience => "audience",
            Self::Overlap => "overlap",
            Self::CommitMarker => "commit-marker",
            Self::Test => "test",
            Self::Window => "window",
            Self::Cadence => "cadence",
            Self::Recipient => "recipient",
            Self::UserIds => "user-ids",
            Self::Outcomes => "outcomes",
            Self::StateStore => "state-store",
            Self::Failures => "failures",
            Self::Deadline => "deadline",
            Self::Cancel => "cancel",
            Self::Confirmation => "confirmation",
        }
    }

    /// Returns the reason why it cannot be overridden, if it cannot.
    pub fn fixed(self) -> Option<&'static str> {
        match self {
            Self::Lease | Self::Claim => {
                Some("without it two processes would send to the same recipients")
            }
            Self::Cadence => Some("cadence rules are a promise to the recipients"),
            Self::Recipient => Some("without it a message could reach another person"),
            Self::UserIds => Some("the history cannot count a recipient without a valid id"),
            Self::Deadline => Some("change the time limit with --deadline"),
            Self::Cancel => Some("a cancel is final; start another run"),
            Self::Confirmation => Some("confirm with --yes"),
            Self::Paused
            | Self::OpenRun
            | Self::MinAudience
            | Self::MaxAudience
            | Self::MaxChange
            | Self::MaxSkipped
            | Self::QuietHours
            | Self::Lateness
            | Self::Audience
            | Self::Overlap
            | Self::CommitMarker
            | Self::Test
            | Self::Window
            | Self::Outcomes
            | Self::StateStore
            | Self::Failures => None,
        }
    }

    /// Parses a name given to `--override`.
    ///
    /// # Errors
    /// There is no such guard, or it cannot be overridden.
    pub fn parse(name: &str) -> Result<Self> {
        let found = Self::all().iter().find(|guard| guard.as_str() == name);
        let why = match found.map(|guard| (guard, guard.fixed())) {
            Some((guard, None)) => return Ok(*guard),
            Some((_, Some(why))) => format!("--override: {name} cannot be overridden: {why}"),
            None => format!("--override: unknown guard {name:?}"),
        };
        let all = Self::all().iter().filter(|guard| guard.fixed().is_none());
        let names: Vec<&str> = all.map(|guard| guard.as_str()).collect();
        let mut error = Error::usage(why);
        if found.is_none()
            && let Some(near) = nearest(name, names.iter().copied())
        {
            error = error.hint(format!("did you mean {near}?"));
        }
        Err(error.hint(format!("these can be overridden: {}", names.join(", "))))
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Guards that an actor overrode for one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    pub guards: Vec<Guard>,
    /// The reason given with the override.
    pub reason: String,
    /// `alice@worker-1`
    pub actor: String,
    pub at: Timestamp,
}

/// Writes guards, actor and reason: `max-audience, by alice@worker-1: the press release`.
impl fmt::Display for Override {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.guards.iter().map(|guard| guard.as_str()).collect();
        write!(
            out,
            "{}, by {}: {}",
            names.join(", "),
            self.actor,
            self.reason
        )
    }
}

/// All overrides of a run: the key `overrides` in its plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Overrides(pub Vec<Override>);

/// The key of the overrides in a run's plan.
const KEY: &str = "overrides";

impl Overrides {
    /// Returns the overrides of a recorded run; those of a run made by an earlier version are empty.
    pub fn of(plan: &Value) -> Self {
        let written = plan.get(KEY).cloned().unwrap_or_default();
        serde_json::from_value(written).unwrap_or_default()
    }

    /// Writes the overrides into a run's plan.
    ///
    /// # Errors
    /// They cannot be written as JSON, which is a bug.
    pub fn write(&self, plan: &mut Value) -> Result<()> {
        if !self.0.is_empty() {
            plan[KEY] = serde_json::to_value(self)
                .kind(ErrorKind::Bug, || "cannot write the overrides as JSON")?;
        }
        Ok(())
    }

    /// Returns the override of a guard, if there is one.
    pub fn lifting(&self, guard: Guard) -> Option<&Override> {
        self.0.iter().rev().find(|one| one.guards.contains(&guard))
    }

    /// Returns whether a guard is overridden.
    pub fn lift(&self, guard: Guard) -> bool {
        self.lifting(guard).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_has_its_own_name_which_is_parsed_and_serialised_alike() {
        for guard in Guard::all() {
            let json = serde_json::to_value(guard).unwrap();
            assert_eq!(json, guard.as_str());
            let value = guard.to_possible_value().unwrap();
            assert_eq!(value.get_name(), guard.as_str());
            match (Guard::parse(guard.as_str()), guard.fixed()) {
                (Ok(read), None) => assert_eq!(read, *guard),
                (Err(error), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
                (read, fixed) => panic!("{guard}: {read:?}, {fixed:?}"),
            }
        }
    }

    #[test]
    fn a_misspelled_name_gets_a_suggestion() {
        let error = Guard::parse("max-audiense").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(error.hints()[0], "did you mean max-audience?");
    }
}
