//! Recently active users: when they acted, on what, and whether enough other users want or have it.

use uuid::Uuid;

use super::super::{DAY, HOUR, MICROSECOND, Market, ago};
use super::Crowd;

const LAYER3: &str = "layer3";
const OFFER: Option<&str> = Some("recent-offer-creators");
const CLOSET: Option<&str> = Some("recent-closet-adders");
const WISH: Option<&str> = Some("recent-wishlist-adders");

/// Adds the cases of layer3. Returns a variant that enough other users want and have.
pub(super) fn cases(market: &mut Market, crowd: &Crowd) -> Uuid {
    let hot = market.counted_variant(crowd, "Hot", 3, 2);
    windows(market, hot);
    strongest(market, crowd, hot);
    latest(market, crowd);
    offered_items(market, crowd, hot);
    thresholds(market, crowd);
    not_actions(market, crowd, hot);
    hot
}

/// Makes an offer with one item.
fn offer(market: &mut Market, user: Uuid, variant: Uuid, at: i64) -> Uuid {
    let offer = market.offer(user, "OPEN", at, 0);
    market.offer_item(offer, variant, at);
    offer
}

fn windows(market: &mut Market, hot: Uuid) {
    let edges = [
        (48 * HOUR + MICROSECOND, false),
        (48 * HOUR, true),
        (48 * HOUR - MICROSECOND, true),
        (12 * HOUR + MICROSECOND, true),
        (12 * HOUR, false),
        (12 * HOUR - MICROSECOND, false),
        (0, false),
        (-HOUR, false),
    ];
    let rule = "from 48 hours ago, to just before 12 hours ago";
    for (back, inside) in edges {
        let user = market.add_complete();
        offer(market, user, hot, ago(back));
        market.expect(LAYER3, user, OFFER.filter(|_| inside), rule);

        let user = market.add_complete();
        market.closet(user, hot, ago(back));
        market.expect(LAYER3, user, CLOSET.filter(|_| inside), rule);

        let user = market.add_complete();
        market.wish(user, hot, ago(back), 0);
        market.expect(LAYER3, user, WISH.filter(|_| inside), rule);
    }
}

fn strongest(market: &mut Market, crowd: &Crowd, hot: Uuid) {
    let user = market.add_complete();
    market.wish(user, hot, ago(20 * HOUR), 0);
    market.closet(user, hot, ago(30 * HOUR));
    offer(market, user, hot, ago(40 * HOUR));
    market.expect(
        LAYER3,
        user,
        OFFER,
        "an offer is stronger than anything later",
    );

    let user = market.add_complete();
    market.wish(user, hot, ago(20 * HOUR), 0);
    market.closet(user, hot, ago(30 * HOUR));
    offer(market, user, hot, ago(50 * HOUR));
    market.expect(
        LAYER3,
        user,
        CLOSET,
        "a closet item is stronger than a later wish",
    );

    let lonely = market.counted_variant(crowd, "Lonely", 2, 1);
    let user = market.add_complete();
    offer(market, user, lonely, ago(DAY));
    market.wish(user, hot, ago(DAY), 0);
    let rule = "only the strongest action counts, and no weaker one replaces it";
    market.expect(LAYER3, user, None, rule);
}

fn latest(market: &mut Market, crowd: &Crowd) {
    let early = market.counted_variant(crowd, "Early", 3, 2);
    let late = market.counted_variant(crowd, "Late, \"last\"", 4, 3);
    let shown = late.to_string();
    let fields = [
        ("variantID", shown.as_str()),
        ("product_name", "Late, \"last\""),
    ];

    let user = market.add_complete();
    offer(market, user, late, ago(20 * HOUR));
    offer(market, user, early, ago(20 * HOUR + MICROSECOND));
    market.expect_row(LAYER3, user, OFFER, &fields, "the latest offer");

    let user = market.add_complete();
    market.closet(user, late, ago(20 * HOUR));
    market.closet(user, early, ago(20 * HOUR + MICROSECOND));
    market.expect_row(LAYER3, user, CLOSET, &fields, "the latest closet item");

    let user = market.add_complete();
    market.wish(user, early, ago(20 * HOUR + MICROSECOND), 0);
    market.wish(user, late, ago(20 * HOUR), 0);
    market.expect_row(LAYER3, user, WISH, &fields, "the latest wish");

    for _ in 0..4 {
        let user = market.add_complete();
        let first = offer(market, user, early, ago(DAY));
        let second = offer(market, user, late, ago(DAY));
        tie(market, user, OFFER, [(first, early), (second, late)]);

        let user = market.add_complete();
        let first = market.closet(user, early, ago(DAY));
        let second = market.closet(user, late, ago(DAY));
        tie(market, user, CLOSET, [(first, early), (second, late)]);

        let user = market.add_complete();
        let first = market.wish(user, early, ago(DAY), 0);
        let second = market.wish(user, late, ago(DAY), 0);
        tie(market, user, WISH, [(first, early), (second, late)]);
    }
}

/// Two actions of the same instant, as (id, variant).
fn tie(market: &mut Market, user: Uuid, file: Option<&'static str>, actions: [(Uuid, Uuid); 2]) {
    let (_, variant) = actions.into_iter().min().expect("two actions");
    let variant = variant.to_string();
    let fields = [("variantID", variant.as_str())];
    market.expect_row(LAYER3, user, file, &fields, "of equal actions the lower id");
}

fn offered_items(market: &mut Market, crowd: &Crowd, hot: Uuid) {
    let gone = market.gone_variants();
    let other = market.counted_variant(crowd, "Other", 5, 5);
    let user = market.add_complete();
    let offer_id = market.offer(user, "DECLINED", ago(DAY), 1);
    let ids: [Uuid; 5] = market.sorted_ids();
    // They are added from the highest id down; the item that counts is itself a deleted row.
    market.offer_item_with(ids[4], offer_id, other, ago(2 * DAY), 0);
    market.offer_item_with(ids[3], offer_id, hot, ago(DAY), 1);
    for (id, variant) in ids.into_iter().zip(gone).rev() {
        market.offer_item_with(id, offer_id, variant, ago(DAY), 0);
    }
    let shown = hot.to_string();
    let rule = "the item with the lowest id whose shoe still exists; deleted offers count";
    market.expect_row(LAYER3, user, OFFER, &[("variantID", &shown)], rule);

    let user = market.add_complete();
    for variant in gone {
        offer(market, user, variant, ago(20 * HOUR));
    }
    offer(market, user, hot, ago(30 * HOUR));
    market.expect(
        LAYER3,
        user,
        OFFER,
        "an offer without an existing shoe is ignored",
    );

    let user = market.add_complete();
    offer(market, user, gone[0], ago(20 * HOUR));
    market.offer(user, "OPEN", ago(20 * HOUR), 0);
    market.wish(user, hot, ago(30 * HOUR), 0);
    market.expect(LAYER3, user, WISH, "an offer without items is no action");
}

fn thresholds(market: &mut Market, crowd: &Crowd) {
    // The users here own and wish for nothing except by the action itself.
    let cases = [
        (2, 9, None, "inventory_count 2 is too few for an offer"),
        (3, 0, OFFER, "inventory_count 3 is enough for an offer"),
    ];
    for (inventory, wishlist, file, rule) in cases {
        let variant = market.counted_variant(crowd, "Counted", inventory, wishlist);
        let user = market.add_complete();
        offer(market, user, variant, ago(DAY));
        let count = inventory.to_string();
        let fields: &[_] = &[("inventory_count", count.as_str())];
        market.expect_row(
            LAYER3,
            user,
            file,
            if file.is_some() { fields } else { &[] },
            rule,
        );
    }

    let variant = market.counted_variant(crowd, "Counted", 2, 9);
    let user = market.add_complete();
    market.wish(user, variant, ago(DAY), 0);
    market.expect(
        LAYER3,
        user,
        None,
        "inventory_count 2 is too few for a wish",
    );

    let variant = market.counted_variant(crowd, "Counted", 9, 1);
    let user = market.add_complete();
    market.closet(user, variant, ago(DAY));
    market.expect(
        LAYER3,
        user,
        None,
        "wishlist_count 1 is too few for a closet item",
    );

    let variant = market.counted_variant(crowd, "Counted", 0, 2);
    let user = market.add_complete();
    market.closet(user, variant, ago(DAY));
    let fields = [("wishlist_count", "2")];
    let rule = "wishlist_count 2 is enough for a closet item";
    market.expect_row(LAYER3, user, CLOSET, &fields, rule);

    let variant = market.counted_variant(crowd, "Counted", 2, 0);
    let user = market.add_complete();
    market.inventory(user, variant, "OPEN_FOR_TRADE", ago(90 * DAY), 1);
    market.wish(user, variant, ago(DAY), 0);
    let fields = [("inventory_count", "3")];
    market.expect_row(
        LAYER3,
        user,
        WISH,
        &fields,
        "the user's own closet item counts too",
    );
}

fn not_actions(market: &mut Market, crowd: &Crowd, hot: Uuid) {
    for status in ["CLOSED", "IN_TRADE", "TRADED", "REMOVED"] {
        let user = market.add_complete();
        market.inventory(user, hot, status, ago(DAY), 0);
        market.expect(
            LAYER3,
            user,
            None,
            "only items open for trade are in the closet",
        );
    }
    let user = market.add_complete();
    market.wish(user, hot, ago(DAY), 1);
    market.expect(LAYER3, user, None, "a deleted wish is no wish");

    let [_, deleted_variant, of_deleted_product] = market.gone_variants();
    for variant in [deleted_variant, of_deleted_product] {
        for other in crowd.live {
            market.closet(other, variant, ago(20 * DAY));
            market.wish(other, variant, ago(20 * DAY), 0);
        }
        let rule = "no push is about a shoe that is gone";
        let user = market.add_complete();
        market.closet(user, variant, ago(DAY));
        market.expect(LAYER3, user, None, rule);
        let user = market.add_complete();
        market.wish(user, variant, ago(DAY), 0);
        market.expect(LAYER3, user, None, rule);
    }
}
