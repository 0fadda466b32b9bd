//! The number of claims that may be made now, so that few claims wait to leave: after a crash a claim that never left
//! cannot be distinguished from a message whose answer was lost.
//!
//! A group is as large as what can leave once it is claimed: what the push client could put on the wire at once, and
//! what will leave of its own accord while the claim is made, which takes as long as the one before, and during which
//! as much leaves as during that one, or half as much again. So a slow store gets large groups, a fast one small ones,
//! and a push service that is slow or pauses gets none. And it is no larger than half of what is on the wire without a
//! recorded answer, or a few at the beginning: whenever a crash comes, most of what it leaves in doubt was really sent.

use std::time::Duration;

use tokio::time::Instant;

use crate::fcm::DispatchProgress;

/// The minimum time between claims: a commit costs the same for one claim as for dozens.
const SPACING: Duration = Duration::from_millis(5);

/// The experience with earlier claims.
#[derive(Debug, Default)]
pub(super) struct Lead {
    began: Option<Began>,
    /// The time of the next claim.
    next: Option<Instant>,
    /// The duration of a claim: a moving average.
    takes: Duration,
    /// The messages that left during the last claim.
    departed: u64,
}

/// The claim in progress.
#[derive(Debug, Clone, Copy)]
struct Began {
    at: Instant,
    left: u64,
}

impl Lead {
    /// Returns how many claims may be made now, beside `unrecorded` ones without an outcome.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is at most 100,000 a second"
    )]
    pub(super) fn allowance(
        &self,
        progress: &DispatchProgress,
        unrecorded: usize,
        now: Instant,
    ) -> usize {
        let early = self.next.is_some_and(|next| now < next);
        if early || progress.paused.is_some() {
            return 0;
        }
        let by_rate = (progress.rate * self.takes.as_secs_f64()) as u64;
        let by_experience = self.departed + self.departed / 2 + 1;
        let meanwhile = usize::try_from(by_rate.min(by_experience)).unwrap_or(usize::MAX);
        let few = (progress.rate * SPACING.as_secs_f64()).ceil() as usize;
        let most = few.max(unrecorded / 2);
        most.min(progress.vacant.saturating_add(meanwhile))
            .saturating_sub(progress.fresh)
    }

    /// Begins the claim of a group.
    pub(super) fn begin(&mut self, progress: &DispatchProgress, now: Instant) {
        let left = progress.left;
        self.began = Some(Began { at: now, left });
    }

    /// Ends the claim of a group, of which `won` messages are sent.
    pub(super) fn end(&mut self, won: usize, progress: &DispatchProgress, now: Instant) {
        let Some(began) = self.began.take() else {
            return;
        };
        self.takes = (self.takes + (now - began.at)) / 2;
        self.departed = progress.left.saturating_sub(began.left);
        // Without a won claim there is nothing to wait for.
        self.next = (won > 0).then_some(began.at + SPACING);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(vacant: usize, fresh: usize, left: u64) -> DispatchProgress {
        DispatchProgress {
            under_way: 0,
            queued: fresh,
            fresh,
            left,
            vacant,
            connections: 1,
            rate: 4_000.0,
            paused: None,
        }
    }

    /// The waiting messages, the free places and the messages that left, at 4,000 a second.
    struct Wire {
        fresh: usize,
        tokens: usize,
        left: u64,
    }

    impl Wire {
        /// Simulates a millisecond.
        fn step(&mut self) {
            self.tokens = (self.tokens + 4).min(800);
            let leaves = self.fresh.min(self.tokens);
            self.fresh -= leaves;
            self.tokens -= leaves;
            self.left += leaves as u64;
        }

        fn progress(&self) -> DispatchProgress {
            progress(self.tokens, self.fresh, self.left)
        }
    }

    /// Returns the groups of a send whose claims take the given milliseconds.
    fn groups(takes: u32, count: usize) -> Vec<usize> {
        let millisecond = Duration::from_millis(1);
        let (mut lead, mut now) = (Lead::default(), Instant::now());
        let mut wire = Wire {
            fresh: 0,
            tokens: 1,
            left: 0,
        };
        let mut sizes = Vec::new();
        while sizes.len() < count {
            let allowed = lead.allowance(&wire.progress(), 2_000, now);
            if allowed == 0 {
                wire.step();
                now += millisecond;
                continue;
            }
            lead.begin(&wire.progress(), now);
            (0..takes).for_each(|_| wire.step());
            now += millisecond * takes;
            lead.end(allowed, &wire.progress(), now);
            wire.fresh += allowed;
            sizes.push(allowed);
        }
        sizes
    }

    #[test]
    fn a_group_is_as_large_as_what_leaves_during_the_next_claim() {
        let fast = groups(2, 40);
        assert!(
            fast[20..].iter().all(|size| (8..=32).contains(size)),
            "{fast:?}"
        );
        // A small group is followed by a large one: the two together are what leaves during two claims.
        let slow = groups(150, 40);
        let pairs = slow[20..].chunks(2).map(|pair| pair.iter().sum::<usize>());
        assert!(
            pairs.clone().all(|pair| (600..=1_400).contains(&pair)),
            "{slow:?}"
        );
    }

    #[test]
    fn no_claim_is_made_while_claimed_messages_wait_or_the_service_pauses() {
        let (lead, now) = (Lead::default(), Instant::now());
        assert_eq!(lead.allowance(&progress(40, 0, 0), 200, now), 40);
        assert_eq!(lead.allowance(&progress(40, 40, 0), 200, now), 0);
        let paused = DispatchProgress {
            paused: Some(Duration::from_secs(1)),
            ..progress(40, 0, 0)
        };
        assert_eq!(lead.allowance(&paused, 200, now), 0);
    }

    #[test]
    fn a_group_is_at_most_half_of_the_unrecorded_claims_or_a_few() {
        let (lead, now) = (Lead::default(), Instant::now());
        assert_eq!(lead.allowance(&progress(80, 0, 0), 100, now), 50);
        assert_eq!(lead.allowance(&progress(80, 10, 0), 100, now), 40);
        assert_eq!(lead.allowance(&progress(80, 0, 0), 0, now), 20);
    }
}
