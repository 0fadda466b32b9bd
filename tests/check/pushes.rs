//! The audience, its files and parameters, and the texts of the pushes.

use super::{GOOD, shown, with};

#[test]
fn audience_file_and_parameters_by_their_nearest_names() {
    let text = with("name = \"layer3\"", "name = \"layer3\"\nparams = { lookback_hour = 48, min_wishlist = \"2\", cooling_hours = -3 }")
        .replace("recent-offer-creators", "recent-ofer-creators");
    insta::assert_snapshot!(shown(&text), @r#"
    error: the audience layer3 has no parameter `lookback_hour`
      --> a.toml:11:12
       |
    11 | params = { lookback_hour = 48, min_wishlist = "2", cooling_hours = -3 }
       |            ^^^^^^^^^^^^^
       |
       = hint: did you mean `lookback_hours`?

    error: `min_wishlist` must be a whole number, not text
      --> a.toml:11:47
       |
    11 | params = { lookback_hour = 48, min_wishlist = "2", cooling_hours = -3 }
       |                                               ^^^
       |
       = hint: write it without quotes: 2

    error: `cooling_hours`: -3 is not between 0 and 8760
      --> a.toml:11:68
       |
    11 | params = { lookback_hour = 48, min_wishlist = "2", cooling_hours = -3 }
       |                                                                    ^^
       |
       = hint: Minimum hours since an action

    error: the audience layer3 has no file "recent-ofer-creators"
      --> a.toml:14:17
       |
    14 | audience_file = "recent-ofer-creators"
       |                 ^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: did you mean "recent-offer-creators"?
    "#);
    insta::assert_snapshot!(shown(&with("name = \"layer3\"", "name = \"layer33\"")), @r#"
    error: there is no audience "layer33"
      --> a.toml:10:8
       |
    10 | name = "layer33"
       |        ^^^^^^^^^
       |
       = hint: did you mean "layer3"?
    "#);
}

#[test]
fn a_parameter_without_a_default_must_be_given() {
    let text = with("name = \"layer3\"", "name = \"showcase\"")
        .replace("recent-offer-creators", "showcase-wants")
        .replace("product_name", "usersize");
    insta::assert_snapshot!(shown(&text), @r"
    error: the audience showcase needs the parameter `product_id`
     --> a.toml:9:1
      |
    9 | [audience]
      | ^^^^^^^^^^
      |
      = hint: The product to show
    ");
    let text = text.replace(
        "name = \"showcase\"",
        "name = \"showcase\"\nparams.product_id = \"42\"",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    error: `product_id`: "42" is not an id like 0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11
      --> a.toml:11:21
       |
    11 | params.product_id = "42"
       |                     ^^^^
       |
       = hint: The product to show
    "#);
}

#[test]
fn variables_and_filters_are_those_of_the_file() {
    let text = with(
        "title = \"The target: [[var:product_name]]s\"",
        "title = \"\\u2192 [[var:product_nam]] for [[var:first_name|deafult:\\\"you\\\"]]\"",
    )
    .replace(
        "body = \"See the [[var:inventory_count]]",
        "body = \"See the [[var:wishlist_count|number]] or [[var:colour]]",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    error: there is no filter `deafult`
      --> a.toml:15:58
       |
    15 | title = "\u2192 [[var:product_nam]] for [[var:first_name|deafult:\"you\"]]"
       |                                                          ^^^^^^^
       |
       = hint: did you mean `default`?

    error: recent-offer-creators has no column `wishlist_count`
      --> a.toml:16:23
       |
    16 | body = "See the [[var:wishlist_count|number]] or [[var:colour]] people who have them →"
       |                       ^^^^^^^^^^^^^^
       |
       = hint: it has: user_id, username, firstName, usersize, relevant_variant_size, product_name, variantID, lastActive, inventory_count

    error: recent-offer-creators has no column `colour`
      --> a.toml:16:56
       |
    16 | body = "See the [[var:wishlist_count|number]] or [[var:colour]] people who have them →"
       |                                                        ^^^^^^
       |
       = hint: it has: user_id, username, firstName, usersize, relevant_variant_size, product_name, variantID, lastActive, inventory_count
    "#);
    insta::assert_snapshot!(shown(&with("[[var:product_name]]s", "[[ var:product_name ]]s")), @r#"
    error: `[[ var:product_name ]]` is not a variable; write `[[var:product_name]]`
      --> a.toml:15:22
       |
    15 | title = "The target: [[ var:product_name ]]s"
       |                      ^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: to send such characters as they stand, put them in [["…"]]
    "#);
    insta::assert_snapshot!(shown(&with("[[var:product_name]]s", "[[var:product_name")), @r#"
    error: `[[` is not closed with `]]`
      --> a.toml:15:22
       |
    15 | title = "The target: [[var:product_name"
       |                      ^^^^^^^^^^^^^^^^^^
    "#);
}

#[test]
fn deep_links_are_https_and_lead_home() {
    insta::assert_snapshot!(shown(&with("https://tradeblock.us/", "http://tradeblock.us/")), @r#"
    error: the deep link does not start with https:// (allowed: tradeblock.us)
      --> a.toml:17:13
       |
    17 | deep_link = "http://tradeblock.us/product/collectors-have?productVariantId=[[var:variantID]]"
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(shown(&with("https://tradeblock.us/", "https://tradeblock.us.example.com/")), @r#"
    error: the deep link's host `tradeblock.us.example.com` is not allowed (allowed: tradeblock.us)
      --> a.toml:17:13
       |
    17 | deep_link = "https://tradeblock.us.example.com/product/collectors-have?productVariantId=[[var:variantID]]"
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
    "#);
    insta::assert_snapshot!(shown(&with("https://tradeblock.us/product", "https://[[var:username]].tradeblock.us/product")), @r#"
    warning: the target of this link is known only row by row
      --> a.toml:17:13
       |
    17 | deep_link = "https://[[var:username]].tradeblock.us/product/collectors-have?productVariantId=[[var:variantID]]"
       |             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: rows whose link does not lead to an allowed host are skipped; write the host literally if possible
    "#);
}

#[test]
fn empty_texts_and_reserved_data_keys() {
    let text = with(
        "title = \"The target: [[var:product_name]]s\"",
        "title = \"  \"\ndata = { url = \"x\", from = \"y\", count = 3 }",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    error: `title` is empty
      --> a.toml:15:9
       |
    15 | title = "  "
       |         ^^^^

    error: this key carries the deep link
      --> a.toml:16:16
       |
    16 | data = { url = "x", from = "y", count = 3 }
       |                ^^^

    error: this key is reserved by the push service
      --> a.toml:16:28
       |
    16 | data = { url = "x", from = "y", count = 3 }
       |                            ^^^

    error: `count` must be text, not a number
      --> a.toml:16:41
       |
    16 | data = { url = "x", from = "y", count = 3 }
       |                                         ^
       |
       = hint: write it in quotes: "3"
    "#);
}

#[test]
fn pushes_that_come_too_soon_too_late_or_too_often() {
    insta::assert_snapshot!(shown(&with("layer = 3", "layer = 4\ndelay_minutes = 5")), @r"
    warning: layer 4 is for tests: no cadence rule limits these pushes
      --> a.toml:14:9
       |
    14 | layer = 4
       |         ^
       |
       = hint: 1 platform-wide moments, 2 product and trend triggers, 3 behaviour-responsive, 5 new-user series

    error: the first push has no push before it to wait for
      --> a.toml:15:17
       |
    15 | delay_minutes = 5
       |                 ^
       |
       = hint: it goes out at send_at; move that instead
    ");
    let push = "[[push]]\naudience_file = \"recent-closet-adders\"\nlayer = 3\ntitle = \"t\"\nbody = \"b\"\n";
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + &push.repeat(20))), @r"
    error: there are 21 [[push]], and at most 20 are possible
       --> a.toml:116:1
        |
    116 | [[push]]
        | ^^^^^^^^
    ");
    let slow = (push.to_owned() + "delay_minutes = 800\n").repeat(2);
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + &slow)), @r#"
    error: the runs of 2026-11-21 13:33 and 2026-11-22 13:33 would overlap: they are 1440 minutes apart, and one may take 1630
     --> a.toml:5:11
      |
    5 | send_at = "13:33"
      |           ^^^^^^^
      |
      = hint: it lasts from lead_minutes before the time to max_lateness_minutes, or all delays, after it
    "#);
}

#[test]
fn a_control_character_in_any_text_of_a_push_is_an_error() {
    let keys = ["title", "body", "deep_link", "data.x"];
    let bad = keys
        .into_iter()
        .flat_map(|key| ["0000", "001b", "009b"].map(|letter| (key, letter)));
    for (key, letter) in bad.chain([("title", "000a")]) {
        let text = GOOD.replace(&format!("\n{key} = "), &format!("\nx{key} = "));
        let text = text.replace(
            "[[push]]",
            &format!("[[push]]\n{key} = \"https://app.tradeblock.us/\\u{letter}\""),
        );
        let report = shown(&text);
        assert!(
            report.contains("it contains the control character"),
            "{key} {letter}: {report}"
        );
    }
    let text = GOOD.replace("\nbody = ", "\nxbody = ");
    let text = text.replace("[[push]]", "[[push]]\nbody = \"one\\n\\ttwo\"");
    assert!(!shown(&text).contains("control character"));
}
