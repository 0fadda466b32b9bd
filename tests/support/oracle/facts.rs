//! The contract's common terms, answered over the raw tables at one instant: live, present, size, active, closet and
//! wishlist items, and the counts about a variant.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::super::market::DAY;
use super::tables::{InventoryItem, Offer, OfferItem, Tables, User, WishlistItem};

/// A variant that exists, of a product that exists.
#[derive(Debug)]
pub(crate) struct Shoe<'a> {
    pub(crate) variant: Uuid,
    pub(crate) product: Uuid,
    pub(crate) product_name: &'a str,
    /// The variant's size.
    pub(crate) size: Option<String>,
}

/// The facts at `as_of` (microseconds since 1970).
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    pub(crate) tables: &'a Tables,
    pub(crate) as_of: i64,
    people: BTreeMap<Uuid, &'a User>,
    last_active: BTreeMap<Uuid, i64>,
    sizes: BTreeMap<Uuid, &'a str>,
    shoes: BTreeMap<Uuid, Shoe<'a>>,
    offers: BTreeMap<Uuid, &'a Offer>,
    /// The offers with an item on a variant, whether the variant exists or not.
    offers_on: BTreeMap<Uuid, BTreeSet<Uuid>>,
}

/// Returns text that contains anything except blanks, tabs and line ends.
pub(crate) fn present(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim_matches([' ', '\t', '\n', '\r']).is_empty())
}

impl<'a> Facts<'a> {
    pub(crate) fn at(as_of: i64, tables: &'a Tables) -> Self {
        let mut offers_on: BTreeMap<Uuid, BTreeSet<Uuid>> = BTreeMap::new();
        for item in &tables.offer_items {
            offers_on
                .entry(item.variant)
                .or_default()
                .insert(item.offer_id);
        }
        Self {
            tables,
            as_of,
            people: tables.users.iter().map(|user| (user.id, user)).collect(),
            last_active: tables.activities.iter().copied().collect(),
            sizes: sizes(tables),
            shoes: shoes(tables),
            offers: tables
                .offers
                .iter()
                .map(|offer| (offer.id, offer))
                .collect(),
            offers_on,
        }
    }

    pub(crate) fn person(&self, user: Uuid) -> &'a User {
        self.people[&user]
    }

    /// Live people in the order of their ids.
    pub(crate) fn live(&self) -> impl Iterator<Item = &'a User> {
        self.people
            .values()
            .copied()
            .filter(|user| user.deleted_at == 0)
    }

    fn is_live(&self, user: Uuid) -> bool {
        self.person(user).deleted_at == 0
    }

    /// Returns the user's size.
    pub(crate) fn size_of(&self, user: Uuid) -> Option<&'a str> {
        self.sizes.get(&user).copied()
    }

    pub(crate) fn last_active(&self, user: Uuid) -> Option<i64> {
        self.last_active.get(&user).copied()
    }

    pub(crate) fn is_active_within(&self, user: Uuid, days: i64) -> bool {
        self.last_active(user)
            .is_some_and(|seen| seen >= self.as_of - days * DAY)
    }

    /// The shoe of a variant, unless it is gone.
    pub(crate) fn shoe(&self, variant: Uuid) -> Option<&Shoe<'a>> {
        self.shoes.get(&variant)
    }

    pub(crate) fn shoes(&self) -> impl Iterator<Item = &Shoe<'a>> {
        self.shoes.values()
    }

    /// Every variant of a product, soft-deleted ones too.
    pub(crate) fn variants_of(&self, product: Uuid) -> Vec<Uuid> {
        self.tables
            .variants
            .iter()
            .filter(|variant| variant.product_id == product)
            .map(|variant| variant.id)
            .collect()
    }

    pub(crate) fn closet_items(&self) -> impl Iterator<Item = &'a InventoryItem> {
        self.tables
            .inventory
            .iter()
            .filter(|item| item.status == "OPEN_FOR_TRADE")
    }

    pub(crate) fn wishlist_items(&self) -> impl Iterator<Item = &'a WishlistItem> {
        self.tables
            .wishlist
            .iter()
            .filter(|item| item.deleted_at == 0)
    }

    /// Returns the offers of a user, with any status.
    pub(crate) fn offers_by(&self, user: Uuid) -> impl Iterator<Item = &'a Offer> {
        self.tables
            .offers
            .iter()
            .filter(move |offer| offer.creator == user)
    }

    pub(crate) fn items_of(&self, offer: Uuid) -> impl Iterator<Item = &'a OfferItem> {
        self.tables
            .offer_items
            .iter()
            .filter(move |item| item.offer_id == offer)
    }

    pub(crate) fn wishlist_count(&self, variant: Uuid) -> usize {
        self.wishlist_items()
            .filter(|item| item.variant == variant && self.is_live(item.user_id))
            .count()
    }

    pub(crate) fn inventory_count(&self, variant: Uuid) -> usize {
        self.closet_items()
            .filter(|item| item.variant == variant && self.is_live(item.user_id))
            .count()
    }

    pub(crate) fn open_offers(&self, variant: Uuid) -> usize {
        self.offers_on_any(&[variant])
            .filter(|offer| matches!(offer.status.as_str(), "OPEN" | "PENDING"))
            .filter(|offer| offer.deleted_at == 0 && self.within(offer.created_at, 30))
            .count()
    }

    pub(crate) fn offers_7d(&self, variant: Uuid) -> usize {
        self.offers_on_any(&[variant])
            .filter(|offer| self.within(offer.created_at, 7))
            .count()
    }

    /// Distinct offers with an item on any of the variants.
    pub(crate) fn offers_on_any(&self, variants: &[Uuid]) -> impl Iterator<Item = &'a Offer> {
        let ids: BTreeSet<Uuid> = variants
            .iter()
            .filter_map(|variant| self.offers_on.get(variant))
            .flatten()
            .copied()
            .collect();
        ids.into_iter().map(|id| self.offers[&id])
    }

    /// In the last `days` days, up to and including `as_of`.
    pub(crate) fn within(&self, instant: i64, days: i64) -> bool {
        self.as_of - days * DAY <= instant && instant <= self.as_of
    }

    /// `relevant_variant_size`
    pub(crate) fn relevant_size(&self, variant: Uuid) -> String {
        let size = self.shoe(variant).and_then(|shoe| shoe.size.clone());
        size.unwrap_or_else(|| "Unknown".to_owned())
    }
}

/// `2026-11-10 06:08:56.086278+00:00`
pub(crate) fn time(instant: i64) -> String {
    let instant = jiff::Timestamp::from_microsecond(instant).expect("an instant of this age");
    format!("{instant:.6}")
        .replace('T', " ")
        .replace('Z', "+00:00")
}

fn sizes(tables: &Tables) -> BTreeMap<Uuid, &str> {
    let mens_size: BTreeSet<Uuid> = tables
        .attributes
        .iter()
        .filter(|attribute| attribute.name == "mens_size" && attribute.deleted_at == 0)
        .map(|attribute| attribute.id)
        .collect();
    let mut sizes: BTreeMap<Uuid, &str> = BTreeMap::new();
    for preference in &tables.preferences {
        let counts = preference.preferred
            && preference.deleted_at == 0
            && mens_size.contains(&preference.attribute_id);
        let owner = tables
            .user_preferences
            .iter()
            .find(|row| Some(row.id) == preference.user_preference_id && row.deleted_at == 0);
        let value = tables
            .attribute_values
            .iter()
            .find(|row| row.id == preference.attribute_value_id && row.deleted_at == 0);
        if let (true, Some(owner), Some(value)) = (counts, owner, value)
            && let Some(size) = present(Some(&value.value))
        {
            let worn = sizes.entry(owner.user_id).or_insert(size);
            *worn = size.min(*worn);
        }
    }
    sizes
}

fn shoes(tables: &Tables) -> BTreeMap<Uuid, Shoe<'_>> {
    let mut shoes = BTreeMap::new();
    for variant in tables.variants.iter().filter(|row| row.deleted_at == 0) {
        let product = tables
            .products
            .iter()
            .find(|row| row.id == variant.product_id && row.deleted_at == 0);
        if let Some(product) = product {
            let shoe = Shoe {
                variant: variant.id,
                product: product.id,
                product_name: &product.name,
                size: variant.index_cache.as_deref().and_then(mens_size),
            };
            shoes.insert(variant.id, shoe);
        }
    }
    shoes
}

/// Returns `->> 'mens_size'` of a JSON document, if that is a text or a number.
fn mens_size(document: &str) -> Option<String> {
    let document: serde_json::Value = serde_json::from_str(document).expect("jsonb is JSON");
    match document.get("mens_size")? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => present(Some(text)).map(str::to_owned),
        other => Some(other.to_string()),
    }
}
