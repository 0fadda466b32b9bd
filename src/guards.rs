//! Guards: the conditions that must hold before or while a push is sent, and how a person overrides one for a run.
//!
//! Which guard applies on which road to a phone is the table in [`run::gates`](crate::run::gates).

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
    /// The occurrence's lease is held, on the state store's clock, and still held before each message leaves.
    Lease,
    /// A recipient is claimed durably before the message leaves, once for a push.
    Claim,
    /// The audience has at least `min_audience` rows.
    MinAudience,
    /// The audience has at most `max_audience` rows; more than `warn_audience` is mentioned.
    MaxAudience,
    /// The audience changed by at most `max_change_percent` since the last completed run.
    MaxChange,
    /// At most `max_skipped_percent` of the rows are skipped.
    MaxSkipped,
    /// No push is sent during `quiet_hours`.
    QuietHours,
    /// No push begins, or goes on, later than `max_lateness_minutes` after it was due.
    Lateness,
    /// The audience is the automation's: its parameters, no limit, young enough, the content of its manifest.
    Audience,
    /// No unfinished publication lies beside the audience file.
    CommitMarker,
    /// The test pushes were accepted.
    Test,
    /// The whole cancellation window lies before the first live push.
    Window,
    /// The notification history allows another push to this person.
    Cadence,
    /// The recipient's account is not deleted and the token is theirs, asked at the time of sending.
    Recipient,
    /// The user ids are valid for the history in use.
    UserIds,
    /// The outcomes directory can be written to.
    Outcomes,
    /// The state store can be written to, and is not older than the newest outcome file.
    StateStore,
    /// Not too many messages fail.
    Failures,
    /// The command's time limit, whichever peer is silent.
    Deadline,
    /// The run was not cancelled.
    Cancel,
    /// A person agreed to what is about to be sent.
    Confirmation,
}

impl Guard {
    /// Returns every guard, in the order of the table.
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// Returns its name: what `--override` takes, and what is recorded.
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
                Some("without it two processes would send to the same people")
            }
            Self::Cadence => Some("it is a promise to the recipients"),
            Self::Recipient => Some("the message would reach another person"),
            Self::UserIds => Some("a recipient without a valid id cannot be counted"),
            Self::Deadline => Some("--deadline sets it"),
            Self::Cancel => Some("a cancel is final; begin another run"),
            Self::Confirmation => Some("--yes confirms"),
            Self::Paused
            | Self::OpenRun
            | Self::MinAudience
            | Self::MaxAudience
            | Self::MaxChange
            | Self::MaxSkipped
            | Self::QuietHours
            | Self::Lateness
            | Self::Audience
            | Self::CommitMarker
            | Self::Test
            | Self::Window
            | Self::Outcomes
            | Self::StateStore
            | Self::Failures => None,
        }
    }

    /// Parses a name that `--override` was given.
    ///
    /// # Errors
    /// There is no such guard, or it cannot be overridden.
    pub fn parse(name: &str) -> Result<Self> {
        let found = Self::all().iter().find(|guard| guard.as_str() == name);
        let Some(guard) = found else {
            let names = Self::all()
                .iter()
                .filter(|guard| guard.fixed().is_none())
                .map(|guard| guard.as_str());
            let error = Error::usage(format!("--override: there is no guard {name:?}"));
            return Err(match nearest(name, names.clone()) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error.hint(format!("guards: {}", names.collect::<Vec<_>>().join(", "))),
            });
        };
        match guard.fixed() {
            None => Ok(*guard),
            Some(why) => Err(Error::usage(format!(
                "--override: {name} cannot be overridden: {why}"
            ))),
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// Guards that a person switched off for one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// Which.
    pub guards: Vec<Guard>,
    /// Why, in the person's words.
    pub reason: String,
    /// Who: `alice@worker-1`.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

/// Which, by whom and why: `max-audience, by alice@worker-1: the press release`.
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

/// Everything that was overridden for a run: kept in its plan as `overrides`, beside the order or the course.
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
    /// They are no JSON, which is a defect.
    pub fn write(&self, plan: &mut Value) -> Result<()> {
        if !self.0.is_empty() {
            plan[KEY] = serde_json::to_value(self)
                .kind(ErrorKind::Bug, || "overrides that cannot be written down")?;
        }
        Ok(())
    }

    /// Returns the override that switches a guard off, if one does.
    pub fn lifting(&self, guard: Guard) -> Option<&Override> {
        self.0.iter().rev().find(|one| one.guards.contains(&guard))
    }

    /// Returns whether a guard is switched off.
    pub fn lift(&self, guard: Guard) -> bool {
        self.lifting(guard).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_has_a_name_of_its_own_that_is_read_back_and_serialised_likewise() {
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
    fn a_name_with_a_slip_gets_the_nearest() {
        let error = Guard::parse("max-audiense").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert_eq!(error.hints(), ["did you mean max-audience?"]);
    }
}
