//! Decides about a group of claims: pure, the same for both databases.

use std::collections::HashSet;

use jiff::Timestamp;

use super::ids::{TokenHash, UserKey};
use super::record::{Claim, Standing};

/// A recipient to claim.
#[derive(Debug, Clone)]
pub struct Candidate {
    pub user: UserKey,
    /// The hashes of the user's tokens; usually one.
    pub tokens: Vec<TokenHash>,
    /// The pushes in a remote history that count for the guard's limits.
    pub counted: Counted,
}

/// A group of candidates to claim.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) push: i64,
    pub(super) sender: i64,
    /// The time of the claims. An earlier claim of this sender with this stamp was made by an attempt whose answer was
    /// lost.
    pub(super) stamp: i64,
    pub(super) guard: Guard,
    pub(super) candidates: Vec<Candidate>,
}

/// The largest number of limits for one push.
pub const MOST_LIMITS: usize = 3;

/// A largest number of pushes of some layers since an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The layers that count: bit `n` for layer `n`.
    pub layers: u32,
    /// Pushes later than this count.
    pub since: Timestamp,
    /// The largest number, with the new push.
    pub at_most: u32,
}

/// The number of pushes in a remote history that count for each limit of a [`Guard`], in the guard's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counted(pub [u16; MOST_LIMITS]);

/// The cadence limits for a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// All must hold; at most [`MOST_LIMITS`]. With none, everyone may be claimed.
    pub limits: Vec<Limit>,
    /// The pushes of the ledger that count in addition to those [`Counted`] in a remote history.
    pub basis: Basis,
}

/// Selects the pushes of the ledger that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// All: the ledger is the history.
    Here,
    /// Those not yet in the remote history at delivery number `synced`, which was read before the history.
    Elsewhere {
        /// See [`Store::deliveries`](crate::state::Store::deliveries).
        synced: i64,
    },
}

/// A push of a user that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// The push; messages to several devices are one push.
    pub push: i64,
    pub layer: u32,
    pub at: Timestamp,
}

/// A device claimed earlier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub claim: Claim,
    /// 0 for a user's first device.
    pub device: u32,
    /// The hash of its token; `None` for a skipped recipient.
    pub token: Option<TokenHash>,
    pub standing: Standing,
    /// The sender that claimed it; `None` while it waits in the queue.
    pub(super) sender: Option<i64>,
}

/// The ledger's records about one candidate.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Earlier claims of the same push, by device.
    pub(super) devices: Vec<Device>,
    /// Whether this sender made them in an attempt whose answer was lost.
    pub(super) answer_lost: bool,
    /// Pushes that count against the limits.
    pub(super) touches: Vec<Touch>,
}

/// The decision about one candidate.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Claim these of the candidate's tokens, the first as device 0.
    Insert(Vec<usize>),
    Unheard(Vec<Device>),
    Before(Vec<Device>),
    Repeated,
    TokenTaken,
    Over(usize),
}

impl Seen {
    /// Adds an earlier claim of the same push; to be called in the order of devices.
    pub(super) fn see(&mut self, mut device: Device, claimed_at: i64, group: &Group) {
        let mine = device.sender == Some(group.sender) && claimed_at == group.stamp;
        self.answer_lost = mine && device.standing == Standing::Unanswered;
        device.claim.first = self
            .devices
            .first()
            .map_or(device.claim.id, |first| first.claim.id);
        self.devices.push(device);
    }
}

impl Guard {
    /// Returns a guard without limits.
    pub fn none() -> Self {
        Self {
            limits: Vec::new(),
            basis: Basis::Here,
        }
    }

    /// Returns the earliest instant that any limit looks back to.
    pub(in crate::state) fn since(&self) -> Option<Timestamp> {
        self.limits.iter().map(|limit| limit.since).min()
    }
}

impl Basis {
    /// Returns the delivery number: outcomes of later deliveries count, and those without a delivery.
    pub(super) fn synced(self) -> i64 {
        match self {
            Self::Here => -1,
            Self::Elsewhere { synced } => synced,
        }
    }
}

impl Counted {
    pub(super) fn pack(self) -> i64 {
        self.0
            .iter()
            .rev()
            .fold(0, |packed, count| packed << 16 | i64::from(*count))
    }

    pub(super) fn unpack(packed: i64) -> Self {
        Self([0, 16, 32].map(|shift| u16::try_from(packed >> shift & 0xffff).unwrap_or(u16::MAX)))
    }
}

/// Returns the first limit that one more push would exceed.
pub fn first_exceeded(limits: &[Limit], counted: Counted, touches: &[Touch]) -> Option<usize> {
    limits.iter().zip(counted.0).position(|(limit, elsewhere)| {
        let mut pushes: Vec<i64> = touches
            .iter()
            .filter(|touch| limit.layers & (1 << touch.layer) != 0 && touch.at > limit.since)
            .map(|touch| touch.push)
            .collect();
        pushes.sort_unstable();
        pushes.dedup();
        pushes.len() + usize::from(elsewhere) >= limit.at_most as usize
    })
}

/// Decides a group in its order; `seen` is parallel to `candidates`, and `taken` are tokens claimed for other users.
pub(super) fn decide<'a>(
    candidates: &'a [Candidate],
    seen: Vec<Seen>,
    mut taken: HashSet<TokenHash>,
    limits: &[Limit],
) -> Vec<Decision> {
    let mut users: HashSet<&'a UserKey> = HashSet::with_capacity(candidates.len());
    let mut one = |candidate: &'a Candidate, seen: Seen| {
        let Candidate {
            user,
            tokens,
            counted,
        } = candidate;
        if !users.insert(user) {
            return Decision::Repeated;
        }
        if !seen.devices.is_empty() {
            return if seen.answer_lost {
                Decision::Unheard(seen.devices)
            } else {
                Decision::Before(seen.devices)
            };
        }
        if let Some(limit) = first_exceeded(limits, *counted, &seen.touches) {
            return Decision::Over(limit);
        }
        let free: Vec<usize> = (0..tokens.len())
            .filter(|index| taken.insert(tokens[*index]))
            .collect();
        if free.is_empty() {
            Decision::TokenTaken
        } else {
            Decision::Insert(free)
        }
    };
    candidates
        .iter()
        .zip(seen)
        .map(|(candidate, seen)| one(candidate, seen))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(user: &str, tokens: &[&str]) -> Candidate {
        Candidate {
            user: UserKey::of(user),
            tokens: tokens.iter().map(|token| TokenHash::of(token)).collect(),
            counted: Counted::default(),
        }
    }

    #[test]
    fn a_token_is_claimed_for_its_first_user_and_a_user_is_claimed_once() {
        let group = [
            candidate("alice", &["t1", "t2"]),
            candidate("bob", &["t2"]),
            candidate("carol", &["t2", "t3"]),
            candidate("alice", &["t9"]),
            candidate("dave", &["t4"]),
        ];
        let seen = group.iter().map(|_| Seen::default()).collect();
        let taken = HashSet::from([TokenHash::of("t4")]);
        assert_eq!(
            decide(&group, seen, taken, &[]),
            [
                Decision::Insert(vec![0, 1]),
                Decision::TokenTaken,
                Decision::Insert(vec![1]),
                Decision::Repeated,
                Decision::TokenTaken,
            ]
        );
    }

    #[test]
    fn pushes_in_the_remote_history_and_in_the_ledger_are_added_up() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let limit = Limit {
            layers: 1 << 2 | 1 << 3,
            since: at(100),
            at_most: 3,
        };
        let touch = |push, layer, second| Touch {
            push,
            layer,
            at: at(second),
        };
        let exceeded = |elsewhere, touches: &[Touch]| {
            first_exceeded(&[limit], Counted([elsewhere, 0, 0]), touches)
        };
        assert_eq!(exceeded(2, &[]), None);
        assert_eq!(exceeded(3, &[]), Some(0));
        assert_eq!(exceeded(2, &[touch(1, 3, 101)]), Some(0));
        // One is too old, one of a layer that does not count, one the second device of the same push.
        assert_eq!(exceeded(2, &[touch(1, 3, 100), touch(2, 5, 200)]), None);
        assert_eq!(exceeded(1, &[touch(1, 3, 101), touch(1, 3, 101)]), None);
    }

    #[test]
    fn counts_survive_packing() {
        let counted = Counted([3, 0, u16::MAX]);
        assert_eq!(Counted::unpack(counted.pack()), counted);
    }
}
