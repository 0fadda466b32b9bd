//! Owners of trending shoes: which products trend, who is in the audience, and which shoe is in the row.

use serde_json::json;
use uuid::Uuid;

use super::super::people::SizePreference;
use super::super::{AS_OF, DAY, HOUR, MICROSECOND, Market, ago};
use super::Crowd;

const TOP: Option<&str> = Some("trending-closet-items-top1");
const REST: Option<&str> = Some("trending-closet-items");
const LAYER2: &str = "layer2";

/// The number of products with offers in the last week. The 25th to the 27th are equal, and so are the 10th and 11th.
const TRENDING: usize = 27;

/// The trending products by rank, and a variant of each with many open offers.
struct Trending {
    products: [Uuid; TRENDING],
    variants: [Uuid; TRENDING],
}

/// Adds the cases of layer2. Returns the variant in the rows of those who own nothing better.
pub(super) fn cases(market: &mut Market, crowd: &Crowd) -> Uuid {
    let trending = trending(market, crowd);
    ranks(market, &trending);
    sizes(market, &trending);
    which_shoe(market, crowd, &trending);
    open_offers(market, crowd, &trending);
    closets(market, &trending);
    wishes(market, crowd, &trending);
    trending.variants[0]
}

/// Adds products whose order is right only if offers are counted as in the contract: with any other count a product
/// would change places with a neighbour, which is two offers away.
fn trending(market: &mut Market, crowd: &Crowd) -> Trending {
    let ids: [Uuid; TRENDING] = market.sorted_ids();
    let mut variants = [Uuid::nil(); TRENDING];
    // Products of equal rank are added with the higher id first.
    for place in (0..TRENDING).rev() {
        let name = format!("Trending \"{}\", low\nedition", place + 1);
        market.product_with(ids[place], &name, 0);
        variants[place] = market.variant(ids[place], "10");
    }
    for place in 0..TRENDING {
        let step = if place == 10 { 9 } else { place.min(24) };
        let count = 120 - 2 * step;
        week_of_offers(market, crowd, place, ids[place], variants[place], count);
    }
    let [missing, _, of_deleted_product] = market.gone_variants();
    for gone in [missing, of_deleted_product] {
        market.offers_on(crowd, &[gone], "OPEN", ago(DAY), 200);
    }
    Trending {
        products: ids,
        variants,
    }
}

/// Adds `count` offers on the product of rank `place + 1`, some of them easy to count wrongly.
fn week_of_offers(
    market: &mut Market,
    crowd: &Crowd,
    place: usize,
    product: Uuid,
    variant: Uuid,
    count: usize,
) {
    let recent = ago(3 * DAY);
    let week = ago(7 * DAY);
    let mut plain = count;
    match place {
        // Deleted and closed offers count.
        1 => {
            plain -= 50;
            for status in ["OPEN", "CANCELED", "DECLINED", "EXPIRED", "COMPLETED"] {
                for _ in 0..10 {
                    let offer = market.offer(crowd.live[0], status, recent, 1);
                    market.offer_item(offer, variant, recent);
                }
            }
        }
        // Several items of one offer, on one variant and on two, are one offer.
        2 => {
            plain -= 40;
            let other = market.variant(product, "9");
            market.offers_on(crowd, &[variant, variant, other], "OPEN", recent, 40);
        }
        3 => market.offers_on(crowd, &[variant], "OPEN", week - MICROSECOND, 5),
        4 => {
            plain -= 5;
            market.offers_on(crowd, &[variant], "OPEN", week, 5);
        }
        5 => market.offers_on(crowd, &[variant], "OPEN", AS_OF + MICROSECOND, 5),
        6 => {
            plain -= 5;
            market.offers_on(crowd, &[variant], "OPEN", AS_OF, 5);
        }
        // Any variant of the product counts, also a deleted one.
        7 => {
            plain -= 5;
            let gone = market.dice.uuid();
            market.variant_with(gone, product, &json!(null), 1);
            market.offers_on(crowd, &[gone], "OPEN", recent, 5);
            let user = owner(market, &[gone]);
            let rule = "no row names a variant that is gone";
            market.expect(LAYER2, user, None, rule);
        }
        _ => {}
    }
    market.offers_on(crowd, &[variant], "OPEN", recent, plain);
}

fn owner(market: &mut Market, variants: &[Uuid]) -> Uuid {
    let user = market.add_complete();
    for variant in variants {
        market.closet(user, *variant, ago(60 * DAY));
    }
    user
}

/// Adds one owner of each product; the label contains the rank.
fn ranks(market: &mut Market, trending: &Trending) {
    let labels = [
        "1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th",
    ];
    for place in 0..TRENDING {
        let user = owner(market, &[trending.variants[place]]);
        let file = match place {
            0 => TOP,
            1..10 => REST,
            _ => None,
        };
        let rank = labels.get(place).map(|label| ("trending_rank", *label));
        market.expect_row(
            LAYER2,
            user,
            file,
            rank.as_slice(),
            "products rank by offers",
        );
    }
}

fn sizes(market: &mut Market, trending: &Trending) {
    let user = market.join_with(|person| {
        person.sizes = ["9", "10.5", "10"].map(SizePreference::preferred).to_vec();
    });
    market.closet(user, trending.variants[0], ago(HOUR));
    market.expect_row(
        LAYER2,
        user,
        TOP,
        &[("usersize", "10")],
        "of several preferred sizes the first in byte order",
    );
    let user = market.join_with(|person| {
        person.sizes = ["a", "B"].map(SizePreference::preferred).to_vec();
    });
    market.closet(user, trending.variants[0], ago(HOUR));
    let rule = "byte order differs from a language's order";
    market.expect_row(LAYER2, user, TOP, &[("usersize", "B")], rule);

    let mens_size = market.mens_size();
    let womens_size = market.other_attribute("womens_size");
    let withdrawn = market.value_of(mens_size, "10 (old)", 1);
    let womens_ten = market.value_of(womens_size, "10", 0);
    for (attribute, value, rule) in [
        (mens_size, withdrawn, "a deleted size does not count"),
        (
            womens_size,
            womens_ten,
            "another attribute does not count as a size",
        ),
    ] {
        let user = market.join_with(|person| person.sizes.clear());
        let preferences = market.preferences(user, 0);
        market.preference(preferences, attribute, value, true, 0);
        market.closet(user, trending.variants[0], ago(HOUR));
        market.expect(LAYER2, user, None, rule);
    }
}

fn which_shoe(market: &mut Market, crowd: &Crowd, trending: &Trending) {
    let user = owner(market, &[3, 12, 0, 7].map(|place| trending.variants[place]));
    market.expect(LAYER2, user, TOP, "the best-ranked product owned");

    let product = trending.products[3];
    // The lowest id has the fewest offers.
    let [few, low, high] = market.sorted_ids();
    market.variant_with(few, product, &json!({"mens_size": "9"}), 0);
    for variant in [high, low] {
        let size = json!({"mens_size": "11"});
        market.variant_with(variant, product, &size, 0);
        market.old_open_offers(crowd, variant, 5);
    }
    market.old_open_offers(crowd, few, 3);
    let user = owner(market, &[few, high, low, trending.variants[4]]);
    let chosen = low.to_string();
    let fields = [
        ("variantID", chosen.as_str()),
        ("trending_rank", "4th"),
        ("relevant_variant_size", "11"),
        ("usersize", "10"),
        ("variant_open_offers", "5"),
    ];
    let rule = "most open offers, then the lower variant id; the size does not matter";
    market.expect_row(LAYER2, user, REST, &fields, rule);

    for index_cache in [
        json!(null),
        json!({}),
        json!([]),
        json!("10"),
        json!({"womens_size": "10"}),
        json!({"mens_size": null}),
        json!({"mens_size": ""}),
        json!({"mens_size": " \n"}),
    ] {
        let variant = market.dice.uuid();
        market.variant_with(variant, product, &index_cache, 0);
        market.old_open_offers(crowd, variant, 2);
        let user = owner(market, &[variant]);
        let fields = [
            ("relevant_variant_size", "Unknown"),
            ("wishlist_count", "0"),
        ];
        market.expect_row(LAYER2, user, REST, &fields, "a variant without a size");
    }
}

fn open_offers(market: &mut Market, crowd: &Crowd, trending: &Trending) {
    let product = trending.products[0];
    let month = ago(30 * DAY);
    let old = ago(10 * DAY);
    let check = |market: &mut Market, variant: Uuid, count: usize, rule: &'static str| {
        let user = owner(market, &[variant, trending.variants[1]]);
        let shown = count.to_string();
        let fields = [("variant_open_offers", shown.as_str())];
        if count >= 2 {
            market.expect_row(LAYER2, user, TOP, &fields, rule);
        } else {
            market.expect(LAYER2, user, None, rule);
        }
    };

    let variant = market.variant(product, "7");
    market.old_open_offers(crowd, variant, 1);
    check(
        market,
        variant,
        1,
        "one open offer is too few, and a lower-ranked shoe does not help",
    );

    let variant = market.variant(product, "7");
    market.offers_on(crowd, &[variant], "OPEN", month, 2);
    market.offers_on(crowd, &[variant], "OPEN", month - MICROSECOND, 3);
    check(
        market,
        variant,
        2,
        "an offer exactly 30 days old is open, an older one is not",
    );

    let variant = market.variant(product, "7");
    market.offers_on(crowd, &[variant], "OPEN", month, 1);
    market.offers_on(crowd, &[variant], "OPEN", month - MICROSECOND, 1);
    check(
        market,
        variant,
        1,
        "an offer more than 30 days old is not open",
    );

    let variant = market.variant(product, "7");
    market.offers_on(crowd, &[variant], "OPEN", AS_OF, 2);
    market.offers_on(crowd, &[variant], "OPEN", AS_OF + MICROSECOND, 1);
    check(
        market,
        variant,
        2,
        "an offer of this very instant is open, a later one is not",
    );

    let variant = market.variant(product, "7");
    for status in [
        "OPEN",
        "PENDING",
        "ACCEPTED",
        "COMPLETED",
        "DECLINED",
        "EXPIRED",
        "CANCELED",
    ] {
        market.offers_on(crowd, &[variant], status, old, 1);
    }
    for deleted_at in super::super::DELETED {
        let offer = market.offer(crowd.live[0], "OPEN", old, deleted_at);
        market.offer_item(offer, variant, old);
    }
    check(
        market,
        variant,
        2,
        "open means OPEN or PENDING, and not deleted",
    );

    let variant = market.variant(product, "7");
    market.offers_on(crowd, &[variant, variant, variant], "OPEN", old, 1);
    check(
        market,
        variant,
        1,
        "an offer with three items on a variant is one offer",
    );

    let variant = market.variant(product, "7");
    let offer = market.offer(crowd.deleted, "PENDING", old, 0);
    let item = market.dice.uuid();
    market.offer_item_with(item, offer, variant, old, 1);
    market.old_open_offers(crowd, variant, 1);
    check(
        market,
        variant,
        2,
        "the offer's creator and the item's deletion do not matter",
    );
}

fn closets(market: &mut Market, trending: &Trending) {
    for status in [
        "CLOSED",
        "IN_TRADE",
        "TRADED",
        "REMOVED",
        "open_for_trade",
        "",
    ] {
        let user = market.add_complete();
        market.inventory(user, trending.variants[0], status, ago(DAY), 0);
        market.wish(user, trending.variants[0], ago(DAY), 0);
        market.expect(
            LAYER2,
            user,
            None,
            "only items open for trade are in the closet",
        );
    }
    let user = market.add_complete();
    market.inventory(user, trending.variants[0], "OPEN_FOR_TRADE", ago(DAY), 1);
    market.expect(LAYER2, user, TOP, "only the status makes a closet item");

    let user = market.add_complete();
    for _ in 0..3 {
        market.closet(user, trending.variants[1], ago(DAY));
    }
    market.expect(LAYER2, user, REST, "three pairs of one shoe are one row");
}

fn wishes(market: &mut Market, crowd: &Crowd, trending: &Trending) {
    let (user, variant) = (
        market.add_complete(),
        market.variant(trending.products[0], "7"),
    );
    market.closet(user, variant, ago(DAY));
    market.old_open_offers(crowd, variant, 2);
    for wisher in [crowd.live[0], crowd.live[0], crowd.live[1], crowd.deleted] {
        market.wish(wisher, variant, ago(500 * DAY), 0);
        market.wish(wisher, variant, ago(DAY), 1);
    }
    let fields = [("wishlist_count", "3")];
    let rule = "wishlist items are counted, not people, and not deleted people's";
    market.expect_row(LAYER2, user, TOP, &fields, rule);
}
