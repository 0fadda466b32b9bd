//! The waterfall's new users who miss a step, in one file.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::facts::{Facts, time};
use super::waterfall::{Newcomer, STEMS, Waterfall, newcomers, target_shoe};
use super::{ExpectedFile, Field, flag};

const COLUMNS: [&str; 11] = [
    "user_id",
    "username",
    "firstName",
    "has_shoes",
    "has_bio",
    "has_offer",
    "has_wishlist",
    "next_step",
    "top_target_shoe",
    "top_target_shoe_variantid",
    "lastActive",
];

#[derive(Debug, Clone)]
pub(crate) struct Nudges {
    pub(crate) base: Waterfall,
    pub(crate) max_appearances: i64,
    pub(crate) appearance_days: i64,
    /// The users excluded by the notification history. Not a parameter of the audience: the test fills the history.
    pub(crate) sent_often: BTreeSet<Uuid>,
}

impl Default for Nudges {
    fn default() -> Self {
        Self {
            base: Waterfall::default(),
            max_appearances: 2,
            appearance_days: 90,
            sent_often: BTreeSet::new(),
        }
    }
}

impl Nudges {
    pub(super) fn arguments(&self) -> Vec<String> {
        let own = [
            flag("max-appearances", self.max_appearances),
            flag("appearance-days", self.appearance_days),
        ];
        [self.base.arguments(), own.concat()].concat()
    }
}

pub(super) fn files(facts: &Facts<'_>, parameters: &Nudges) -> Vec<ExpectedFile> {
    let rows = newcomers(facts, &parameters.base)
        .iter()
        .filter(|newcomer| newcomer.level() < 5)
        .filter(|newcomer| !parameters.sent_often.contains(&newcomer.user.id))
        .map(|newcomer| row(facts, newcomer))
        .collect();
    vec![ExpectedFile {
        stem: "new-user-nudges".to_owned(),
        columns: COLUMNS.to_vec(),
        rows,
    }]
}

fn row(facts: &Facts<'_>, newcomer: &Newcomer<'_>) -> Vec<Field> {
    let user = newcomer.user;
    let [shoe, variant] = target_shoe(facts, user.id);
    let [shoes, bio, offer, wishlist] = newcomer.steps.map(|taken| Some(taken.to_string()));
    vec![
        Some(user.id.to_string()),
        user.username.clone(),
        user.first_name.clone(),
        shoes,
        bio,
        offer,
        wishlist,
        Some(STEMS[newcomer.level() - 1].to_owned()),
        shoe,
        variant,
        facts.last_active(user.id).map(time),
    ]
}
