//! A run that watches itself: when answers say that something is badly wrong, going on would only do harm. Pure.
//!
//! Two kinds of rule. Failed messages and those in doubt speak of the service or of the message: more than half of the
//! first or of the latest answers ([`SAMPLE`]), or more than the share that the sender allows, stop the run. Dead
//! tokens speak of the audience: every audience has some, so they count neither for nor against the first rule, and
//! stop the run, together with 401, 403 and 404, only where their share is large or jumps.
//!
//! One lost connection puts up to a hundred messages in doubt at once, a service that restarts all that were under way,
//! and that says little of the next ones: what is lost within [`EVENT`] counts as a fifth of the sample at most. A run
//! of which more than half is in doubt nevertheless is stopped by the sum over all answers, once there are five samples
//! of them.
//!
//! A message that fails after several tries does so long after those that left with it: the last answers of a send are
//! those of throttled phones alone. Such failures are weighed against the messages that left together with them, a
//! sample at a time, and not against the latest answers.
//!
//! An audience of fewer than twice [`SAMPLE`] messages is judged by half of them, so that a conclusion still spares the
//! other half; below [`SMALLEST`] answers nothing is concluded, and such a run ends as partial. Until the first
//! conclusion one and a half times the sample leave at most, so that a fast connection does not send everything before
//! the first answers come.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::answer::Code;

/// The answers that the first and every later conclusion about failures is drawn from.
const SAMPLE: usize = 100;
/// Fewer answers allow no conclusion: one bad device would stop a handful of messages.
const SMALLEST: usize = 20;
/// Samples after which the sum over all answers counts too.
const SAMPLES: usize = 5;
/// The part of the sample that lost connections count as at most, inverted.
const LOSS: usize = 5;
/// Connections that are lost within so long are one event: the service restarted, or a network on the way did.
const EVENT: Duration = Duration::from_secs(5);
/// The code of a message whose connection was lost.
const LOST: &str = "CONNECTION_LOST";

use crate::count::{counted, several};

/// When a run stops itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// The share of failed and in-doubt messages over the whole run (0 to 1) above which it stops; dead tokens do
    /// not count, they are part of every audience.
    pub failure_rate: Option<f64>,
    /// The same share of the first and of the latest answers; `None` switches the rule off.
    pub latest_failed: Option<f64>,
    /// How many answers there must be before anything is concluded from dead tokens.
    pub least: usize,
    /// How many of the latest answers are looked at for a jump.
    pub window: usize,
    /// The share of dead, 401, 403 and 404 answers among the latest that stops a run whatever came before.
    pub always: f64,
    /// The share that stops it when it is also three times what it was before.
    pub jump: f64,
}

impl Limits {
    /// Returns limits that stop nothing.
    pub fn off() -> Self {
        Self {
            failure_rate: None,
            latest_failed: None,
            always: f64::INFINITY,
            jump: f64::INFINITY,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failure_rate: None,
            latest_failed: Some(0.5),
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

/// The end of one message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended<'c> {
    pub(super) sign: Sign,
    pub(super) code: &'c str,
    /// How many messages left before its first try.
    pub(super) place: u64,
    pub(super) is_retried: bool,
}

/// Of the messages that left together those that count against the others.
#[derive(Debug, Clone, Copy, Default)]
struct Together {
    dead: usize,
    bad: usize,
}

/// The counts so far.
#[derive(Debug)]
pub(super) struct FailureGuard {
    limits: Limits,
    sample: usize,
    all: usize,
    /// Those that the first conclusion is drawn from.
    weighed: usize,
    failed: usize,
    in_doubt: usize,
    /// When the latest event began in which connections were lost, and how many messages with them.
    loss: Option<(Instant, usize)>,
    causes: HashMap<Code, usize>,
    /// Of the latest answers that were no dead tokens: the code of each that failed or is in doubt.
    recent: VecDeque<Option<Code>>,
    recent_failed: usize,
    /// By the order of leaving, a sample each.
    together: Vec<Together>,
    suspect_before: usize,
    latest: VecDeque<bool>,
    suspect: usize,
}

impl FailureGuard {
    /// `expected`: how many messages there will be, if that is known.
    pub(super) fn new(limits: Limits, expected: Option<u64>) -> Self {
        let half = expected.and_then(|count| usize::try_from(count.div_ceil(2)).ok());
        Self {
            latest: VecDeque::with_capacity(limits.window),
            limits,
            sample: half.unwrap_or(SAMPLE).clamp(SMALLEST, SAMPLE),
            all: 0,
            weighed: 0,
            failed: 0,
            in_doubt: 0,
            loss: None,
            causes: HashMap::new(),
            recent: VecDeque::with_capacity(SAMPLE),
            recent_failed: 0,
            together: Vec::new(),
            suspect_before: 0,
            suspect: 0,
        }
    }

    /// Returns how many messages may be without an outcome: few until the first answers have been judged.
    pub(super) fn most_open(&self) -> usize {
        if self.limits.latest_failed.is_none() || self.weighed >= self.sample {
            usize::MAX
        } else {
            self.sample + self.sample / 2 - self.weighed
        }
    }

    /// Counts one message; says why the run should stop, if it should.
    pub(super) fn count(&mut self, ended: Ended<'_>, now: Instant) -> Option<String> {
        let Ended { sign, code, .. } = ended;
        self.all += 1;
        let weighs = self.weighs(code, now);
        self.weighed += usize::from(weighs);
        self.failed += usize::from(matches!(sign, Sign::Refused | Sign::Failed));
        self.in_doubt += usize::from(sign == Sign::InDoubt);
        let bad = matches!(sign, Sign::Refused | Sign::Failed | Sign::InDoubt);
        let code = bad.then(|| Code::Owned(code.to_owned()));
        if let Some(code) = &code {
            *self.causes.entry(code.clone()).or_default() += 1;
        }
        let mut failed_together = None;
        if weighs {
            failed_together = self.count_together(ended, bad);
            if sign != Sign::Dead && !ended.is_retried {
                self.remember(code);
            }
        }
        if self.latest.len() == self.limits.window
            && let Some(oldest) = self.latest.pop_front()
        {
            self.suspect -= usize::from(oldest);
            self.suspect_before += usize::from(oldest);
        }
        let suspect = matches!(sign, Sign::Dead | Sign::Refused);
        self.suspect += usize::from(suspect);
        self.latest.push_back(suspect);
        failed_together
            .or_else(|| self.mostly_failed())
            .or_else(|| self.too_many_failures(sign))
            .or_else(|| self.jump(sign))
    }

    /// Returns whether a message says something of its own, and not only the same as those lost with it.
    fn weighs(&mut self, code: &str, now: Instant) -> bool {
        if code != LOST {
            return true;
        }
        let (began, count) = match self.loss {
            Some((began, count)) if now.saturating_duration_since(began) < EVENT => {
                (began, count + 1)
            }
            _ => (now, 1),
        };
        self.loss = Some((began, count));
        count <= self.sample / LOSS
    }

    /// Counts a message among those that left with it; says so if one that was tried again shows that most of them
    /// failed.
    fn count_together(&mut self, ended: Ended<'_>, bad: bool) -> Option<String> {
        let sample = usize::try_from(ended.place).ok()? / self.sample;
        if self.together.len() <= sample {
            self.together.resize(sample + 1, Together::default());
        }
        let together = self.together.get_mut(sample)?;
        together.dead += usize::from(ended.sign == Sign::Dead);
        together.bad += usize::from(bad);
        let (count, all) = (together.bad, self.sample.saturating_sub(together.dead));
        let limit = self.limits.latest_failed?;
        (bad && ended.is_retried && all >= SMALLEST && share(count, all) > limit).then(|| {
            format!(
                "{count} of {all} messages that left one after the other failed or are in doubt{}",
                most_often(&self.causes)
            )
        })
    }

    fn remember(&mut self, code: Option<Code>) {
        if self.recent.len() == self.sample
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_failed -= usize::from(oldest.is_some());
        }
        self.recent_failed += usize::from(code.is_some());
        self.recent.push_back(code);
    }

    fn mostly_failed(&self) -> Option<String> {
        let limit = self.limits.latest_failed?;
        let (count, all) = (self.recent_failed, self.recent.len());
        if all == self.sample && share(count, all) > limit {
            let mut causes: HashMap<Code, usize> = HashMap::new();
            for code in self.recent.iter().flatten() {
                *causes.entry(code.clone()).or_default() += 1;
            }
            let which = if self.all == all { "first" } else { "last" };
            return Some(format!(
                "{count} of the {which} {all} messages failed or are in doubt{}",
                most_often(&causes)
            ));
        }
        let (count, all) = (self.failed + self.in_doubt, self.all);
        (all >= SAMPLES * self.sample && share(count, all) > limit).then(|| {
            format!(
                "{count} of {all} messages failed or are in doubt{}",
                most_often(&self.causes)
            )
        })
    }

    fn too_many_failures(&self, sign: Sign) -> Option<String> {
        let limit = self.limits.failure_rate?;
        let share = share(self.failed + self.in_doubt, self.all);
        (self.concludes(sign, self.sample) && share > limit).then(|| {
            // In the words of the summary: what is in doubt did not fail.
            let count = |count: usize| count as u64;
            let what = several(&[
                (count(self.failed), "failed"),
                (count(self.in_doubt), "in doubt"),
            ]);
            format!(
                "of {} {what} ({}), more than the {} that are allowed{}",
                counted(count(self.all), "messages"),
                percent(share),
                percent(limit),
                most_often(&self.causes)
            )
        })
    }

    /// A good answer makes nothing worse, but it may be the first to allow a conclusion.
    fn concludes(&self, sign: Sign, least: usize) -> bool {
        self.all >= least && (sign != Sign::Good || self.all == least)
    }

    fn jump(&self, sign: Sign) -> Option<String> {
        if !self.concludes(sign, self.limits.least) {
            return None;
        }
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

/// Returns the most frequent cause, for the end of a sentence.
fn most_often(causes: &HashMap<Code, usize>) -> String {
    let most = causes.iter().max_by_key(|(code, count)| (**count, *code));
    most.map_or_else(String::new, |(code, count)| {
        format!("; most often {code} ({count})")
    })
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
        let mut watch = FailureGuard::new(limits, None);
        signs.into_iter().enumerate().find_map(|(place, sign)| {
            let ended = once(sign, "HTTP_502", place);
            Some((place + 1, watch.count(ended, Instant::now())?))
        })
    }

    /// A message that was tried once.
    fn once(sign: Sign, code: &str, place: usize) -> Ended<'_> {
        Ended {
            sign,
            code,
            place: place as u64,
            is_retried: false,
        }
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
            "of 100 messages 10 failed (10.0 %), more than the 5.0 % that are allowed; most often HTTP_502 (10)"
        );
        let both = every(20, Sign::Failed, 1_000).zip(every(10, Sign::InDoubt, 1_000));
        let both = both.map(|(failed, lost)| if failed == Sign::Good { lost } else { failed });
        let (_, reason) = stop(limits.clone(), both).expect("a stop");
        assert_eq!(
            reason,
            "of 100 messages 5 failed, 5 in doubt (10.0 %), more than the 5.0 % that are allowed; most often HTTP_502 (10)"
        );
        assert_eq!(stop(limits.clone(), every(25, Sign::Failed, 10_000)), None);
        assert_eq!(stop(limits, every(10, Sign::Dead, 10_000)), None);
    }

    #[test]
    fn more_than_half_of_the_first_hundred_stop_the_run_and_half_do_not() {
        let (place, reason) =
            stop(Limits::default(), every(1, Sign::Failed, 8_000)).expect("a stop");
        assert_eq!(place, 100);
        assert_eq!(
            reason,
            "100 of the first 100 messages failed or are in doubt; most often HTTP_502 (100)"
        );
        assert_eq!(stop(Limits::default(), every(2, Sign::Failed, 8_000)), None);
    }

    #[test]
    fn more_than_half_of_the_latest_hundred_stop_the_run_however_good_it_was_before() {
        let signs = every(3, Sign::Failed, 6_000).chain(every(1, Sign::Failed, 2_000));
        let (place, reason) = stop(Limits::default(), signs).expect("a stop");
        assert!((6_020..=6_051).contains(&place), "{place}");
        assert!(reason.starts_with("51 of the last 100"), "{reason}");
    }

    #[test]
    fn dead_tokens_neither_hide_failures_nor_count_as_failures() {
        let signs = (0..8_000).map(|n| match n % 10 {
            0..4 => Sign::Dead,
            4..8 => Sign::Failed,
            _ => Sign::Good,
        });
        assert!(stop(Limits::default(), signs).is_some());
        let dead = (0..8_000).map(|n| match n % 10 {
            0..4 => Sign::Dead,
            4..6 => Sign::Failed,
            _ => Sign::Good,
        });
        assert_eq!(stop(Limits::default(), dead), None);
    }

    #[test]
    fn a_small_audience_is_judged_by_half_of_it_and_a_handful_not_at_all() {
        let place = |expected| {
            let mut watch = FailureGuard::new(Limits::default(), Some(expected));
            (1..=expected).find(|place| {
                let place = usize::try_from(*place).expect("a small number") - 1;
                let ended = once(Sign::Failed, "RESET", place);
                watch.count(ended, Instant::now()).is_some()
            })
        };
        assert_eq!(place(8_000), Some(100));
        assert_eq!(place(150), Some(75));
        assert_eq!(place(60), Some(30));
        assert_eq!(place(30), Some(20));
        assert_eq!(place(19), None);
    }

    /// Counts `failing` of 10,000 messages last, after their tries, and the others first. Returns the reason to stop.
    fn failing_last(failing: impl Fn(usize) -> bool) -> Option<String> {
        let mut watch = FailureGuard::new(Limits::default(), Some(10_000));
        let (late, soon): (Vec<usize>, Vec<usize>) = (0..10_000).partition(|n| failing(*n));
        let soon = soon.into_iter().map(|n| once(Sign::Good, "", n));
        let late = late.into_iter().map(|n| Ended {
            is_retried: true,
            ..once(Sign::Failed, "QUOTA_EXCEEDED", n)
        });
        let mut reasons = soon
            .chain(late)
            .filter_map(|ended| watch.count(ended, Instant::now()));
        reasons.next()
    }

    #[test]
    fn phones_that_fail_after_their_tries_are_weighed_against_those_that_left_with_them() {
        assert_eq!(failing_last(|n| n % 100 == 0), None);
        assert_eq!(failing_last(|n| n % 2 == 0), None);
        // The service got worse while the send went on.
        let reason = failing_last(|n| n > 6_000).expect("a stop");
        assert_eq!(
            reason,
            "51 of 100 messages that left one after the other failed or are in doubt; most often QUOTA_EXCEEDED (51)"
        );
    }

    #[test]
    fn the_rule_can_be_switched_off() {
        let limits = Limits {
            latest_failed: None,
            ..Limits::default()
        };
        assert_eq!(stop(limits, every(1, Sign::Failed, 8_000)), None);
    }

    #[test]
    fn the_most_frequent_cause_is_named() {
        let mut watch = FailureGuard::new(Limits::default(), None);
        let codes = (0..100).map(|n| (n, if n % 3 == 0 { "RESET" } else { "HTTP_502" }));
        let reasons: Vec<String> = codes
            .filter_map(|(n, code)| watch.count(once(Sign::Failed, code, n), Instant::now()))
            .collect();
        assert!(
            reasons[0].ends_with("most often HTTP_502 (66)"),
            "{reasons:?}"
        );
    }

    /// The answer that stops a run on connections that each give `good` answers and then take `lost` messages with
    /// them.
    fn stop_of_losses(good: usize, lost: usize, connections: usize) -> Option<usize> {
        let mut watch = FailureGuard::new(Limits::default(), None);
        let start = Instant::now();
        let mut place = 0;
        for connection in 0..connections {
            let now = start + Duration::from_secs(connection as u64);
            let signs = [(Sign::Good, "", good), (Sign::Failed, LOST, lost)];
            for (sign, code, count) in signs {
                for _ in 0..count {
                    place += 1;
                    if watch.count(once(sign, code, place - 1), now).is_some() {
                        return Some(place);
                    }
                }
            }
        }
        None
    }

    #[test]
    fn a_lost_connection_stops_nothing_and_many_of_them_do() {
        assert_eq!(stop_of_losses(0, 100, 1), None);
        assert_eq!(stop_of_losses(60, 100, 2), None);
        assert_eq!(stop_of_losses(2_000, 100, 30), None);
        // A box on the way that cuts every connection short.
        assert!((500..600).contains(&stop_of_losses(30, 70, 80).expect("a stop")));
        assert!((200..=250).contains(&stop_of_losses(0, 10, 80).expect("a stop")));
    }

    #[test]
    fn losses_never_keep_messages_from_being_sent_for_ever() {
        let mut watch = FailureGuard::new(Limits::default(), None);
        let start = Instant::now();
        for loss in 0..4 {
            let now = start + Duration::from_secs(loss);
            for place in 0..100 {
                watch.count(once(Sign::Failed, LOST, place), now);
                assert!(watch.most_open() > 50);
            }
        }
    }
}
