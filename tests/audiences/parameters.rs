//! Parameters that cannot be are errors that say which and why, before or without any file.

use super::Fair;
use crate::support::market::{Market, random};

/// Runs `generate` with arguments that cannot be; what it says must contain each of `words`.
fn assert_refused(fair: &Fair, audience: &str, arguments: &[&str], words: &[&str]) {
    let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
    let (outcome, files) = fair.generate(audience, &arguments);
    assert_eq!(outcome.status, 2, "{audience} {arguments:?}: {outcome}");
    assert!(
        files.is_empty(),
        "{audience} {arguments:?}: {:?}",
        files.keys()
    );
    for word in words {
        assert!(
            outcome.stderr.contains(word),
            "{audience} {arguments:?} says nothing of {word:?}: {outcome}"
        );
    }
}

#[test]
fn values_that_cannot_be_are_refused_by_name() {
    let fair = Fair::of("values", random::market(1));
    let cases: [(&str, &[&str], &[&str]); 13] = [
        ("layer2", &["--top", "0"], &["--top"]),
        ("layer2", &["--top", "ten"], &["--top", "ten"]),
        ("layer2", &["--lookback-days", "-1"], &["--lookback-days"]),
        (
            "layer2",
            &["--lookback-days", "1.5"],
            &["--lookback-days", "1.5"],
        ),
        (
            "layer2",
            &["--min-open-offers", "99999999999999999999"],
            &["--min-open-offers"],
        ),
        ("layer2", &["--activity-days", ""], &["--activity-days"]),
        (
            "layer2",
            &["--lookback-dayz", "7"],
            &["--lookback-dayz", "--lookback-days"],
        ),
        ("layer3", &["--lookback-days", "7"], &["--lookback-days"]),
        (
            "layer3",
            &["--cooling-hours", "12; DROP TABLE users"],
            &["--cooling-hours"],
        ),
        ("showcase", &[], &["--product-id"]),
        (
            "showcase",
            &["--product-id", "sneaker"],
            &["--product-id", "sneaker"],
        ),
        ("waterfall", &["--max-days", "-14"], &["--max-days"]),
        (
            "nudges",
            &["--max-appearances", "'"],
            &["--max-appearances"],
        ),
    ];
    for (audience, arguments, words) in cases {
        assert_refused(&fair, audience, arguments, words);
    }
    assert_refused(&fair, "layer2", &["--limit", "0"], &["--limit"]);
    assert_refused(&fair, "layer22", &[], &["layer22", "layer2"]);
}

#[test]
fn a_product_that_is_not_there_is_named_and_one_that_is_deleted_too() {
    let mut market: Market = random::market(2);
    let (unknown, deleted) = (market.dice.uuid(), market.dice.uuid());
    market.product_with(deleted, "Discontinued", 1);
    let fair = Fair::of("products", market);
    for product in [unknown, deleted] {
        let product = product.to_string();
        let arguments = ["--product-id", product.as_str()].map(str::to_owned);
        let (outcome, files) = fair.generate("showcase", &arguments);
        assert_ne!(outcome.status, 0, "{outcome}");
        outcome.says(&product);
        assert!(files.is_empty(), "{outcome}");
    }
    // An id is an id in whatever way it is written.
    let product = fair.market.showcase;
    let spelled = product.to_string().to_uppercase();
    let written = fair.generate("showcase", &["--product-id".to_owned(), spelled]);
    let plain = fair.generate(
        "showcase",
        &["--product-id".to_owned(), product.to_string()],
    );
    assert!(written.1.keys().eq(plain.1.keys()), "{}", written.0);
}
