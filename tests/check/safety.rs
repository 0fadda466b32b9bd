//! Tests, safeguards and notices.

use super::{GOOD, shown, with};

#[test]
fn a_required_test_needs_a_test_user() {
    insta::assert_snapshot!(shown(&with("[\"d6d77053-92bc-7af6-3332-8bea8c4c6904\"]", "[]\nrequired = true")), @r"
    error: a test push is required, and there is no test user
      --> a.toml:20:12
       |
    20 | user_ids = []
       |            ^^
       |
       = hint: set [test] user_ids, or test_users in the configuration; required = false sends without a test
    ");
    insta::assert_snapshot!(shown(&with("[\"d6d77053-92bc-7af6-3332-8bea8c4c6904\"]", "[\"ann@example.com\"]")), @r#"
    error: "ann@example.com" is not a user id
      --> a.toml:20:13
       |
    20 | user_ids = ["ann@example.com"]
       |             ^^^^^^^^^^^^^^^^^
       |
       = hint: user ids are UUIDs
    "#);
}

#[test]
fn quiet_hours_that_every_run_would_meet() {
    let early = with("13:33", "08:33");
    insta::assert_snapshot!(shown(&(early.clone() + "[safeguards]\nquiet_hours = \"21:00-09:00\"\n")), @r#"
    error: the pushes are due at 08:33, inside the quiet hours 21:00-09:00
      --> a.toml:22:15
       |
    22 | quiet_hours = "21:00-09:00"
       |               ^^^^^^^^^^^^^
       |
       = hint: every run would be refused: move one of the two, or say quiet_hours_action = "delay"
    "#);
    insta::assert_snapshot!(shown(&(early + "[safeguards]\nquiet_hours = \"21:00-09:00\"\nquiet_hours_action = \"delay\"\n")), @r#"
    warning: the pushes are due at 08:33, inside the quiet hours 21:00-09:00
      --> a.toml:22:15
       |
    22 | quiet_hours = "21:00-09:00"
       |               ^^^^^^^^^^^^^
       |
       = hint: in every run, they wait until 09:00
    "#);
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + "[safeguards]\nquiet_hours = \"9pm to 9am\"\n")), @r#"
    error: `9pm to 9am` is not a span of two times like 21:00-09:00
      --> a.toml:22:15
       |
    22 | quiet_hours = "9pm to 9am"
       |               ^^^^^^^^^^^^
    "#);
    let second = "[[push]]\naudience_file = \"recent-closet-adders\"\nlayer = 3\ntitle = \"t\"\nbody = \"b\"\ndelay_minutes = 480\n[safeguards]\nquiet_hours = \"21:00-09:00\"\n";
    insta::assert_snapshot!(shown(&(GOOD.to_owned() + second)), @r#"
    error: push 2 is due at 21:33, inside the quiet hours 21:00-09:00
      --> a.toml:26:17
       |
    26 | delay_minutes = 480
       |                 ^^^
       |
       = hint: every run would be refused: move one of the two, or say quiet_hours_action = "delay"
    "#);
}

#[test]
fn addresses_of_notices_are_not_written_down() {
    let text = GOOD.to_owned()
        + "[notify]\nwebhook = \"https://hooks.example.com/T000/B000\"\nheartbeat = \"env:HEALTH-CHECK\"\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: the address of a webhook is a secret, and must not stand in this file
      --> a.toml:22:11
       |
    22 | webhook = "https://hooks.example.com/T000/B000"
       |           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
       |
       = hint: set an environment variable and name it here: webhook = "env:SLACK_WEBHOOK_URL"

    error: "HEALTH-CHECK" cannot be the name of an environment variable
      --> a.toml:23:18
       |
    23 | heartbeat = "env:HEALTH-CHECK"
       |                  ^^^^^^^^^^^^
       |
       = hint: use letters, digits and `_`, without a digit first
    "#);
}

#[test]
fn limits_that_contradict_each_other_and_names_that_cannot_be() {
    let text = with("name = \"mine\"", "name = \"my automation\"").replace("13:33", "13:30")
        + "[safeguards]\nmax_audience = 5\nwarn_audience = 10\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: "my automation" cannot be an automation's name
     --> a.toml:1:8
      |
    1 | name = "my automation"
      |        ^^^^^^^^^^^^^^^
      |
      = hint: use letters, digits, `-`, `_` and `.`, with a letter or digit first

    warning: 13:30 is a busy time: the push service is slowest at :00, :15, :30 and :45
     --> a.toml:5:11
      |
    5 | send_at = "13:30"
      |           ^^^^^^^
      |
      = hint: a few minutes away is better, like 13:33

    warning: the warning at 10 never appears: from 5 on the run is refused
      --> a.toml:23:17
       |
    23 | warn_audience = 10
       |                 ^^
    "#);
}
