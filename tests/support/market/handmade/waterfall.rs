//! New users: who counts as new, the first step they miss, and the shoe they want. The nudges use the same cases.

use uuid::Uuid;

use super::super::people::Person;
use super::super::{DAY, HOUR, MICROSECOND, Market, ago};
use super::Crowd;

const WATERFALL: &str = "waterfall";
const NUDGES: &str = "nudges";
const NUDGED: Option<&str> = Some("new-user-nudges");
const STEMS: [&str; 5] = [
    "no-shoes-new-user",
    "no-bio-new-user",
    "no-offers-new-user",
    "no-wishlist-new-user",
    "new-stars-new-user",
];

/// The first step that a user has not taken. All steps before it are taken; those after it depend on the case.
#[derive(Clone, Copy)]
enum Misses {
    Shoes,
    Bio,
    Offer,
    Wish,
    Nothing,
}

pub(super) fn cases(market: &mut Market, crowd: &Crowd) {
    let shoe = market.counted_variant(crowd, "Starter", 0, 0);
    windows(market);
    names(market);
    levels(market, shoe);
    wanted_shoes(market, crowd, shoe);
    gone_shoes(market, shoe);
}

fn newcomer(market: &mut Market, change: impl FnOnce(&mut Person)) -> Uuid {
    market.join_with(|person| {
        person.created = ago(3 * DAY);
        person.email = None;
        person.username = None;
        person.last_active = None;
        person.sizes.clear();
        change(person);
    })
}

/// Adds a new user who has taken the steps before the missed one and none after it. The user's offer has no item.
fn newcomer_missing(market: &mut Market, misses: Misses, shoe: Uuid) -> Uuid {
    let user = newcomer(market, |person| {
        if matches!(misses, Misses::Shoes | Misses::Bio) {
            person.bio = None;
        }
    });
    if !matches!(misses, Misses::Shoes) {
        market.closet(user, shoe, ago(2 * DAY));
    }
    if matches!(misses, Misses::Wish | Misses::Nothing) {
        market.offer(user, "OPEN", ago(2 * DAY), 0);
    }
    if matches!(misses, Misses::Nothing) {
        market.wish(user, shoe, ago(2 * DAY), 0);
    }
    user
}

/// Expects the user in the file of `misses`, and in the nudges with that step as the next.
fn expect_step(market: &mut Market, user: Uuid, misses: Misses, rule: &'static str) {
    let level = misses as usize;
    let number = (level + 1).to_string();
    let fields = [("new_user_level", number.as_str())];
    market.expect_row(WATERFALL, user, Some(STEMS[level]), &fields, rule);
    if level < 4 {
        let yes = |step: usize| if step < level { "true" } else { "false" };
        // The steps after the missed one depend on the case.
        let all = [
            ("next_step", STEMS[level]),
            ("has_shoes", yes(0)),
            ("has_bio", yes(1)),
            ("has_offer", yes(2)),
            ("has_wishlist", yes(3)),
        ];
        market.expect_row(NUDGES, user, NUDGED, &all[..level + 2], rule);
    } else {
        market.expect(NUDGES, user, None, rule);
    }
}

fn expect_absent(market: &mut Market, user: Uuid, rule: &'static str) {
    market.expect(WATERFALL, user, None, rule);
    market.expect(NUDGES, user, None, rule);
}

fn windows(market: &mut Market) {
    let edges = [
        (14 * DAY + MICROSECOND, false),
        (14 * DAY, true),
        (14 * DAY - MICROSECOND, true),
        (12 * HOUR + MICROSECOND, true),
        (12 * HOUR, true),
        (12 * HOUR - MICROSECOND, false),
        (0, false),
        (-HOUR, false),
    ];
    for (back, inside) in edges {
        let user = newcomer(market, |person| person.created = ago(back));
        let rule = "from 14 days ago to 12 hours ago, both included";
        if inside {
            expect_step(market, user, Misses::Shoes, rule);
        } else {
            expect_absent(market, user, rule);
        }
    }
}

fn names(market: &mut Market) {
    for name in [None, Some(""), Some("  "), Some("\t"), Some("\n")] {
        let user = newcomer(market, |person| person.first_name = name.map(str::to_owned));
        expect_absent(market, user, "a first name is required");
    }
    let user = newcomer(market, |person| person.deleted_at = 1);
    expect_absent(market, user, "deleted accounts are left out");
    let user = newcomer(market, |person| person.username = Some(String::new()));
    expect_step(market, user, Misses::Shoes, "a username is not required");
}

fn levels(market: &mut Market, shoe: Uuid) {
    for misses in [
        Misses::Shoes,
        Misses::Bio,
        Misses::Offer,
        Misses::Wish,
        Misses::Nothing,
    ] {
        let user = newcomer_missing(market, misses, shoe);
        expect_step(market, user, misses, "the first step missed");
    }

    let user = newcomer(market, |_| ());
    market.offer(user, "OPEN", ago(DAY), 0);
    market.wish(user, shoe, ago(DAY), 0);
    expect_step(market, user, Misses::Shoes, "no shoes comes before all");

    for status in ["CLOSED", "IN_TRADE", "TRADED", "REMOVED"] {
        let user = newcomer(market, |_| ());
        market.inventory(user, shoe, status, ago(DAY), 1);
        expect_step(
            market,
            user,
            Misses::Offer,
            "an inventory row of any status is a shoe",
        );
    }

    for bio in [None, Some(""), Some("   "), Some("\t\r\n")] {
        let user = newcomer(market, |person| person.bio = bio.map(str::to_owned));
        market.closet(user, shoe, ago(DAY));
        market.offer(user, "OPEN", ago(DAY), 0);
        expect_step(market, user, Misses::Bio, "a blank bio does not count");
    }

    let user = newcomer_missing(market, Misses::Offer, shoe);
    market.offer(user, "CANCELED", ago(DAY), 1);
    expect_step(market, user, Misses::Wish, "a deleted offer was an offer");

    let user = newcomer_missing(market, Misses::Wish, shoe);
    market.wish(user, shoe, ago(DAY), -1);
    expect_step(market, user, Misses::Wish, "a deleted wish does not count");

    let user = newcomer_missing(market, Misses::Offer, shoe);
    market.wish(user, shoe, ago(DAY), 0);
    expect_step(
        market,
        user,
        Misses::Offer,
        "no offers comes before the wishlist",
    );

    // Three users of one instant, in the order of their ids.
    for _ in 0..3 {
        newcomer(market, |person| person.created = ago(13 * DAY));
    }
}

/// Expects this target shoe for a user who has taken every step; `None` if there is none.
fn expect_target(
    market: &mut Market,
    user: Uuid,
    misses: Misses,
    target: Option<(&str, Uuid)>,
    rule: &'static str,
) {
    let (name, variant) = target.map_or((None, None), |(name, variant)| {
        (Some(name.to_owned()), Some(variant.to_string()))
    });
    market.expect(WATERFALL, user, Some(STEMS[misses as usize]), rule);
    let row = market.expectations.last_mut().expect("just recorded");
    row.fields = vec![
        ("top_target_shoe", name),
        ("top_target_shoe_variantid", variant),
    ];
}

fn wanted_shoes(market: &mut Market, crowd: &Crowd, shoe: Uuid) {
    let [wanted, other, third] =
        ["Wanted", "Other", "Third"].map(|name| market.counted_variant(crowd, name, 0, 0));
    let target = Some(("Wanted", wanted));

    let user = newcomer_missing(market, Misses::Offer, shoe);
    expect_target(
        market,
        user,
        Misses::Offer,
        None,
        "no row shows what they want",
    );

    let user = newcomer_missing(market, Misses::Nothing, shoe);
    let offer = market.offer(user, "OPEN", ago(DAY), 0);
    market.offer_item(offer, third, ago(DAY));
    market.desire(user, wanted, 5, ago(9 * DAY), 0);
    market.desire(user, other, 4, ago(DAY), 0);
    market.desire(user, third, 9, ago(DAY), 1);
    expect_target(
        market,
        user,
        Misses::Nothing,
        target,
        "most offers_count, deleted ones aside",
    );

    let user = newcomer_missing(market, Misses::Offer, shoe);
    market.desire(user, other, 5, ago(2 * DAY + MICROSECOND), 0);
    market.desire(user, wanted, 5, ago(2 * DAY), 0);
    expect_target(market, user, Misses::Offer, target, "then the newest");

    let user = newcomer_missing(market, Misses::Nothing, shoe);
    market.desire(user, other, 5, ago(DAY), 1);
    let older = market.offer(user, "OPEN", ago(8 * DAY), 1);
    let newer = market.offer(user, "OPEN", ago(DAY), 0);
    market.offer_item(older, wanted, ago(HOUR));
    market.offer_item(older, other, ago(3 * DAY));
    market.offer_item(newer, third, ago(2 * HOUR));
    let rule = "the newest offer item, not the item of the newest offer";
    expect_target(market, user, Misses::Nothing, target, rule);

    let user = newcomer_missing(market, Misses::Nothing, shoe);
    market.wish(user, other, ago(5 * HOUR), 0);
    market.wish(user, wanted, ago(4 * HOUR), 0);
    market.wish(user, third, ago(3 * HOUR), 1);
    expect_target(market, user, Misses::Nothing, target, "the newest wish");

    let user = newcomer_missing(market, Misses::Offer, shoe);
    market.wish(user, wanted, ago(5 * HOUR), 0);
    let received = market.offer(crowd.live[0], "OPEN", ago(DAY), 0);
    market.offer_item(received, other, ago(HOUR));
    expect_target(
        market,
        user,
        Misses::Offer,
        target,
        "others' offers are not theirs",
    );
}

fn gone_shoes(market: &mut Market, shoe: Uuid) {
    let gone = market.gone_variants();
    let [_, deleted_variant, of_deleted_product] = gone;

    for (place, variant) in gone.into_iter().enumerate() {
        let user = newcomer_missing(market, Misses::Offer, shoe);
        let offer = market.offer(user, "OPEN", ago(DAY), 0);
        market.offer_item(offer, gone[(place + 1) % 3], ago(2 * HOUR));
        market.offer_item(offer, variant, ago(HOUR));
        market.desire(user, deleted_variant, 5, ago(DAY), 0);
        let target = Some(("Unknown Product", variant));
        let rule = "the newest item whose shoe is gone, when nothing else is left";
        expect_target(market, user, Misses::Wish, target, rule);
    }

    let user = newcomer_missing(market, Misses::Nothing, shoe);
    market.wish(user, of_deleted_product, ago(HOUR), 0);
    let offer = market.offer(user, "OPEN", ago(DAY), 0);
    market.offer_item(offer, gone[0], ago(HOUR));
    let target = Some(("Starter", shoe));
    expect_target(
        market,
        user,
        Misses::Nothing,
        target,
        "a wish that exists before what is gone",
    );

    let user = newcomer_missing(market, Misses::Wish, shoe);
    market.wish(user, of_deleted_product, ago(HOUR), 0);
    let rule = "a wish for a shoe that is gone is a wish, and shows nothing";
    expect_target(market, user, Misses::Nothing, None, rule);
}
