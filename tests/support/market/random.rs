//! A random market from a seed, with so few rows that the cases overlap.

use serde_json::{Value, json};
use uuid::Uuid;

use super::people::{AWKWARD, Person, SizePreference};
use super::{AS_OF, DAY, MICROSECOND, Market};

const SIZES: [&str; 7] = ["10", "10", "10.5", "11", "9", "9.5", "Men's \"12\", wide"];
const ITEM_STATUSES: [&str; 8] = [
    "OPEN_FOR_TRADE",
    "OPEN_FOR_TRADE",
    "OPEN_FOR_TRADE",
    "OPEN_FOR_TRADE",
    "CLOSED",
    "IN_TRADE",
    "TRADED",
    "REMOVED",
];
const OFFER_STATUSES: [&str; 10] = [
    "OPEN",
    "OPEN",
    "OPEN",
    "PENDING",
    "PENDING",
    "ACCEPTED",
    "COMPLETED",
    "DECLINED",
    "EXPIRED",
    "CANCELED",
];

/// The market of `seed`.
pub(crate) fn market(seed: u64) -> Market {
    market_of(seed, 70)
}

/// Makes a market with this number of users.
pub(crate) fn market_of(seed: u64, people: u64) -> Market {
    let mut market = Market::empty(seed);
    let variants = catalogue(&mut market);
    let people = crowd(&mut market, people);
    market.test_users = people.iter().rev().take(3).copied().collect();
    belongings(&mut market, &people, &variants);
    offers(&mut market, &people, &variants);
    market
}

impl Market {
    /// Returns one of `choices`, the earlier ones more often.
    fn popular<T: Copy>(&mut self, choices: &[T]) -> T {
        let len = choices.len().try_into().expect("a short list");
        let bound = self.dice.below(len);
        let place = self.dice.below(bound + 1);
        choices[usize::try_from(place).expect("an index below a length")]
    }

    fn some_text(&mut self, plain: &str) -> Option<String> {
        match self.dice.below(16) {
            0 => None,
            1 => Some(self.dice.pick(&["", "", " ", "\t \r\n"]).to_owned()),
            2..=7 => Some(self.dice.pick(&AWKWARD).to_owned()),
            _ => Some(plain.to_owned()),
        }
    }

    fn index_cache(&mut self) -> Value {
        match self.dice.below(16) {
            0 => Value::Null,
            1 => json!({}),
            2 => json!({"mens_size": null, "size": "10"}),
            3 => json!({"womens_size": "10"}),
            4 => json!({"mens_size": 10}),
            5 => json!({"mens_size": 10.5}),
            6 => json!({"mens_size": self.dice.pick(&["", " ", "\t"])}),
            _ => json!({"mens_size": self.dice.pick(&SIZES), "brand": "example"}),
        }
    }
}

/// Adds products and variants. Returns the variants' ids, the most popular first; the last ids have no variant.
fn catalogue(market: &mut Market) -> Vec<Uuid> {
    let mut variants = Vec::new();
    for number in 0..20 + market.dice.below(14) {
        let product = market.dice.uuid();
        let plain = format!("Shoe {number}");
        let name = market.some_text(&plain).unwrap_or(plain);
        let deleted_at = market.dice.deleted_at(12);
        market.product_with(product, &name, deleted_at);
        if market.showcase.is_nil() && deleted_at == 0 {
            market.showcase = product;
        }
        for _ in 0..=market.dice.below(4) {
            let id = market.dice.uuid();
            let index_cache = market.index_cache();
            let deleted_at = market.dice.deleted_at(12);
            market.variant_with(id, product, &index_cache, deleted_at);
            variants.push(id);
        }
    }
    variants
}

fn crowd(market: &mut Market, size: u64) -> Vec<Uuid> {
    let decoy = market.other_attribute("womens_size");
    let decoy = (decoy, market.value_of(decoy, "10", 0));
    let mens_size = market.mens_size();
    let withdrawn = market.value_of(mens_size, "1", 1);
    let mut people = Vec::new();
    for number in 0..size {
        let person = random_person(market, number);
        people.push(market.join(&person));
        if person.sizes.is_empty() && market.dice.one_in(2) {
            let preferences = market.preferences(person.id, 0);
            market.preference(preferences, decoy.0, decoy.1, true, 0);
            market.preference(preferences, mens_size, withdrawn, true, 0);
        }
    }
    people
}

fn random_person(market: &mut Market, number: u64) -> Person {
    let mut person = market.complete();
    if market.dice.one_in(12) {
        let blank = market.dice.pick(&[None, Some(""), Some("\t")]);
        person.email = blank.map(str::to_owned);
    }
    person.first_name = market.some_text("Ann");
    person.bio = market.some_text("collects");
    let plain = format!("user{number}");
    person.username = market.some_text(&plain);
    if market.dice.one_in(2) {
        person.created = market.dice.instant();
    }
    person.deleted_at = market.dice.deleted_at(10);
    person.frozen = market.dice.one_in(10);
    person.last_active = (!market.dice.one_in(10)).then(|| market.dice.instant());
    person.preferences_deleted_at = market.dice.deleted_at(20);
    person.sizes = (0..market.dice.pick(&[0, 1, 1, 1, 1, 1, 2, 3]))
        .map(|_| SizePreference {
            value: market.dice.pick(&SIZES).to_owned(),
            preferred: !market.dice.one_in(6),
            deleted_at: market.dice.deleted_at(10),
        })
        .collect();
    person
}

fn belongings(market: &mut Market, people: &[Uuid], variants: &[Uuid]) {
    for _ in 0..220 {
        let user = market.dice.pick(people);
        let variant = market.popular(variants);
        let status = market.dice.pick(&ITEM_STATUSES);
        let created = market.dice.instant();
        let deleted_at = market.dice.deleted_at(10);
        market.inventory(user, variant, status, created, deleted_at);
    }
    for _ in 0..180 {
        let user = market.dice.pick(people);
        let variant = market.popular(variants);
        let created = market.dice.instant();
        let deleted_at = market.dice.deleted_at(5);
        market.wish(user, variant, created, deleted_at);
    }
    for _ in 0..60 {
        let user = market.dice.pick(people);
        let variant = market.popular(variants);
        let offers_count = market.dice.pick(&[0, 1, 2, 2, 3]);
        let created = market.dice.instant();
        let deleted_at = market.dice.deleted_at(4);
        market.desire(user, variant, offers_count, created, deleted_at);
    }
}

fn offers(market: &mut Market, people: &[Uuid], variants: &[Uuid]) {
    let gone: Vec<Uuid> = (0..3).map(|_| market.dice.uuid()).collect();
    market.receivers = people.to_vec();
    for _ in 0..260 {
        let creator = market.dice.pick(people);
        let status = market.dice.pick(&OFFER_STATUSES);
        let created = market.dice.instant();
        let deleted_at = market.dice.deleted_at(6);
        let offer = market.offer(creator, status, created, deleted_at);
        for _ in 0..market.dice.pick(&[0, 1, 1, 2, 2, 3]) {
            let variant = if market.dice.one_in(10) {
                market.dice.pick(&gone)
            } else {
                market.popular(variants)
            };
            let id = market.dice.uuid();
            let added = market.dice.instant();
            let added = market.dice.pick(&[created, added]);
            let item_deleted_at = market.dice.deleted_at(10);
            market.offer_item_with(id, offer, variant, added, item_deleted_at);
        }
        if market.dice.one_in(3) {
            let validated = match market.dice.below(4) {
                0 => None,
                1 => Some(AS_OF - 30 * DAY + market.dice.pick(&[-MICROSECOND, 0])),
                _ => Some(market.dice.instant()),
            };
            let deleted_at = market.dice.deleted_at(8);
            market.trade_with(offer, validated, deleted_at);
        }
    }
}
