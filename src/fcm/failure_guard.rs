//! A run that watches itself: when answers say that something is badly wrong, going on would only do harm. Pure.

use std::collections::VecDeque;

use crate::count::{counted, several};

/// When a run stops itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The share of failed and in-doubt messages over the whole run (0 to 1) above which it stops; dead tokens do
    /// not count, they are part of every audience.
    pub failure_rate: Option<f64>,
    /// How many answers there must be before anything is concluded from them.
    pub least: usize,
    /// How many of the latest answers are looked at for a jump.
    pub window: usize,
    /// The share of dead, 401, 403 and 404 answers among the latest that stops a run whatever came before.
    pub always: f64,
    /// The share that stops it when it is also three times what it was before.
    pub jump: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failure_rate: None,
            least: 100,
            window: 500,
            always: 0.5,
            jump: 0.2,
        }
    }
}

/// What one message's end means here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Accepted.
    Good,
    /// A dead token.
    Dead,
    /// Refused with 401, 403 or 404.
    Refused,
    /// Failed otherwise.
    Failed,
    /// Its answer was never seen.
    InDoubt,
}

/// The counts so far.
#[derive(Debug)]
pub(super) struct FailureGuard {
    limits: Limits,
    all: usize,
    failed: usize,
    in_doubt: usize,
    suspect_before: usize,
    latest: VecDeque<bool>,
    suspect: usize,
}

impl FailureGuard {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            latest: VecDeque::with_capacity(limits.window),
            limits,
            all: 0,
            failed: 0,
            in_doubt: 0,
            suspect_before: 0,
            suspect: 0,
        }
    }

    /// Counts one message; says why the run should stop, if it should.
    pub(super) fn count(&mut self, sign: Sign) -> Option<String> {
        self.all += 1;
        self.failed += usize::from(matches!(sign, Sign::Refused | Sign::Failed));
        self.in_doubt += usize::from(sign == Sign::InDoubt);
        if self.latest.len() == self.limits.window
            && let Some(oldest) = self.latest.pop_front()
        {
            self.suspect -= usize::from(oldest);
            self.suspect_before += usize::from(oldest);
        }
        let suspect = matches!(sign, Sign::Dead | Sign::Refused);
        self.suspect += usize::from(suspect);
        self.latest.push_back(suspect);
        // A good answer makes nothing worse, but it may be the first to allow a conclusion.
        let concludes = sign != Sign::Good || self.all == self.limits.least;
        if self.all < self.limits.least || !concludes {
            return None;
        }
        self.too_many_failures().or_else(|| self.jump())
    }

    fn too_many_failures(&self) -> Option<String> {
        let limit = self.limits.failure_rate?;
        let share = share(self.failed + self.in_doubt, self.all);
        (share > limit).then(|| {
            // In the words of the summary: what is in doubt did not fail.
            let count = |count: usize| count as u64;
            let what = several(&[
                (count(self.failed), "failed"),
                (count(self.in_doubt), "in doubt"),
            ]);
            format!(
                "of {} {what} ({}), more than the {} that are allowed",
                counted(count(self.all), "messages"),
                percent(share),
                percent(limit)
            )
        })
    }

    fn jump(&self) -> Option<String> {
        let now = share(self.suspect, self.latest.len());
        let earlier = self.all - self.latest.len();
        let before = share(self.suspect_before, earlier);
        let jumped =
            earlier >= self.limits.window && now >= self.limits.jump && now >= 3.0 * before;
        (now >= self.limits.always || jumped).then(|| {
            let earlier = if jumped {
                format!(" ({} before)", percent(before))
            } else {
                String::new()
            };
            format!(
                "{} of the last {} answers were dead tokens, 401, 403 or 404{earlier}",
                percent(now),
                self.latest.len()
            )
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of messages")]
fn share(part: usize, all: usize) -> f64 {
    if all == 0 {
        0.0
    } else {
        part as f64 / all as f64
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of the message that stops the run, and why.
    fn stop(limits: Limits, signs: impl IntoIterator<Item = Sign>) -> Option<(usize, String)> {
        let mut watch = FailureGuard::new(limits);
        signs
            .into_iter()
            .enumerate()
            .find_map(|(place, sign)| Some((place + 1, watch.count(sign)?)))
    }

    fn every(nth: usize, sign: Sign, count: usize) -> impl Iterator<Item = Sign> {
        (1..=count).map(move |place| if place % nth == 0 { sign } else { Sign::Good })
    }

    #[test]
    fn the_usual_share_of_dead_tokens_stops_nothing() {
        assert_eq!(stop(Limits::default(), every(6, Sign::Dead, 50_000)), None);
    }

    #[test]
    fn a_list_of_dead_tokens_stops_as_soon_as_anything_can_be_concluded() {
        let (place, reason) = stop(Limits::default(), every(1, Sign::Dead, 1_000)).expect("a stop");
        assert_eq!(place, 100);
        assert_eq!(
            reason,
            "100.0 % of the last 100 answers were dead tokens, 401, 403 or 404"
        );
        assert_eq!(stop(Limits::default(), every(1, Sign::Dead, 99)), None);
    }

    #[test]
    fn a_jump_against_what_came_before_stops_the_run() {
        let signs = every(50, Sign::Dead, 5_000).chain(every(4, Sign::Refused, 1_000));
        let (place, reason) = stop(Limits::default(), signs).expect("a stop");
        assert!((5_300..5_500).contains(&place), "{place}");
        assert!(
            reason.contains("20.0 %") && reason.contains("(2.0 % before)"),
            "{reason}"
        );
        // The same share from the start is no jump.
        assert_eq!(
            stop(Limits::default(), every(4, Sign::Refused, 10_000)),
            None
        );
    }

    #[test]
    fn what_was_bad_before_anything_could_be_concluded_is_not_forgotten() {
        let signs = || every(1, Sign::Dead, 60).chain(every(9_999, Sign::Dead, 1_000));
        assert_eq!(stop(Limits::default(), signs()).expect("a stop").0, 100);
    }

    #[test]
    fn the_failure_rate_counts_failures_over_the_whole_run() {
        let limits = Limits {
            failure_rate: Some(0.05),
            ..Limits::default()
        };
        let (place, reason) = stop(limits.clone(), every(10, Sign::Failed, 1_000)).expect("a stop");
        assert_eq!(place, 100);
        assert_eq!(
            reason,
            "of 100 messages 10 failed (10.0 %), more than the 5.0 % that are allowed"
        );
        let both = every(20, Sign::Failed, 1_000).zip(every(10, Sign::InDoubt, 1_000));
        let both = both.map(|(failed, lost)| if failed == Sign::Good { lost } else { failed });
        let (_, reason) = stop(limits.clone(), both).expect("a stop");
        assert_eq!(
            reason,
            "of 100 messages 5 failed, 5 in doubt (10.0 %), more than the 5.0 % that are allowed"
        );
        assert_eq!(stop(limits.clone(), every(25, Sign::Failed, 10_000)), None);
        assert_eq!(stop(limits, every(10, Sign::Dead, 10_000)), None);
    }
}
