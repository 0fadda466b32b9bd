//! The counts of excluded recipients by reason.

use std::ops::AddAssign;

use serde::Serialize;

use super::rules::Rule;

/// Why a recipient is excluded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exclusion {
    Rule(Rule),
    /// The id is not a UUID, so no history can contain it.
    InvalidUuid,
    /// The cadence service excluded the user without naming the rule.
    Unattributed,
}

/// Counts of excluded recipients by reason; serialised with the cadence service's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Breakdown {
    /// [`Rule::Layer3Cooldown`].
    #[serde(rename = "l3Cooldown")]
    pub layer_3_cooldown: u64,
    /// [`Rule::Combined`].
    #[serde(rename = "l2l3WeeklyLimit")]
    pub combined: u64,
    /// [`Rule::Layer5Cooldown`].
    #[serde(rename = "l5Cooldown")]
    pub layer_5_cooldown: u64,
    /// [`Exclusion::InvalidUuid`].
    pub invalid_uuid: u64,
    /// [`Exclusion::Unattributed`].
    #[serde(skip_serializing_if = "is_zero")]
    pub unattributed: u64,
}

impl Exclusion {
    /// Returns its name in a breakdown, which is also the code of a skipped recipient.
    pub fn key(self) -> &'static str {
        match self {
            Self::Rule(rule) => rule.key(),
            Self::InvalidUuid => "invalidUuid",
            Self::Unattributed => "cadence",
        }
    }
}

impl Breakdown {
    /// Returns whether a skipped recipient's code is one of [`Exclusion::key`].
    pub fn is_key(code: &str) -> bool {
        let rules = Rule::ALL.map(Exclusion::Rule);
        let others = [Exclusion::InvalidUuid, Exclusion::Unattributed];
        rules
            .iter()
            .chain(&others)
            .any(|exclusion| exclusion.key() == code)
    }

    pub fn total(&self) -> u64 {
        self.layer_3_cooldown
            + self.combined
            + self.layer_5_cooldown
            + self.invalid_uuid
            + self.unattributed
    }

    /// Returns how many for this reason.
    pub fn of(mut self, exclusion: Exclusion) -> u64 {
        *self.place(exclusion)
    }

    pub fn count(&mut self, exclusion: Exclusion) {
        *self.place(exclusion) += 1;
    }

    fn place(&mut self, exclusion: Exclusion) -> &mut u64 {
        match exclusion {
            Exclusion::Rule(Rule::Layer3Cooldown) => &mut self.layer_3_cooldown,
            Exclusion::Rule(Rule::Combined) => &mut self.combined,
            Exclusion::Rule(Rule::Layer5Cooldown) => &mut self.layer_5_cooldown,
            Exclusion::InvalidUuid => &mut self.invalid_uuid,
            Exclusion::Unattributed => &mut self.unattributed,
        }
    }
}

impl AddAssign for Breakdown {
    fn add_assign(&mut self, other: Self) {
        self.layer_3_cooldown += other.layer_3_cooldown;
        self.combined += other.combined;
        self.layer_5_cooldown += other.layer_5_cooldown;
        self.invalid_uuid += other.invalid_uuid;
        self.unattributed += other.unattributed;
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands out references"
)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}
