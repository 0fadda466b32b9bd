//! One product: users who have it, who want it, and others.

use std::cmp::Reverse;

use uuid::Uuid;

use super::facts::{Facts, Shoe, present, time};
use super::tables::User;
use super::{ExpectedFile, Field, flag};

/// Whether a user who has the product and wants it is in both files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overlap {
    OneFile,
    Allowed,
}

#[derive(Debug, Clone)]
pub(crate) struct Showcase {
    pub(crate) product: Uuid,
    pub(crate) activity_days: i64,
    pub(crate) min_open_offers: usize,
    pub(crate) overlap: Overlap,
}

impl Showcase {
    pub(crate) fn of(product: Uuid) -> Self {
        Self {
            product,
            activity_days: 90,
            min_open_offers: 2,
            overlap: Overlap::OneFile,
        }
    }

    pub(super) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--product-id".to_owned(), self.product.to_string()];
        arguments.extend(flag("activity-days", self.activity_days));
        arguments.extend(flag(
            "min-open-offers",
            self.min_open_offers.try_into().expect("a small number"),
        ));
        if self.overlap == Overlap::Allowed {
            arguments.push("--allow-overlap".to_owned());
        }
        arguments
    }
}

/// The totals and variants of one product for the three files.
struct Showroom<'a> {
    facts: &'a Facts<'a>,
    shoes: Vec<&'a Shoe<'a>>,
    offers_7d: usize,
    trades_30d: usize,
}

pub(super) fn files(facts: &Facts<'_>, parameters: &Showcase) -> Vec<ExpectedFile> {
    let room = Showroom::of(facts, parameters.product);
    let (mut haves, mut wants, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for user in facts.live() {
        let complete = present(user.email.as_deref()).is_some()
            && present(user.first_name.as_deref()).is_some()
            && facts.size_of(user.id).is_some();
        if !complete || !facts.is_active_within(user.id, parameters.activity_days) {
            continue;
        }
        let has = room.best_for(user, |shoe| {
            facts
                .closet_items()
                .any(|item| item.user_id == user.id && item.variant == shoe.variant)
        });
        let wants_it = room.best_for(user, |shoe| {
            facts
                .wishlist_items()
                .any(|item| item.user_id == user.id && item.variant == shoe.variant)
        });
        if let Some(shoe) = has
            && facts.open_offers(shoe.variant) >= parameters.min_open_offers
        {
            haves.push(room.have(user, shoe));
        }
        if let Some(shoe) = wants_it
            && (has.is_none() || parameters.overlap == Overlap::Allowed)
        {
            wants.push(room.other(user, shoe));
        }
        if has.is_none()
            && wants_it.is_none()
            && let Some(shoe) =
                room.best_for(user, |shoe| shoe.size.as_deref() == facts.size_of(user.id))
        {
            others.push(room.other(user, shoe));
        }
    }
    let product = &parameters.product.to_string()[..8];
    let have_counts = ["wishlist_count", "variant_open_offers"];
    vec![
        file(format!("showcase-haves_{product}"), &have_counts, haves),
        file(
            format!("showcase-wants_{product}"),
            &["inventory_count"],
            wants,
        ),
        file(
            format!("showcase-everybody-else_{product}"),
            &["inventory_count"],
            others,
        ),
    ]
}

fn file(stem: String, counts: &[&'static str], rows: Vec<Vec<Field>>) -> ExpectedFile {
    let before = [
        "user_id",
        "username",
        "firstName",
        "usersize",
        "variantID",
        "relevant_variant_size",
    ];
    let after = [
        "variant_offers_7d",
        "product_offers_7d",
        "product_trades_30d",
        "lastActive",
    ];
    ExpectedFile {
        stem,
        columns: [&before[..], counts, &after[..]].concat(),
        rows,
    }
}

impl<'a> Showroom<'a> {
    fn of(facts: &'a Facts<'a>, product: Uuid) -> Self {
        let shoes: Vec<&Shoe<'_>> = facts
            .shoes()
            .filter(|shoe| shoe.product == product)
            .collect();
        let variants = facts.variants_of(product);
        let offers_7d = facts
            .offers_on_any(&variants)
            .filter(|offer| facts.within(offer.created_at, 7))
            .count();
        let traded = |offer: Uuid| {
            facts.tables.trades.iter().filter(move |trade| {
                trade.offer_id == offer
                    && trade
                        .validation_passed
                        .is_some_and(|passed| facts.within(passed, 30))
            })
        };
        let trades_30d = facts
            .offers_on_any(&variants)
            .flat_map(|offer| traded(offer.id))
            .count();
        Self {
            facts,
            shoes,
            offers_7d,
            trades_30d,
        }
    }

    /// Returns the best of the product's variants for which `related` is true: the user's size first, then most open
    /// offers, then the lower id.
    fn best_for(&self, user: &User, related: impl Fn(&Shoe<'_>) -> bool) -> Option<&'a Shoe<'a>> {
        let size = self.facts.size_of(user.id);
        let candidates = self.shoes.iter().copied().filter(|shoe| related(shoe));
        candidates.min_by_key(|shoe| {
            (
                Reverse(shoe.size.as_deref() == size),
                Reverse(self.facts.open_offers(shoe.variant)),
                shoe.variant,
            )
        })
    }

    fn have(&self, user: &User, shoe: &Shoe<'_>) -> Vec<Field> {
        let counts = [
            self.facts.wishlist_count(shoe.variant),
            self.facts.open_offers(shoe.variant),
        ];
        self.row(user, shoe, &counts)
    }

    fn other(&self, user: &User, shoe: &Shoe<'_>) -> Vec<Field> {
        self.row(user, shoe, &[self.facts.inventory_count(shoe.variant)])
    }

    fn row(&self, user: &User, shoe: &Shoe<'_>, counts: &[usize]) -> Vec<Field> {
        let mut row = vec![
            Some(user.id.to_string()),
            user.username.clone(),
            user.first_name.clone(),
            self.facts.size_of(user.id).map(str::to_owned),
            Some(shoe.variant.to_string()),
            Some(self.facts.relevant_size(shoe.variant)),
        ];
        row.extend(counts.iter().map(|count| Some(count.to_string())));
        row.extend([
            Some(self.facts.offers_7d(shoe.variant).to_string()),
            Some(self.offers_7d.to_string()),
            Some(self.trades_30d.to_string()),
            self.facts.last_active(user.id).map(time),
        ]);
        row
    }
}
