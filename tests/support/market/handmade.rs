//! The edge cases of the contract, one by one, each with its expected result at the default parameters.
//!
//! Cases share one market but not their variants: a case with counts has variants of its own, and the offers that give
//! variants their open offers are older than any window in which a product could trend.

mod layer2;
mod layer3;
mod nearly;
mod showcase;
mod waterfall;

use uuid::Uuid;

use super::people::{AWKWARD, SizePreference};
use super::{DAY, Market, ago};

/// Users that make offers, own shoes and wish for shoes so that there are counts, without being in any audience.
struct Crowd {
    live: [Uuid; 4],
    deleted: Uuid,
}

/// The market of all hand-made cases.
pub(crate) fn market() -> Market {
    let mut market = Market::empty(20_261_110);
    let receiver = market.add_complete();
    market.receivers = vec![receiver];
    let crowd = Crowd {
        live: std::array::from_fn(|_| market.bystander()),
        deleted: market.deleted_bystander(),
    };
    let trending = layer2::cases(&mut market, &crowd);
    let hot = layer3::cases(&mut market, &crowd);
    let showcased = showcase::cases(&mut market, &crowd);
    nearly::people(&mut market, trending, hot, showcased);
    waterfall::cases(&mut market, &crowd);
    market.expect(
        "layer3",
        receiver,
        None,
        "offers are their creator's action",
    );
    test_users(&mut market);
    market
}

/// Adds the configured test users, not in the order of their ids: one with an awkward name, one with only an id, one
/// deleted.
fn test_users(market: &mut Market) {
    let awkward = market.join_with(|person| {
        person.username = Some(AWKWARD[..16].concat());
        person.first_name = Some("O\"Brien,\r\n👟".to_owned());
        person.last_active = None;
    });
    let bare = market.join_with(|person| {
        person.email = None;
        person.username = None;
        person.first_name = None;
        person.last_active = None;
        person.sizes.clear();
    });
    let empty = market.join_with(|person| {
        person.username = Some(String::new());
        person.first_name = Some(String::new());
        person.sizes = vec![SizePreference::preferred("9")];
        person.last_active = None;
        person.deleted_at = 1;
    });
    let mut ids = [awkward, bare, empty];
    ids.sort();
    market.test_users = vec![ids[1], ids[2], ids[0]];
}

impl Market {
    /// Adds `count` offers of `status` on all of `variants`.
    fn offers_on(
        &mut self,
        crowd: &Crowd,
        variants: &[Uuid],
        status: &str,
        created: i64,
        count: usize,
    ) {
        for _ in 0..count {
            let creator = self.dice.pick(&crowd.live);
            let offer = self.offer(creator, status, created, 0);
            for variant in variants {
                self.offer_item(offer, *variant, created);
            }
        }
    }

    /// Adds open offers that count for the variant but are too old to make its product trend.
    fn old_open_offers(&mut self, crowd: &Crowd, variant: Uuid, count: usize) {
        self.offers_on(crowd, &[variant], "OPEN", ago(10 * DAY), count);
    }

    /// Adds a variant of a new product, size 10, with that many closet items and wishlist items of live users, and one
    /// of each that does not count: a deleted user's, a closed one, a deleted one.
    fn counted_variant(
        &mut self,
        crowd: &Crowd,
        name: &str,
        inventory: usize,
        wishlist: usize,
    ) -> Uuid {
        let product = self.product(name);
        let variant = self.variant(product, "10");
        let old = ago(20 * DAY);
        for place in 0..inventory {
            self.closet(crowd.live[place % 4], variant, old);
        }
        for place in 0..wishlist {
            self.wish(crowd.live[place % 4], variant, old, 0);
        }
        self.closet(crowd.deleted, variant, old);
        self.inventory(crowd.live[0], variant, "CLOSED", old, 0);
        self.wish(crowd.deleted, variant, old, 0);
        self.wish(crowd.live[0], variant, old, 1);
        variant
    }

    /// Returns new ids in ascending order.
    fn sorted_ids<const N: usize>(&mut self) -> [Uuid; N] {
        let mut ids = std::array::from_fn(|_| self.dice.uuid());
        ids.sort();
        ids
    }

    /// Returns variants that are gone: a missing row, a deleted row, a row of a deleted product.
    fn gone_variants(&mut self) -> [Uuid; 3] {
        let (live, deleted) = (self.product("Live shoe"), self.dice.uuid());
        self.product_with(deleted, "Deleted shoe", 1);
        let size = serde_json::json!({"mens_size": "10"});
        let (second, third) = (self.dice.uuid(), self.dice.uuid());
        self.variant_with(second, live, &size, -1);
        self.variant_with(third, deleted, &size, 0);
        [self.dice.uuid(), second, third]
    }
}
