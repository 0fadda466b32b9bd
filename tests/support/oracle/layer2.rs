//! Owners of trending shoes.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use uuid::Uuid;

use super::facts::{Facts, Shoe, present, time};
use super::tables::User;
use super::{ExpectedFile, Field, days_before, flag};

const COLUMNS: [&str; 11] = [
    "user_id",
    "username",
    "firstName",
    "usersize",
    "product_name",
    "trending_rank",
    "variantID",
    "relevant_variant_size",
    "wishlist_count",
    "variant_open_offers",
    "lastActive",
];

#[derive(Debug, Clone)]
pub(crate) struct Layer2 {
    pub(crate) lookback_days: i64,
    pub(crate) activity_days: i64,
    pub(crate) top: usize,
    pub(crate) min_open_offers: usize,
}

impl Default for Layer2 {
    fn default() -> Self {
        Self {
            lookback_days: 7,
            activity_days: 90,
            top: 10,
            min_open_offers: 2,
        }
    }
}

impl Layer2 {
    pub(super) fn arguments(&self) -> Vec<String> {
        [
            flag("lookback-days", self.lookback_days),
            flag("activity-days", self.activity_days),
            flag("top", self.top.try_into().expect("a small number")),
            flag(
                "min-open-offers",
                self.min_open_offers.try_into().expect("a small number"),
            ),
        ]
        .concat()
    }
}

pub(super) fn files(facts: &Facts<'_>, parameters: &Layer2) -> Vec<ExpectedFile> {
    let ranks = trending(facts, parameters);
    let mut chosen: Vec<(usize, &User, &Shoe<'_>)> = Vec::new();
    for user in facts.live() {
        let complete = present(user.email.as_deref()).is_some()
            && present(user.first_name.as_deref()).is_some()
            && present(user.username.as_deref()).is_some()
            && facts.size_of(user.id).is_some();
        if !complete || !facts.is_active_within(user.id, parameters.activity_days) {
            continue;
        }
        let best = facts
            .closet_items()
            .filter(|item| item.user_id == user.id)
            .filter_map(|item| facts.shoe(item.variant))
            .filter_map(|shoe| Some((*ranks.get(&shoe.product)?, shoe)))
            .min_by_key(|(rank, shoe)| {
                (
                    *rank,
                    Reverse(facts.open_offers(shoe.variant)),
                    shoe.variant,
                )
            });
        if let Some((rank, shoe)) = best
            && facts.open_offers(shoe.variant) >= parameters.min_open_offers
        {
            chosen.push((rank, user, shoe));
        }
    }
    chosen.sort_by_key(|(rank, user, _)| (*rank, user.id));
    let file = |stem: &str, of_rank: fn(usize) -> bool| ExpectedFile {
        stem: stem.to_owned(),
        columns: COLUMNS.to_vec(),
        rows: chosen
            .iter()
            .filter(|(rank, ..)| of_rank(*rank))
            .map(|(rank, user, shoe)| row(facts, *rank, user, shoe))
            .collect(),
    };
    vec![
        file("trending-closet-items-top1", |rank| rank == 1),
        file("trending-closet-items", |rank| rank > 1),
    ]
}

/// Returns the rank of each trending product, from 1.
fn trending(facts: &Facts<'_>, parameters: &Layer2) -> BTreeMap<Uuid, usize> {
    let begin = days_before(facts, parameters.lookback_days);
    let live = facts
        .tables
        .products
        .iter()
        .filter(|row| row.deleted_at == 0);
    let mut products: Vec<(Reverse<usize>, Uuid)> = Vec::new();
    for product in live.map(|row| row.id) {
        let offers = facts
            .offers_on_any(&facts.variants_of(product))
            .filter(|offer| begin <= offer.created_at && offer.created_at <= facts.as_of)
            .count();
        if offers > 0 {
            products.push((Reverse(offers), product));
        }
    }
    products.sort();
    products.truncate(parameters.top);
    let ranked = products.into_iter().zip(1..);
    ranked.map(|((_, product), rank)| (product, rank)).collect()
}

fn row(facts: &Facts<'_>, rank: usize, user: &User, shoe: &Shoe<'_>) -> Vec<Field> {
    vec![
        Some(user.id.to_string()),
        user.username.clone(),
        user.first_name.clone(),
        facts.size_of(user.id).map(str::to_owned),
        Some(shoe.product_name.to_owned()),
        Some(ordinal(rank)),
        Some(shoe.variant.to_string()),
        Some(facts.relevant_size(shoe.variant)),
        Some(facts.wishlist_count(shoe.variant).to_string()),
        Some(facts.open_offers(shoe.variant).to_string()),
        facts.last_active(user.id).map(time),
    ]
}

/// Writes 1st, 2nd, 3rd, 4th … 11th, 12th, 13th … 21st.
fn ordinal(rank: usize) -> String {
    let ending = match (rank % 10, rank % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{rank}{ending}")
}
