//! Recently active users.

use std::cmp::Reverse;

use uuid::Uuid;

use super::super::market::HOUR;
use super::facts::{Facts, present, time};
use super::tables::User;
use super::{ExpectedFile, Field, flag};

const COLUMNS: [&str; 8] = [
    "user_id",
    "username",
    "firstName",
    "usersize",
    "relevant_variant_size",
    "product_name",
    "variantID",
    "lastActive",
];

#[derive(Debug, Clone)]
pub(crate) struct Layer3 {
    pub(crate) lookback_hours: i64,
    pub(crate) cooling_hours: i64,
    pub(crate) min_wishlist: usize,
    pub(crate) min_inventory: usize,
}

impl Default for Layer3 {
    fn default() -> Self {
        Self {
            lookback_hours: 48,
            cooling_hours: 12,
            min_wishlist: 2,
            min_inventory: 3,
        }
    }
}

impl Layer3 {
    pub(super) fn arguments(&self) -> Vec<String> {
        [
            flag("lookback-hours", self.lookback_hours),
            flag("cooling-hours", self.cooling_hours),
            flag(
                "min-wishlist",
                self.min_wishlist.try_into().expect("a small number"),
            ),
            flag(
                "min-inventory",
                self.min_inventory.try_into().expect("a small number"),
            ),
        ]
        .concat()
    }

    fn covers(&self, facts: &Facts<'_>, instant: i64) -> bool {
        facts.as_of - self.lookback_hours * HOUR <= instant
            && instant < facts.as_of - self.cooling_hours * HOUR
    }
}

/// The kinds of action, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    OfferCreated,
    ClosetAdd,
    WishlistAdd,
}

/// An action of a user on a variant that exists. The order is that of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Action {
    kind: Kind,
    at: Reverse<i64>,
    id: Uuid,
    variant: Uuid,
}

pub(super) fn files(facts: &Facts<'_>, parameters: &Layer3) -> Vec<ExpectedFile> {
    let mut chosen: Vec<(Action, &User)> = Vec::new();
    for user in facts.live() {
        if present(user.first_name.as_deref()).is_none() || facts.size_of(user.id).is_none() {
            continue;
        }
        let Some(action) = actions(facts, parameters, user.id).into_iter().min() else {
            continue;
        };
        let enough = match action.kind {
            Kind::ClosetAdd => facts.wishlist_count(action.variant) >= parameters.min_wishlist,
            Kind::OfferCreated | Kind::WishlistAdd => {
                facts.inventory_count(action.variant) >= parameters.min_inventory
            }
        };
        if enough {
            chosen.push((action, user));
        }
    }
    chosen.sort_by_key(|(action, user)| (action.at, user.id));
    let file = |stem: &str, kind: Kind| {
        let count = match kind {
            Kind::ClosetAdd => "wishlist_count",
            Kind::OfferCreated | Kind::WishlistAdd => "inventory_count",
        };
        ExpectedFile {
            stem: stem.to_owned(),
            columns: [&COLUMNS[..], &[count]].concat(),
            rows: chosen
                .iter()
                .filter(|(action, _)| action.kind == kind)
                .map(|(action, user)| row(facts, action, user))
                .collect(),
        }
    };
    vec![
        file("recent-offer-creators", Kind::OfferCreated),
        file("recent-closet-adders", Kind::ClosetAdd),
        file("recent-wishlist-adders", Kind::WishlistAdd),
    ]
}

/// Returns all actions of a user in the window, on variants that exist.
fn actions(facts: &Facts<'_>, parameters: &Layer3, user: Uuid) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut add = |kind, at, id, variant| {
        if parameters.covers(facts, at) && facts.shoe(variant).is_some() {
            actions.push(Action {
                kind,
                at: Reverse(at),
                id,
                variant,
            });
        }
    };
    for offer in facts.offers_by(user) {
        let first = facts
            .items_of(offer.id)
            .filter(|item| facts.shoe(item.variant).is_some())
            .min_by_key(|item| item.id);
        if let Some(item) = first {
            add(Kind::OfferCreated, offer.created_at, offer.id, item.variant);
        }
    }
    for item in facts.closet_items().filter(|item| item.user_id == user) {
        add(Kind::ClosetAdd, item.created_at, item.id, item.variant);
    }
    for item in facts.wishlist_items().filter(|item| item.user_id == user) {
        add(Kind::WishlistAdd, item.created_at, item.id, item.variant);
    }
    actions
}

fn row(facts: &Facts<'_>, action: &Action, user: &User) -> Vec<Field> {
    let variant = action.variant;
    let count = match action.kind {
        Kind::ClosetAdd => facts.wishlist_count(variant),
        Kind::OfferCreated | Kind::WishlistAdd => facts.inventory_count(variant),
    };
    vec![
        Some(user.id.to_string()),
        user.username.clone(),
        user.first_name.clone(),
        facts.size_of(user.id).map(str::to_owned),
        Some(facts.relevant_size(variant)),
        facts.shoe(variant).map(|shoe| shoe.product_name.to_owned()),
        Some(variant.to_string()),
        facts.last_active(user.id).map(time),
        Some(count.to_string()),
    ]
}
