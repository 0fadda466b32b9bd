//! One product: users who have it, who want it, and others who could wear it.

use uuid::Uuid;

use super::super::people::SizePreference;
use super::super::{AS_OF, DAY, MICROSECOND, Market, ago};
use super::Crowd;

const SHOWCASE: &str = "showcase";
// The stems without the product's id.
const HAVES: Option<&str> = Some("showcase-haves");
const WANTS: Option<&str> = Some("showcase-wants");
const ELSE: Option<&str> = Some("showcase-everybody-else");

/// The showcased product's variants.
struct Shoes {
    nine: Uuid,
    /// Size 10, the lower id, 2 open offers.
    ten: Uuid,
    /// Size 10, the higher id, 3 open offers.
    wide_ten: Uuid,
    /// Size 11, the lower id, 4 open offers.
    eleven: Uuid,
    /// Size 12, the higher id, 4 open offers.
    twelve: Uuid,
    sizeless: Uuid,
    /// Size 13, 1 open offer.
    thirteen: Uuid,
    /// Size 14, deleted.
    gone: Uuid,
}

/// Adds the cases of showcase. Returns a variant in size 10 that is in the rows of its owners.
pub(super) fn cases(market: &mut Market, crowd: &Crowd) -> Uuid {
    let shoes = shoes(market, crowd);
    relations(market, &shoes);
    which_shoe(market, &shoes);
    others(market, &shoes);
    let totals = history(market, crowd, &shoes);
    let user = market.add_complete();
    market.closet(user, shoes.nine, ago(DAY));
    market.expect_row(
        SHOWCASE,
        user,
        HAVES,
        &totals,
        "offers and trades of the product",
    );
    shoes.ten
}

fn shoes(market: &mut Market, crowd: &Crowd) -> Shoes {
    let product = market.product("Showcase, \"the one\"");
    market.showcase = product;
    let [ten, wide_ten, eleven, twelve] = market.sorted_ids();
    for (id, size, open) in [
        (twelve, "12", 4),
        (eleven, "11", 4),
        (wide_ten, "10", 3),
        (ten, "10", 2),
    ] {
        let size = serde_json::json!({"mens_size": size});
        market.variant_with(id, product, &size, 0);
        market.old_open_offers(crowd, id, open);
    }
    let (nine, thirteen) = (market.variant(product, "9"), market.variant(product, "13"));
    market.old_open_offers(crowd, nine, 9);
    market.old_open_offers(crowd, thirteen, 1);
    let (sizeless, gone) = (market.dice.uuid(), market.dice.uuid());
    market.variant_with(
        sizeless,
        product,
        &serde_json::json!({"mens_size": " \t"}),
        0,
    );
    market.old_open_offers(crowd, sizeless, 2);
    market.variant_with(gone, product, &serde_json::json!({"mens_size": "14"}), 1);
    market.old_open_offers(crowd, gone, 9);
    Shoes {
        nine,
        ten,
        wide_ten,
        eleven,
        twelve,
        sizeless,
        thirteen,
        gone,
    }
}

fn relations(market: &mut Market, shoes: &Shoes) {
    let user = market.add_complete();
    market.wish(user, shoes.wide_ten, ago(DAY), 0);
    market.closet(user, shoes.ten, ago(DAY));
    market.expect(SHOWCASE, user, HAVES, "haves before wants");

    let user = market.add_complete();
    market.closet(user, shoes.thirteen, ago(DAY));
    market.wish(user, shoes.ten, ago(DAY), 0);
    market.expect(
        SHOWCASE,
        user,
        None,
        "a user dropped from the haves is not moved to another file",
    );

    let user = market.add_complete();
    market.wish(user, shoes.thirteen, ago(DAY), 0);
    market.expect(SHOWCASE, user, WANTS, "wants do not require open offers");

    let user = market.add_complete();
    market.inventory(user, shoes.ten, "TRADED", ago(DAY), 0);
    market.wish(user, shoes.ten, ago(DAY), 1);
    market.closet(user, shoes.gone, ago(DAY));
    market.wish(user, shoes.gone, ago(DAY), 0);
    let rule = "traded shoes, deleted wishes and gone variants do not count";
    market.expect(SHOWCASE, user, ELSE, rule);
}

fn which_shoe(market: &mut Market, shoes: &Shoes) {
    let cases = [
        (
            vec![shoes.nine, shoes.ten],
            shoes.ten,
            "10",
            "the user's size before most offers",
        ),
        (
            vec![shoes.ten, shoes.wide_ten, shoes.nine],
            shoes.wide_ten,
            "10",
            "most offers",
        ),
        (
            vec![shoes.twelve, shoes.eleven],
            shoes.eleven,
            "11",
            "the lower id",
        ),
        (
            vec![shoes.sizeless],
            shoes.sizeless,
            "Unknown",
            "a variant without a size",
        ),
    ];
    for (variants, chosen, size, rule) in cases {
        let chosen = chosen.to_string();
        let fields = [
            ("variantID", chosen.as_str()),
            ("relevant_variant_size", size),
        ];
        let user = market.add_complete();
        for variant in &variants {
            market.closet(user, *variant, ago(DAY));
        }
        market.expect_row(SHOWCASE, user, HAVES, &fields, rule);
        let user = market.add_complete();
        for variant in &variants {
            market.wish(user, *variant, ago(DAY), 0);
        }
        market.expect_row(SHOWCASE, user, WANTS, &fields, rule);
    }
    let user = market.add_complete();
    let chosen = shoes.wide_ten.to_string();
    let fields = [("variantID", chosen.as_str()), ("usersize", "10")];
    market.expect_row(
        SHOWCASE,
        user,
        ELSE,
        &fields,
        "in the user's size, most offers",
    );
}

fn others(market: &mut Market, shoes: &Shoes) {
    let of_size = |market: &mut Market, size: &str| {
        market.join_with(|person| person.sizes = vec![SizePreference::preferred(size)])
    };
    let user = of_size(market, "12");
    let twelve = shoes.twelve.to_string();
    let fields = [("variantID", twelve.as_str()), ("inventory_count", "1")];
    market.expect_row(
        SHOWCASE,
        user,
        ELSE,
        &fields,
        "the shoe exists in their size",
    );
    for size in ["14", "8", "Unknown", "10 ", "010"] {
        let user = of_size(market, size);
        market.expect(SHOWCASE, user, None, "no live variant in their size");
    }
    let user = of_size(market, "8");
    market.wish(user, shoes.twelve, ago(DAY), 0);
    market.expect(
        SHOWCASE,
        user,
        WANTS,
        "a user who wants it may wear another size",
    );
}

/// Adds offers and trades on the product at the windows' edges. Returns the totals that a row must show.
fn history(market: &mut Market, crowd: &Crowd, shoes: &Shoes) -> [(&'static str, &'static str); 3] {
    let week = ago(7 * DAY);
    // Counted: at the edge, deleted, on two variants at once, at the instant itself, on
    // a deleted variant.
    market.offers_on(crowd, &[shoes.nine], "EXPIRED", week, 1);
    let deleted = market.offer(crowd.live[0], "OPEN", ago(DAY), 1);
    market.offer_item(deleted, shoes.nine, ago(DAY));
    market.offers_on(crowd, &[shoes.nine, shoes.ten], "COMPLETED", ago(DAY), 1);
    market.offers_on(crowd, &[shoes.eleven], "COMPLETED", AS_OF, 1);
    market.offers_on(crowd, &[shoes.gone], "COMPLETED", ago(DAY), 1);
    // Not counted.
    market.offers_on(crowd, &[shoes.nine], "COMPLETED", week - MICROSECOND, 1);
    market.offers_on(crowd, &[shoes.nine], "COMPLETED", AS_OF + MICROSECOND, 1);

    let month = ago(30 * DAY);
    for validated in [
        Some(month),
        Some(AS_OF),
        Some(ago(DAY)),
        Some(month - MICROSECOND),
        Some(AS_OF + MICROSECOND),
        None,
    ] {
        let offer = market.offer(crowd.live[0], "COMPLETED", ago(40 * DAY), 0);
        market.offer_item(offer, shoes.nine, ago(40 * DAY));
        market.offer_item(offer, shoes.ten, ago(40 * DAY));
        market.trade(offer, validated);
    }
    let deleted = market.offer(crowd.live[0], "DECLINED", ago(40 * DAY), 1);
    market.offer_item(deleted, shoes.gone, ago(40 * DAY));
    market.trade_with(deleted, Some(ago(DAY)), 1);
    let elsewhere = market.offer(crowd.live[0], "COMPLETED", ago(DAY), 0);
    market.trade(elsewhere, Some(ago(DAY)));
    [
        ("variant_offers_7d", "3"),
        ("product_offers_7d", "5"),
        ("product_trades_30d", "4"),
    ]
}
