//! Syntax, keys, types, ranges and choices.

use super::{shown, with};

#[test]
fn an_empty_file_gets_an_error_for_each_missing_part() {
    insta::assert_snapshot!(shown(""), @r"
    error: the file has no `name`
    --> a.toml:1:1
     = hint: The automation's name in every command and record

    error: the file has no [schedule]
    --> a.toml:1:1
     = hint: The time at which recipients get it

    error: the file has no [audience]
    --> a.toml:1:1
     = hint: The recipients

    error: the file has no [[push]]
    --> a.toml:1:1
     = hint: The pushes, in order

    error: a test push is required, and there is no test user
    --> a.toml:1:1
     = hint: set [test] user_ids, or test_users in the configuration; required = false sends without a test
    ");
}

#[test]
fn syntax_errors_do_not_hide_what_else_is_wrong() {
    let text = with(
        "timezone = \"America/Chicago\"",
        "timezone = \"America/Chicago",
    )
    .replace("layer = 3", "layr = 3");
    insta::assert_snapshot!(shown(&text), @r#"
    error: the text is not closed
     --> a.toml:6:27
      |
    6 | timezone = "America/Chicago
      |                           ^
      |
      = hint: it needs a `"` at its end; a `"` inside it is written `\"`

    error: unknown key `layr` in [[push]]
      --> a.toml:14:1
       |
    14 | layr = 3
       | ^^^^
       |
       = hint: did you mean `layer`?
    "#);
}

#[test]
fn a_value_without_quotes_and_one_that_is_missing() {
    let text = with("send_at = \"13:33\"", "send_at = 1:33pm")
        .replace("frequency = \"daily\"", "frequency =");
    insta::assert_snapshot!(shown(&text), @r#"
    error: `1:33pm` is not a TOML value
     --> a.toml:5:11
      |
    5 | send_at = 1:33pm
      |           ^^^^^^
      |
      = hint: a text needs quotes: "1:33pm"

    error: a value is missing after `=`
     --> a.toml:7:11
      |
    7 | frequency =
      |           ^
    "#);
}

#[test]
fn keys_given_twice_and_tables_not_closed() {
    let text = with("[audience]", "[audience").replace("layer = 3", "layer = 3\nlayer = 2");
    insta::assert_snapshot!(shown(&text), @r"
    error: the table's name is not closed: `]` is missing
     --> a.toml:9:9
      |
    9 | [audience
      |         ^

    error: `layer` appears twice in the same table
      --> a.toml:15:1
       |
    15 | layer = 2
       | ^^^^^
    ");
}

#[test]
fn unknown_keys_are_found_anywhere() {
    let text = with("enabled = true", "enable = true")
        .replace("[schedule]", "[schedule]\ncancel_minutes = 20\nlead = 30")
        .replace("layer = 3", "layer = 3\naudience_flie = \"x\"")
        + "[saveguards]\nmax_audience = 3\n[safeguards]\nmax_audiences = 3\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: unknown key `enable` at the top of the file
     --> a.toml:2:1
      |
    2 | enable = true
      | ^^^^^^
      |
      = hint: did you mean `enabled`?

    error: unknown key `cancel_minutes` in [schedule]
     --> a.toml:5:1
      |
    5 | cancel_minutes = 20
      | ^^^^^^^^^^^^^^
      |
      = hint: `cancel_minutes` belongs in [window]

    error: unknown key `lead` in [schedule]
     --> a.toml:6:1
      |
    6 | lead = 30
      | ^^^^
      |
      = hint: did you mean `lead_minutes`?

    error: unknown key `audience_flie` in [[push]]
      --> a.toml:17:1
       |
    17 | audience_flie = "x"
       | ^^^^^^^^^^^^^
       |
       = hint: did you mean `audience_file`?

    error: unknown key `saveguards` at the top of the file
      --> a.toml:24:2
       |
    24 | [saveguards]
       |  ^^^^^^^^^^
       |
       = hint: did you mean `safeguards`?

    error: unknown key `max_audiences` in [safeguards]
      --> a.toml:27:1
       |
    27 | max_audiences = 3
       | ^^^^^^^^^^^^^
       |
       = hint: did you mean `max_audience`?
    "#);
}

#[test]
fn wrong_types_and_how_to_write_them() {
    let text = with("enabled = true", "enabled = \"true\"")
        .replace(
            "frequency = \"daily\"",
            "frequency = \"daily\"\nlead_minutes = \"30\"\nmax_lateness_minutes = 7.5",
        )
        .replace("title = \"The target: [[var:product_name]]s\"", "title = 3")
        .replace(
            "user_ids = [\"d6d77053-92bc-7af6-3332-8bea8c4c6904\"]",
            "user_ids = \"d6d77053-92bc-7af6-3332-8bea8c4c6904\"",
        )
        + "[window]\ncancel_minutes = []\n[push_defaults]\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: `enabled` must be true or false, not text
     --> a.toml:2:11
      |
    2 | enabled = "true"
      |           ^^^^^^
      |
      = hint: write it without quotes: true

    error: `lead_minutes` must be a whole number, not text
     --> a.toml:8:16
      |
    8 | lead_minutes = "30"
      |                ^^^^
      |
      = hint: write it without quotes: 30

    error: `max_lateness_minutes` must be a whole number, not a fraction
     --> a.toml:9:24
      |
    9 | max_lateness_minutes = 7.5
      |                        ^^^

    error: `title` must be text, not a number
      --> a.toml:17:9
       |
    17 | title = 3
       |         ^
       |
       = hint: write it in quotes: "3"

    error: `user_ids` must be a list, not text
      --> a.toml:22:12
       |
    22 | user_ids = "d6d77053-92bc-7af6-3332-8bea8c4c6904"
       |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: write it in brackets: ["d6d77053-92bc-7af6-3332-8bea8c4c6904"]

    error: `cancel_minutes` must be a whole number, not a list
      --> a.toml:24:18
       |
    24 | cancel_minutes = []
       |                  ^^

    error: unknown key `push_defaults` at the top of the file
      --> a.toml:25:2
       |
    25 | [push_defaults]
       |  ^^^^^^^^^^^^^
       |
       = hint: known keys: name, description, enabled, schedule, audience, push, test, window, safeguards, notify
    "#);
}

#[test]
fn numbers_outside_their_ranges() {
    let text = with("layer = 3", "layer = 6\ndelay_minutes = -1")
        + "[safeguards]\nmax_failure_rate = 10\nholdout_percent = 100\nmax_audience = 0\nmax_skipped_percent = 99999999999999999999\n";
    insta::assert_snapshot!(shown(&text), @r"
    error: `layer` must be 1 to 5, not 6
      --> a.toml:14:9
       |
    14 | layer = 6
       |         ^

    error: `delay_minutes` must be 0 to 1440, not -1
      --> a.toml:15:17
       |
    15 | delay_minutes = -1
       |                 ^^

    error: `max_failure_rate` must be 0 to 1, not 10
      --> a.toml:23:20
       |
    23 | max_failure_rate = 10
       |                    ^^
       |
       = hint: it is a fraction of one: 10 percent are 0.1

    error: `holdout_percent` must be 0 to 99, not 100
      --> a.toml:24:19
       |
    24 | holdout_percent = 100
       |                   ^^^

    error: `max_audience` must be at least 1, not 0
      --> a.toml:25:16
       |
    25 | max_audience = 0
       |                ^

    error: `max_skipped_percent` must be 0 to 100, and fit into 64 bits
      --> a.toml:26:23
       |
    26 | max_skipped_percent = 99999999999999999999
       |                       ^^^^^^^^^^^^^^^^^^^^
    ");
}

#[test]
fn choices_that_are_none() {
    let text = with("frequency = \"daily\"", "frequency = \"dayly\"")
        + "[safeguards]\ncadence_failure = \"ignore\"\nquiet_hours = \"21:00-09:00\"\nquiet_hours_action = \"deley\"\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: `frequency` must be "once", "daily", "weekly" or "monthly", not "dayly"
     --> a.toml:7:13
      |
    7 | frequency = "dayly"
      |             ^^^^^^^
      |
      = hint: did you mean "daily"?

    error: `cadence_failure` must be "abort" or "send", not "ignore"
      --> a.toml:22:19
       |
    22 | cadence_failure = "ignore"
       |                   ^^^^^^^^

    error: `quiet_hours_action` must be "refuse" or "delay", not "deley"
      --> a.toml:24:22
       |
    24 | quiet_hours_action = "deley"
       |                      ^^^^^^^
       |
       = hint: did you mean "delay"?
    "#);
    let text = with(
        "frequency = \"daily\"",
        "frequency = \"weekly\"\nweekdays = [\"Monday\", \"xyz\", \"fri\", \"fri\"]",
    );
    insta::assert_snapshot!(shown(&text), @r#"
    error: an entry of `weekdays` must be "mon", "tue", "wed", "thu", "fri", "sat" or "sun", not "Monday"
     --> a.toml:8:13
      |
    8 | weekdays = ["Monday", "xyz", "fri", "fri"]
      |             ^^^^^^^^
      |
      = hint: did you mean "mon"?

    error: an entry of `weekdays` must be "mon", "tue", "wed", "thu", "fri", "sat" or "sun", not "xyz"
     --> a.toml:8:23
      |
    8 | weekdays = ["Monday", "xyz", "fri", "fri"]
      |                       ^^^^^

    warning: this day is listed twice
     --> a.toml:8:37
      |
    8 | weekdays = ["Monday", "xyz", "fri", "fri"]
      |                                     ^^^^^
    "#);
}
