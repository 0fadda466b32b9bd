//! Audience files of all kinds, and their errors.

use std::fmt::Write as _;

use pushctl::delivery::USER_COLUMNS;

use super::{Office, id, people, tokens};
use crate::support::fcm::script::{Reply, Script};

#[test]
fn every_accepted_name_of_the_user_column_is_found() {
    let office = Office::playing(Script::default());
    for (n, column) in (0..).zip(USER_COLUMNS) {
        office.audience(&format!("token,{column}\nt-{n},{}\n", id(n)));
        let sent = office.send(&[]);
        assert_eq!(sent.status(), 0, "{}", sent.outcome);
        assert_eq!(sent.outcomes(), [(&*id(n), "accepted", "")]);
    }
    assert_eq!(office.delivered().len(), USER_COLUMNS.len());
}

#[test]
fn a_file_without_user_ids_is_refused() {
    let office = Office::playing(Script::default());
    office.audience("user-id,token\nx,t\n");
    let said = office.refused(&[], 2);
    assert!(
        said.contains("a.csv:1: no user column; the columns are user-id, token"),
        "{said}"
    );
    assert!(said.contains("is it \"user-id\"?"), "{said}");
    office.audience(&format!("user_id,token\n{},t-0\n ,t-1\n", id(0)));
    let said = office.refused(&[], 2);
    assert!(
        said.contains("a.csv:3: the user_id of this row is empty"),
        "{said}"
    );
    assert_eq!(office.stand_in.token_requests(), 0);
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_column() {
    let office = Office::playing(Script::default());
    office.audience(&people(0..2));
    let said = office.refused(&["--body", "Hi [[var:nmae]]"], 2);
    assert!(
        said.contains("nmae") && said.contains("did you mean `name`?"),
        "{said}"
    );
    assert!(
        said.contains("its columns are user_id, name, token"),
        "{said}"
    );
    let said = office.refused(&["--body", "Hi [[var:name"], 2);
    assert!(said.contains("body"), "{said}");
    assert!(office.delivered().is_empty());
}

#[test]
fn a_row_without_a_value_is_skipped_counted_and_listed() {
    let office = Office::playing(Script::default());
    let rows = [
        format!("{},Ana,5,t-0", id(0)),
        format!("{},,5,t-1", id(1)),
        format!("{},Bo,many,t-2", id(2)),
        format!("{},\"\",7,t-3", id(3)),
    ];
    office.audience(&format!("user_id,name,pairs,token\n{}\n", rows.join("\n")));
    let sent = office.send(&["--body", "[[var:name]]: [[var:pairs|number]]"]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(
        sent.outcomes(),
        [
            (&*id(0), "accepted", ""),
            (&id(1), "skipped", "empty:name"),
            (&id(2), "skipped", "not-a-number:pairs"),
            (&id(3), "skipped", "empty:name"),
        ]
    );
    assert_eq!(sent.summary["skipped_by_reason"]["empty:name"], 2);
    assert_eq!(office.delivered(), ["t-0"]);
    // With a default no row is skipped.
    let sent = office.send(&["--body", "[[var:name|default:\"you\"]]"]);
    assert_eq!(sent.count("accepted"), 4, "{}", sent.summary);
}

#[test]
fn quoted_line_breaks_boms_and_either_line_ending_are_read_alike() {
    for (n, (bom, ending)) in [
        ("", "\n"),
        ("", "\r\n"),
        ("\u{feff}", "\n"),
        ("\u{feff}", "\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let office = Office::playing(Script::default());
        let lines = [
            "user_id,name,token".to_owned(),
            format!("{},\"Ana \"\"the\nshoe\"\", B.\",t-0", id(0)),
            format!("{},Bo,t-1", id(1)),
        ];
        // The last line may lack its end.
        let end = if n % 2 == 0 { ending } else { "" };
        office.audience(&format!("{bom}{}{end}", lines.join(ending)));
        let sent = office.send(&["--body", "Hi [[var:name]]!"]);
        sent.accepted(0, 2);
        let body = &office.stand_in.attempts("t-0")[0].message["message"]["notification"]["body"];
        assert_eq!(body, "Hi Ana \"the\nshoe\", B.!");
        assert_eq!(office.delivered(), tokens(0..2));
    }
}

#[test]
fn an_error_in_a_file_names_its_line_and_nothing_is_sent() {
    let office = Office::playing(Script::default());
    let good = people(0..2);
    let long = "x".repeat(4200);
    for (file, arguments, status, told) in [
        (
            format!("{good}{},Ana\n", id(9)),
            &[][..],
            2,
            "a.csv:4: this row has 2 fields, the header has 3",
        ),
        (
            format!("{good}\"a\nb\",Ana,t\n{},Ana,t-9,more\n", id(9)),
            &[],
            2,
            "a.csv:6: this row has 4 fields",
        ),
        (String::new(), &[], 2, "a.csv is empty"),
        (
            "user_id,name,token\n".to_owned(),
            &[],
            12,
            "a.csv has no rows",
        ),
        (
            format!("{good}{},{long},t-9\n", id(9)),
            &["--body", "[[var:name]]"],
            2,
            "a.csv:4: ",
        ),
        (
            good.clone(),
            &["--deep-link", "https://example.com/x"],
            2,
            "deep_link",
        ),
        (
            format!(
                "user_id,to,token\n{},https://tradeblock.us/a,t-0\n{},https://example.com,t-1\n",
                id(0),
                id(1)
            ),
            &["--deep-link", "[[var:to]]"],
            2,
            "",
        ),
        (good.clone(), &["--data", "from=x"], 2, "data.from"),
    ] {
        office.audience(&file);
        let said = office.refused(arguments, status);
        assert!(said.contains(told), "{told}: {said}");
    }
    let mut bytes = good.into_bytes();
    bytes.extend_from_slice(format!("{},Fran\u{e7}ois,t-9\n", id(9)).as_bytes());
    let place = bytes
        .windows(2)
        .position(|pair| pair == [0xc3, 0xa7])
        .unwrap();
    bytes.remove(place);
    std::fs::write(office.sandbox.here().join("a.csv"), bytes).unwrap();
    let said = office.refused(&[], 2);
    assert!(said.contains("a.csv:4: field 2 is not UTF-8"), "{said}");
    let said = office.refused(&["--audience", "b.csv"], 2);
    assert!(
        said.contains("b.csv") && said.contains("pushctl generate"),
        "{said}"
    );
    assert_eq!(office.stand_in.token_requests(), 0);
}

#[test]
fn a_huge_field_that_no_text_uses_does_no_harm() {
    let office = Office::playing(Script::default());
    let huge = "x".repeat(3_000_000);
    office.audience(&format!("user_id,note,token\n{},\"{huge}\",t-0\n", id(0)));
    assert_eq!(office.send(&[]).count("accepted"), 1);
    // Nor does one that a filter cuts.
    let sent = office.send(&["--body", "[[var:note|truncate:40]]"]);
    sent.accepted(0, 1);
}

#[test]
fn repeated_recipients_and_tokens_are_sent_to_once() {
    let office = Office::playing(Script::default());
    let mut file = people(0..3);
    file += &people([1]).replace("user_id,name,token\n", "");
    file += &people([1, 2]).replace("user_id,name,token\n", "");
    // The same person in capitals, with another token; and another person with a token that was had.
    let more = [(id(0).to_uppercase(), "t-9"), (id(7), "t-0"), (id(8), "")];
    for (user, token) in more {
        let _ = writeln!(file, "{user},Bo,{token}");
    }
    office.audience(&file);
    let sent = office.send(&[]);
    assert_eq!(sent.status(), 0, "{}", sent.outcome);
    assert_eq!(office.delivered(), tokens(0..3));
    let counts = [
        "rows",
        "repeated",
        "token_taken",
        "without_token",
        "accepted",
    ];
    assert_eq!(counts.map(|name| sent.count(name)), [9, 4, 1, 1, 3]);
}

#[test]
fn rows_that_are_repeated_and_skipped_count_once() {
    let office = Office::playing(Script::default());
    let mut file = "user_id,name,token\n".to_owned();
    for (n, name) in [(0, ""), (0, ""), (0, "Ana"), (1, "Bo"), (1, ""), (2, "")] {
        let _ = writeln!(file, "{},{name},t-{n}", id(n));
    }
    office.audience(&file);
    for (more, status) in [(&["--dry-run"][..], 0), (&[], 0)] {
        let words = ["--title", "Hi [[var:name]]"];
        let sent = office.send(&[&words[..], more].concat());
        let counts = ["rows", "repeated", "skipped"].map(|name| sent.count(name));
        assert_eq!(
            (sent.status(), counts),
            (status, [6, 3, 2]),
            "{}",
            sent.outcome
        );
    }
    assert_eq!(office.delivered(), tokens(1..2));
}

#[test]
fn a_file_that_changed_is_refused_when_its_send_goes_on() {
    let script = Script::default().always("t-1", Reply::NotFound);
    let office = Office::playing(script);
    office.audience(&people(0..3));
    let sent = office.send(&["--rate", "20"]);
    assert_eq!(sent.status(), 4, "{}", sent.outcome);
    office.audience(&people(0..4));
    let outcome = office.run(&["resume", sent.run()]);
    assert_eq!(outcome.status, 12, "{outcome}");
    outcome.says("a.csv has changed since the send began");
    assert!(office.delivered().len() < 3);
}
