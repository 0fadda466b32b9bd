//! New users, by the first onboarding step they miss.

use std::cmp::Reverse;

use uuid::Uuid;

use super::super::market::HOUR;
use super::facts::{Facts, present};
use super::tables::User;
use super::{ExpectedFile, Field, days_before, flag};

#[derive(Debug, Clone)]
pub(crate) struct Waterfall {
    pub(crate) min_hours: i64,
    pub(crate) max_days: i64,
}

impl Default for Waterfall {
    fn default() -> Self {
        Self {
            min_hours: 12,
            max_days: 14,
        }
    }
}

impl Waterfall {
    pub(super) fn arguments(&self) -> Vec<String> {
        [
            flag("min-hours", self.min_hours),
            flag("max-days", self.max_days),
        ]
        .concat()
    }
}

/// A new user and the steps they have taken.
pub(super) struct Newcomer<'a> {
    pub(super) user: &'a User,
    /// The steps taken: shoes, bio, offer, wishlist.
    pub(super) steps: [bool; 4],
}

impl Newcomer<'_> {
    /// Returns the first level that applies.
    pub(super) fn level(&self) -> usize {
        1 + self.steps.iter().take_while(|taken| **taken).count()
    }
}

/// The file of each level, from level 1.
pub(super) const STEMS: [&str; 5] = [
    "no-shoes-new-user",
    "no-bio-new-user",
    "no-offers-new-user",
    "no-wishlist-new-user",
    "new-stars-new-user",
];

pub(super) fn files(facts: &Facts<'_>, parameters: &Waterfall) -> Vec<ExpectedFile> {
    let base = newcomers(facts, parameters);
    let file = |level: usize| {
        let mut columns = vec!["user_id", "username", "firstName", "new_user_level"];
        if level >= 3 {
            columns.extend(["top_target_shoe", "top_target_shoe_variantid"]);
        }
        let of_level = base.iter().filter(|newcomer| newcomer.level() == level);
        ExpectedFile {
            stem: STEMS[level - 1].to_owned(),
            columns,
            rows: of_level.map(|newcomer| row(facts, newcomer)).collect(),
        }
    };
    (1..=5).map(file).collect()
}

fn row(facts: &Facts<'_>, newcomer: &Newcomer<'_>) -> Vec<Field> {
    let user = newcomer.user;
    let mut row = vec![
        Some(user.id.to_string()),
        user.username.clone(),
        user.first_name.clone(),
        Some(newcomer.level().to_string()),
    ];
    if newcomer.level() >= 3 {
        row.extend(target_shoe(facts, user.id));
    }
    row
}

/// Returns the new users in the order of the files: the newest first, then by id.
pub(super) fn newcomers<'a>(facts: &Facts<'a>, parameters: &Waterfall) -> Vec<Newcomer<'a>> {
    let begin = days_before(facts, parameters.max_days);
    let end = facts.as_of - parameters.min_hours * HOUR;
    let mut users: Vec<&User> = facts
        .live()
        .filter(|user| present(user.first_name.as_deref()).is_some())
        .filter(|user| begin <= user.created_at && user.created_at <= end)
        .collect();
    users.sort_by_key(|user| (Reverse(user.created_at), user.id));
    let newcomer = |user: &'a User| Newcomer {
        user,
        steps: [
            facts
                .tables
                .inventory
                .iter()
                .any(|item| item.user_id == user.id),
            present(user.bio.as_deref()).is_some(),
            facts.offers_by(user.id).next().is_some(),
            facts.wishlist_items().any(|item| item.user_id == user.id),
        ],
    };
    users.into_iter().map(newcomer).collect()
}

/// Returns name and variant of the shoe that a new user seems to want most, both NULL if no row shows one.
pub(super) fn target_shoe(facts: &Facts<'_>, user: Uuid) -> [Field; 2] {
    let exists = |variant: Uuid| facts.shoe(variant).is_some();
    let offered = || {
        facts
            .offers_by(user)
            .flat_map(|offer| facts.items_of(offer.id))
    };
    let desired = facts
        .tables
        .desired
        .iter()
        .filter(|item| item.user_id == user && item.deleted_at == 0 && exists(item.variant))
        .min_by_key(|item| {
            (
                Reverse(item.offers_count),
                Reverse(item.created_at),
                item.id,
            )
        })
        .map(|item| item.variant);
    let in_offer = offered()
        .filter(|item| exists(item.variant))
        .min_by_key(|item| (Reverse(item.created_at), item.id))
        .map(|item| item.variant);
    let wished = facts
        .wishlist_items()
        .filter(|item| item.user_id == user && exists(item.variant))
        .min_by_key(|item| (Reverse(item.created_at), item.id))
        .map(|item| item.variant);
    let gone = offered()
        .filter(|item| !exists(item.variant))
        .min_by_key(|item| (Reverse(item.created_at), item.id))
        .map(|item| item.variant);
    let Some(variant) = desired.or(in_offer).or(wished).or(gone) else {
        return [None, None];
    };
    let name = facts
        .shoe(variant)
        .map_or("Unknown Product", |shoe| shoe.product_name);
    [Some(name.to_owned()), Some(variant.to_string())]
}
