//! What TOML itself does not allow, said to people who know other formats.

use super::{shown, with};

#[test]
fn behind_a_bracket_that_is_not_closed_nothing_else_is_blamed() {
    let text = with(
        "name = \"layer3\"",
        "name = \"layer3\"\nparams = { lookback_hours = 48",
    )
    .replace("enabled = true", "enable = true");
    insta::assert_snapshot!(shown(&text), @r"
    error: unknown key `enable` at the top of the file
     --> a.toml:2:1
      |
    2 | enable = true
      | ^^^^^^
      |
      = hint: did you mean `enabled`?

    error: a bracket before this is not closed, or a comma is missing
      --> a.toml:13:1
       |
    13 | [[push]]
       | ^
       |
       = hint: the text after it was not checked
    ");
    let text = with(
        "[\"d6d77053-92bc-7af6-3332-8bea8c4c6904\"]",
        "[\"d6d77053-92bc-7af6-3332-8bea8c4c6904\"\nrequired = true",
    );
    insta::assert_snapshot!(shown(&text), @r"
    error: a bracket before this is not closed, or a comma is missing
      --> a.toml:21:1
       |
    21 | required = true
       | ^
       |
       = hint: the text after it was not checked
    ");
}

#[test]
fn habits_of_other_formats_are_answered_in_terms_of_this_one() {
    let text = with("enabled = true", "enabled = Yes")
        .replace("layer = 3", "layer: 3")
        .replace("name = \"layer3\"", "name =");
    insta::assert_snapshot!(shown(&text), @r"
    error: `Yes` is not a TOML value
     --> a.toml:2:11
      |
    2 | enabled = Yes
      |           ^^^
      |
      = hint: write true

    error: a value is missing after `=`
      --> a.toml:10:6
       |
    10 | name =
       |      ^

    error: `=` is missing after the key
      --> a.toml:14:6
       |
    14 | layer: 3
       |      ^
       |
       = hint: TOML writes `key = value`
    ");
    insta::assert_snapshot!(shown(&with("\"13:33\"", "'13:33")), @r"
    error: the text is not closed
     --> a.toml:5:16
      |
    5 | send_at = '13:33
      |                ^
      |
      = hint: it begins with `'` and needs a `'` at its end
    ");
    insta::assert_snapshot!(shown("{ \"name\": \"mine\" }"), @r#"
    error: this line is not TOML
     --> a.toml:1:1
      |
    1 | { "name": "mine" }
      | ^
      |
      = hint: a line is `key = value`, `[table]`, or a comment after `#`
    "#);
}

#[test]
fn tables_that_are_there_twice_or_are_no_lists() {
    let text = with("[test]", "[schedule]\nday = 1\n[test]").replace("[[push]]", "[push]");
    let text = text + "[[push]]\nlayer = 3\n";
    insta::assert_snapshot!(shown(&text), @r#"
    error: [[push]] must be a list of tables, not a table
      --> a.toml:12:1
       |
    12 | [push]
       | ^^^^^^
       |
       = hint: write its name in double brackets

    error: the table [schedule] appears twice
      --> a.toml:19:2
       |
    19 | [schedule]
       |  ^^^^^^^^
       |
       = hint: put all its keys under one of the two

    error: `day` has no effect with frequency = "daily"
      --> a.toml:20:1
       |
    20 | day = 1
       | ^^^
       |
       = hint: it goes with frequency = "monthly"

    error: [[push]] cannot follow a `push` that is not a list of tables
      --> a.toml:23:3
       |
    23 | [[push]]
       |   ^^^^
       |
       = hint: write [[push]] in both places
    "#);
    insta::assert_snapshot!(shown(&with("[schedule]", "[shedule]")), @r"
    error: unknown key `shedule` at the top of the file
     --> a.toml:4:2
      |
    4 | [shedule]
      |  ^^^^^^^
      |
      = hint: did you mean `schedule`?
    ");
}
