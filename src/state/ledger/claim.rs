//! Claims recipients durably before anything is sent, each at most once.

use std::collections::HashSet;

use super::decide::{Candidate, Decision, Device, Group, Guard};
use super::ids::UserKey;
use super::push::{LedgerPush, Sender};
use super::record::{Claim, Ending};
use crate::error::{Error, ErrorKind, Result};
use crate::state::leases::lost;
use crate::state::store::{Backend, Store};

/// A device to send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Won {
    /// The claim, by which the outcome is recorded.
    pub claim: Claim,
    /// The index of the token among the candidate's.
    pub token: usize,
}

/// The result of claiming a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The candidate was claimed: send to these devices, and record an outcome for each.
    Won(Vec<Won>),
    /// The user was claimed for this push earlier, perhaps by this run before a crash.
    Before(Vec<Device>),
    /// The same user occurs earlier in this group.
    Repeated,
    /// Every token of the user was claimed for another user.
    TokenTaken,
    /// One more push would exceed this limit of the guard, by index.
    Over(usize),
}

/// A recipient to skip, with the reason.
#[derive(Debug, Clone)]
pub struct Dismissal {
    pub user: UserKey,
    /// [`Ending::Skipped`] or [`Ending::Cancelled`].
    pub ending: Ending,
    /// The reason: `no-token`, `l3Cooldown`, …
    pub code: String,
}

impl Dismissal {
    /// Makes a skipped recipient, with the code of the reason.
    pub fn skipped(user: UserKey, code: impl Into<String>) -> Self {
        Self {
            user,
            ending: Ending::Skipped,
            code: code.into(),
        }
    }
}

impl Store {
    /// Claims a group (hundreds of candidates) in one durable transaction; the results are parallel to it.
    /// After it returns, messages to the claimed devices may be sent.
    pub async fn claim(
        &self,
        push: &LedgerPush,
        sender: &Sender,
        candidates: Vec<Candidate>,
        guard: &Guard,
    ) -> Result<Vec<Claimed>> {
        let group = self.group(push, sender, candidates, guard).await?;
        let claimed = match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.claim(group).await?,
            Backend::Postgres(postgres) => postgres.claim(group).await?,
        };
        claimed.ok_or_else(lost)
    }

    /// Makes a group that `sender` claims now, after checking that the sender is alive.
    pub(super) async fn group(
        &self,
        push: &LedgerPush,
        sender: &Sender,
        candidates: Vec<Candidate>,
        guard: &Guard,
    ) -> Result<Group> {
        sender.hold().await?;
        Ok(Group {
            push: push.id,
            sender: sender.id,
            stamp: sender.stamp(self.now()),
            guard: guard.clone(),
            candidates,
        })
    }

    /// Records in one durable transaction that these recipients are skipped. Recipients that were claimed before are
    /// not changed.
    pub async fn dismiss(
        &self,
        push: &LedgerPush,
        sender: &Sender,
        dismissals: Vec<Dismissal>,
    ) -> Result<()> {
        let now = self.now().as_microsecond();
        let dismissals = first_of_each(dismissals, |one| &one.user);
        let alive = match &*self.backend {
            Backend::Sqlite(sqlite) => sqlite.dismiss(push.id, sender.id, now, dismissals).await?,
            Backend::Postgres(postgres) => {
                let dismissed = postgres.dismiss(push.id, sender.id, now, &dismissals);
                dismissed.await?
            }
        };
        if alive { Ok(()) } else { Err(lost()) }
    }
}

/// Keeps the first entry of each user.
pub(super) fn first_of_each<T>(group: Vec<T>, user: impl Fn(&T) -> &UserKey) -> Vec<T> {
    let mut seen = HashSet::with_capacity(group.len());
    let first: Vec<bool> = group.iter().map(|one| seen.insert(user(one))).collect();
    let marked = group.into_iter().zip(first);
    marked
        .filter_map(|(one, first)| first.then_some(one))
        .collect()
}

impl Group {
    /// Returns the result for each candidate; `id` returns the claim of a candidate's device.
    pub(super) fn conclude(
        &self,
        decisions: Vec<Decision>,
        mut id: impl FnMut(usize, usize) -> Option<i64>,
    ) -> Result<Vec<Claimed>> {
        let mut one = |index, decision| {
            Ok(match decision {
                Decision::Insert(tokens) => {
                    let ids: Option<Vec<i64>> =
                        (0..tokens.len()).map(|device| id(index, device)).collect();
                    let ids = ids.ok_or_else(|| {
                        Error::new(
                            ErrorKind::Bug,
                            "the ledger lacks a claim that was just made",
                        )
                    })?;
                    Claimed::Won(won(&ids, tokens, self.sender))
                }
                Decision::Unheard(devices) => {
                    let ids: Vec<i64> = devices.iter().map(|device| device.claim.id).collect();
                    let tokens = self.candidates[index].positions(&devices);
                    Claimed::Won(won(&ids, tokens, self.sender))
                }
                Decision::Before(devices) => Claimed::Before(devices),
                Decision::Repeated => Claimed::Repeated,
                Decision::TokenTaken => Claimed::TokenTaken,
                Decision::Over(limit) => Claimed::Over(limit),
            })
        };
        let numbered = decisions.into_iter().enumerate();
        numbered
            .map(|(index, decision)| one(index, decision))
            .collect()
    }
}

impl Candidate {
    /// Returns the indexes of the devices' tokens in this candidate.
    fn positions(&self, devices: &[Device]) -> Vec<usize> {
        let position = |device: &Device| {
            self.tokens
                .iter()
                .position(|token| device.token == Some(*token))
        };
        devices.iter().filter_map(position).collect()
    }
}

fn won(ids: &[i64], tokens: Vec<usize>, sender: i64) -> Vec<Won> {
    let first = ids.first().copied().unwrap_or_default();
    ids.iter()
        .zip(tokens)
        .map(|(id, token)| Won {
            claim: Claim {
                id: *id,
                first,
                queued: false,
                sender,
            },
            token,
        })
        .collect()
}
