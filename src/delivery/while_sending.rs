//! The end of a running send before its last row: quiet hours may begin, and the latest instant may pass.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::automation::file::QuietAction;
use crate::automation::quiet_hours::QuietHours;
use crate::error::{Error, ErrorKind};
use crate::fcm::Halt;
use crate::state::Cancellation;

/// Why a send ended before its last row.
#[derive(Debug)]
pub(super) enum Stop {
    /// A signal.
    Interrupted(ErrorKind),
    /// The run was cancelled.
    Cancelled(Cancellation),
    /// The push service, or the failure guard.
    Halted(Halt),
    /// The end of the time budget.
    OutOfTime,
    /// Quiet hours began; with an end where the run waits for it.
    Quiet {
        hours: String,
        until: Option<Timestamp>,
    },
    /// No message may leave after this instant.
    Late(Timestamp),
    /// Too many of the recipients had the push lately.
    Overlap(String),
    /// An error of the history, the store or the file.
    Failed(Error),
}

/// The time limits of a send.
#[derive(Debug, Clone, Default)]
pub struct WhileSending {
    /// The quiet hours.
    pub quiet: Option<Quiet>,
    /// No message leaves after this instant.
    pub latest: Option<Timestamp>,
}

/// The quiet hours of an automation.
#[derive(Debug, Clone)]
pub struct Quiet {
    /// The times of day.
    pub hours: QuietHours,
    /// The time zone of the hours.
    pub zone: TimeZone,
    /// The action on a push in quiet hours.
    pub action: QuietAction,
}

impl Quiet {
    /// Returns when the quiet hours end, if `now` is inside them.
    pub fn end_after(&self, now: Timestamp) -> Option<Timestamp> {
        self.hours.end_after(&now.to_zoned(self.zone.clone()))
    }
}

impl WhileSending {
    /// Returns when the next quiet hours begin: no message may be delivered later.
    pub(super) fn next_quiet(&self, now: Timestamp) -> Option<Timestamp> {
        let quiet = self.quiet.as_ref()?;
        Some(quiet.hours.next_begin(&now.to_zoned(quiet.zone.clone())))
    }

    /// Returns the reason to stop now, if there is one.
    pub(super) fn look(&self, now: Timestamp) -> Option<Stop> {
        if let Some(latest) = self.latest.filter(|latest| now > *latest) {
            return Some(Stop::Late(latest));
        }
        let quiet = self.quiet.as_ref()?;
        let end = quiet.end_after(now)?;
        Some(Stop::Quiet {
            hours: quiet.hours.to_string(),
            until: (quiet.action == QuietAction::Delay).then_some(end),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(action: QuietAction) -> WhileSending {
        WhileSending {
            quiet: Some(Quiet {
                hours: "21:00-09:00".parse().unwrap(),
                zone: TimeZone::get("America/Chicago").unwrap(),
                action,
            }),
            latest: Some("2026-11-21T22:00:00-06:00".parse().unwrap()),
        }
    }

    #[test]
    fn quiet_hours_stop_or_pause_and_lateness_stops() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let evening = at("2026-11-21T20:59:59-06:00");
        let night = at("2026-11-21T21:00:00-06:00");
        let refusing = gate(QuietAction::Refuse);
        assert!(refusing.look(evening).is_none());
        assert!(matches!(
            refusing.look(night),
            Some(Stop::Quiet { until: None, .. })
        ));
        let morning = at("2026-11-22T09:00:00-06:00");
        match gate(QuietAction::Delay).look(night) {
            Some(Stop::Quiet { until, hours }) => {
                assert_eq!((until, hours.as_str()), (Some(morning), "21:00-09:00"));
            }
            other => panic!("{other:?}"),
        }
        let late = at("2026-11-21T22:00:01-06:00");
        assert!(matches!(refusing.look(late), Some(Stop::Late(_))));
        assert!(WhileSending::default().look(late).is_none());
    }
}
