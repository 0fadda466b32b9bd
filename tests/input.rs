//! Foreign input of every kind is understood or refused with its place, and no secret in it is ever shown.

mod secrets;

use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use pushctl::audience::{Catalogue, Definition};
use pushctl::automation::SourceText;
use pushctl::automation::check::{Against, check};
use pushctl::fcm::{Credentials, Login};
use pushctl::settings::secret::Secret;
use pushctl::template::Template;
use pushctl::template::link::AllowedHosts;

use crate::support::cli::{Outcome, Sandbox};

/// Replaces a part of a text.
fn torn(text: &str, at: usize, length: usize, by: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let at = at % letters.len();
    let end = (at + length).min(letters.len());
    let (before, after) = (letters[..at].iter(), letters[end..].iter());
    before
        .copied()
        .chain(by.chars())
        .chain(after.copied())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_torn_file_makes_its_parser_panic(
        at in 0_usize..10_000, length in 0_usize..60, by in "[ -~\n\t\0é]{0,12}",
    ) {
        let query = include_str!("../queries/layer2.sql");
        let _ = Definition::parse("torn", "torn.sql", &torn(query, at, length, &by));
        let automation = include_str!("../automations/layer3.toml");
        let (catalogue, link_hosts) = (Catalogue::built_in(), AllowedHosts::default());
        let against = Against {
            catalogue: &catalogue,
            link_hosts: &link_hosts,
            test_users: &[],
            now: "2026-11-21T13:33:00Z".parse().unwrap(),
            starts_late: false,
        };
        let text = torn(automation, at, length, &by);
        let _ = check(&[SourceText { path: "torn.toml".to_owned(), text }], &against);
        let template = "Hi [[var:name|default:\"you\"]], [[\"[[\"]] {x} [[var:\"First Name\"|truncate:3]]";
        let _ = Template::parse(&torn(template, at, length, &by));
        let account = format!(
            "{{\"type\": \"service_account\", \"project_id\": \"p\", \"client_email\": \"a@b\", \"private_key\": \"{SECRET}\"}}"
        );
        // The secret itself stays whole.
        let at = at % account.find(SECRET).unwrap();
        let account = torn(&account, at, length.min(account.find(SECRET).unwrap() - at), &by);
        let error = Login::load(&Credentials::Text(Secret::new(account)), None).unwrap_err();
        let shown = format!("{error:#} {:?}", error.hints());
        prop_assert!(!shown.contains(SECRET));
    }
}

/// A secret, and pieces of it that nothing may show.
const SECRET: &str = "s3cr3tS3cr3t";

fn preview(sandbox: &Sandbox, content: &[u8]) -> Outcome {
    fs::write(sandbox.here().join("a.csv"), content).unwrap();
    sandbox.run(&[
        "preview",
        "--audience",
        "a.csv",
        "--title",
        "T",
        "--body",
        "Hi [[var:name]]",
    ])
}

/// Kinds of malformed files: the kind, the file, and a part of the error.
fn malformed() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let many = |row: &str| {
        let rows: Vec<String> = (3..10_000).map(|n| format!("{n},t{n},Bob\n")).collect();
        let rows = rows.concat();
        format!("user_id,token,name\n1,t1,Ann\n{row}\n{rows}").into_bytes()
    };
    let small = |rows: &str| format!("user_id,token,name\n{rows}").into_bytes();
    let utf16: Vec<u8> = [0xff, 0xfe]
        .into_iter()
        .chain(
            "user_id,name\n1,Ann\n"
                .encode_utf16()
                .flat_map(u16::to_le_bytes),
        )
        .collect();
    vec![
        (
            "backslash quotes",
            small("1,t1,Ann\n2,t2,\"say \\\"hi\\\"\"\n3,t3,Bob\n"),
            "a.csv:3 (row 2): text follows the quote",
        ),
        (
            "unclosed quote",
            small("1,t1,Ann\n2,t2,\"Bob\n3,t3,Cy\n"),
            "a.csv:3 (row 2): the quote that opens here is never closed",
        ),
        (
            "unclosed quote before thousands of rows",
            many("2,t2,\"Ann"),
            "a.csv:3 (row 2): the quoted field that begins here contains whole rows",
        ),
        (
            "quote closed far away",
            [many("2,t2,\"Ann"), b"x,y,Bob\"\n".to_vec()].concat(),
            "a.csv:3 (row 2): the quoted field that begins here contains whole rows",
        ),
        (
            "quote inside",
            small("1,t1,5\" rim\n"),
            "a.csv:2 (row 1): there is a quote inside a field",
        ),
        (
            "blank before a quote",
            small("1,t1, \"Ann\"\n"),
            "a.csv:2 (row 1): there is a quote inside a field",
        ),
        (
            "blank behind a quote",
            small("1,t1,\"Ann\" \n"),
            "a.csv:2 (row 1): text follows the quote",
        ),
        (
            "short row",
            small("1,t1,Ann\n2,t2\n"),
            "a.csv:3: this row has 2 fields, the header has 3",
        ),
        (
            "long row",
            small("1,t1,Ann,x\n"),
            "a.csv:2: this row has 4 fields, the header has 3",
        ),
        ("UTF-16", utf16, "a.csv:1: the file is UTF-16"),
        (
            "Latin-1",
            b"user_id,name\n1,L\xe9a\n".to_vec(),
            "a.csv:2: field 2 is not UTF-8",
        ),
        (
            "NUL",
            small("1,t1,A\0n\n"),
            "a.csv:2 (row 1): there is a NUL byte",
        ),
        (
            "CR alone",
            b"user_id,name\r1,Ann\r".to_vec(),
            "a.csv:2 (row 1): a line ends in CR alone",
        ),
        (
            "duplicate column",
            b"user_id,name, name\n1,Ann,Bob\n".to_vec(),
            "a.csv:1: two columns are called \"name\"",
        ),
        (
            "column without a name",
            b"user_id,,name\n1,x,Ann\n".to_vec(),
            "a.csv:1: column 2 has no name",
        ),
        (
            "header only",
            b"user_id,name\n".to_vec(),
            "a.csv has no rows",
        ),
        ("empty", b"".to_vec(), "a.csv is empty"),
    ]
}

/// The same for the header's line.
fn malformed_headers() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    vec![
        (
            "semicolons",
            b"user_id;token;name\n1;t1;Ann\n".to_vec(),
            "a.csv:1: semicolons separate the columns",
        ),
        (
            "tabs",
            b"user_id\ttoken\tname\n1\tt1\tAnn\n".to_vec(),
            "a.csv:1: tabs separate the columns",
        ),
        (
            "sep=",
            b"sep=,\nuser_id,name\n1,Ann\n".to_vec(),
            "a.csv:1: the first line is \"sep=\"",
        ),
    ]
}

#[test]
fn each_kind_of_malformed_csv_is_refused_with_its_line_and_row() {
    let sandbox = Sandbox::new();
    for (kind, content, expected) in malformed().into_iter().chain(malformed_headers()) {
        let outcome = preview(&sandbox, &content);
        assert_ne!(outcome.status, 0, "{kind}: {outcome}");
        assert!(outcome.stderr.contains(expected), "{kind}: {outcome}");
        assert!(!outcome.stdout.contains("Hi "), "{kind}: {outcome}");
        fs::write(sandbox.here().join("b.csv"), "user_id,name\n1,Ann\n").unwrap();
        let diff = sandbox.run(&["diff", "a.csv", "b.csv", "--key", "user_id"]);
        if kind != "header only" {
            assert_eq!(diff.status, 2, "{kind}: {diff}");
        }
    }
}

#[test]
fn what_rfc_4180_allows_is_read() {
    let sandbox = Sandbox::new();
    let more = (0..100_000)
        .map(|n| n.to_string())
        .collect::<Vec<_>>()
        .join(",");
    let many_columns = format!("user_id,name,{more}\n1,Ann{}\n", ",".repeat(100_000));
    for (kind, content) in [
        ("byte-order mark", &b"\xef\xbb\xbfuser_id,name\n1,Ann\n"[..]),
        ("blanks around names", b" user_id , name\r\n1,Ann\r\n"),
        (
            "line break in quotes",
            b"user_id,name\n1,\"Ann\nand \"\"Bob\"\", too\"\n",
        ),
        ("no line break at the end", b"user_id,name\n1,Ann"),
        ("many columns", many_columns.as_bytes()),
    ] {
        let outcome = preview(&sandbox, content);
        assert_eq!(outcome.status, 0, "{kind}: {outcome}");
        assert!(outcome.stdout.contains("Hi Ann"), "{kind}: {outcome}");
    }
}

#[test]
fn a_near_variable_is_an_error_also_when_quiet_and_brackets_can_be_sent() {
    let sandbox = Sandbox::new();
    fs::write(
        sandbox.here().join("a.csv"),
        "user_id,name,First Name\n1,Ann,Léa\n",
    )
    .unwrap();
    let run = |title: &str, body: &str| {
        sandbox.run(&[
            "-q",
            "preview",
            "--audience",
            "a.csv",
            "--title",
            title,
            "--body",
            body,
        ])
    };
    for near in [
        "[[ var:name ]]",
        "[[var: name]]",
        "[[VAR:name]]",
        "{{name}}",
        "[[name]]",
        "${name}",
        "#{name}",
        "%{name}",
        "*|name|*",
    ] {
        let outcome = run("T", &format!("Hi {near}"));
        assert_eq!(outcome.status, 2, "{near}: {outcome}");
        let told = format!("body: `{near}` is not a variable; write `[[var:name]]`");
        assert!(outcome.stderr.contains(&told), "{outcome}");
        assert!(outcome.stderr.contains("[[\"…\"]]"), "{outcome}");
        assert_eq!(run(near, "Hi").status, 2, "{near}");
    }
    let outcome = run("T", "[[\"[[\"]]sale]] for [[var:\"First Name\"]]");
    assert_eq!(outcome.status, 0, "{outcome}");
    assert!(outcome.stdout.contains("[[sale]] for Léa"), "{outcome}");
}

#[test]
fn lines_of_a_foreign_env_file_are_skipped_with_a_note() {
    let sandbox = Sandbox::new();
    let text = format!(
        "PUSHCTL_RATE=7\nsource ./{SECRET}\nA-B={SECRET}\nC=\"{SECRET}\nPUSHCTL_RETRIES=3\n"
    );
    sandbox.write("here/.env", &text);
    let outcome = sandbox.run(&["config", "show"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    for note in [".env:2: skipped", ".env:3: skipped", ".env:4: skipped"] {
        assert!(outcome.stderr.contains(note), "{outcome}");
    }
    assert!(outcome.stdout.contains("PUSHCTL_RATE in .env"), "{outcome}");
    assert!(
        outcome.stdout.contains("PUSHCTL_RETRIES in .env"),
        "{outcome}"
    );
    assert!(!outcome.to_string().contains(SECRET), "{outcome}");
    let quiet = sandbox.run(&["-q", "config", "show"]);
    assert_eq!(quiet.stderr, "", "{quiet}");
}

const QUERY: &str = "--| title = \"All\"\n--| order = \"user_id\"\n--| [parameters.p]\n--| type = \"text\"\n--| default = \"x\"\n--| help = \"p\"\n--| [[files]]\n--| stem = \"{p}\"\n--| columns = [\"user_id\"]\nSELECT id AS user_id FROM users\n";

#[test]
fn editor_files_and_one_broken_query_file_do_not_stop_the_other_audiences() {
    let sandbox = Sandbox::new();
    sandbox.write("here/queries.d/mine.sql", QUERY);
    sandbox.write("here/queries.d/broken.sql", "SELECT 1\n");
    sandbox.write("here/queries.d/._mine.sql", "\0\0");
    sandbox.write("here/queries.d/mine.sql~", "x");
    sandbox.write("here/queries.d/.DS_Store", "x");
    let directory = sandbox.here().join("queries.d");
    fs::write(directory.join("latin.sql"), b"-- L\xe9a\n").unwrap();
    symlink("ann@host.1:2", directory.join(".#mine.sql")).unwrap();
    symlink("nowhere", directory.join("gone.sql")).unwrap();
    fs::create_dir(directory.join("folder.sql")).unwrap();
    let outcome = sandbox.run(&["audiences", "--queries", "queries.d"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    for name in ["mine", "layer2", "waterfall"] {
        assert!(outcome.stdout.contains(name), "{outcome}");
    }
    for note in [
        "broken.sql",
        "latin.sql",
        "._mine.sql",
        ".#mine.sql",
        "gone.sql",
        "folder.sql",
    ] {
        assert!(outcome.stderr.contains(note), "{note}: {outcome}");
    }
    let one = sandbox.run(&["audiences", "layer3", "--queries", "queries.d"]);
    assert_eq!(one.status, 0, "{one}");
    let broken = sandbox.run(&["audiences", "latin", "--queries", "queries.d"]);
    assert!(
        broken.status == 2 && broken.stderr.contains("latin.sql"),
        "{broken}"
    );
}

#[test]
fn a_file_stem_that_a_parameter_fills_stays_in_the_output_directory() {
    let sandbox = Sandbox::new();
    sandbox.write("here/queries.d/mine.sql", QUERY);
    let long = "é".repeat(150);
    for value in [
        "../x",
        "/etc/x",
        "a/b",
        "..",
        ".x",
        "",
        "con",
        "a\nb",
        "a\u{202e}b",
        &long,
    ] {
        let given = format!("--p={value}");
        let outcome = sandbox.run_with(
            &["generate", "mine", "--queries", "queries.d", &given],
            &[
                ("DATABASE_URL", "postgres://a@127.0.0.1:1/m"),
                ("PUSHCTL_DEADLINE", "1s"),
            ],
        );
        assert_eq!(outcome.status, 2, "{value:?}: {outcome}");
        assert!(outcome.stderr.contains("file stem"), "{value:?}: {outcome}");
    }
}

#[test]
fn a_query_file_with_an_effect_outside_the_query_is_refused_with_its_line() {
    let sandbox = Sandbox::new();
    for call in [
        "lo_import('/etc/passwd')",
        "pg_catalog.lo_export(1, '/x')",
        "dblink_exec('x', 'y')",
        "pg_advisory_lock(1)",
        "PG_TRY_ADVISORY_LOCK (1)",
        "pg_read_file('/etc/passwd')",
        "\"pg_read_file\"('/etc/passwd')",
        "pg_terminate_backend(1)",
        "pg_notify('a', 'b')",
        "set_config /* x */ ('a', 'b', true)",
        "nextval('s')",
        "query_to_xml('select 1', true, true, '')",
    ] {
        let text = QUERY.replace("SELECT id", &format!("SELECT {call} AS x, id"));
        sandbox.write("here/queries.d/mine.sql", &text);
        let outcome = sandbox.run(&["audiences", "mine", "--queries", "queries.d"]);
        assert_eq!(outcome.status, 2, "{call}: {outcome}");
        assert!(
            outcome.stderr.contains("mine.sql:10: "),
            "{call}: {outcome}"
        );
    }
    for harmless in [
        "'nextval(1)'",
        "nextval",
        "/* dblink(1) */ 1",
        "my_nextval(1)",
    ] {
        let text = QUERY.replace("SELECT id", &format!("SELECT {harmless} AS x, id"));
        sandbox.write("here/queries.d/mine.sql", &text);
        let outcome = sandbox.run(&["audiences", "mine", "--queries", "queries.d"]);
        assert_eq!(outcome.status, 0, "{harmless}: {outcome}");
    }
    let text = QUERY.replace(
        "--| [[files]]",
        "--| [set]\n--| role = \"postgres\"\n--| [[files]]",
    );
    sandbox.write("here/queries.d/mine.sql", &text);
    assert_eq!(
        sandbox
            .run(&["audiences", "mine", "--queries", "queries.d"])
            .status,
        2
    );
}

#[test]
fn text_from_outside_cannot_control_the_terminal() {
    let sandbox = Sandbox::new();
    for (kind, text) in [
        ("CSI", "\u{1b}[2J"),
        ("OSC 8", "\u{1b}]8;;https://x\u{7}"),
        ("BEL", "\u{7}"),
        ("CR", "\r"),
        ("C1", "\u{9b}2J"),
        ("bidi override", "\u{202e}"),
    ] {
        let content = format!("user_id,name\n1,\"Ann{text}\"\n");
        for json in [false, true] {
            fs::write(sandbox.here().join("a.csv"), &content).unwrap();
            let mut arguments = vec![
                "preview",
                "--audience",
                "a.csv",
                "--title",
                "T",
                "--body",
                "Hi [[var:name]]",
            ];
            arguments.extend(json.then_some("--json"));
            let outcome = sandbox.run(&arguments);
            assert_eq!(outcome.status, 0, "{kind}: {outcome}");
            assert!(outcome.stdout.contains("Hi Ann\\"), "{kind}: {outcome}");
            for letter in text.chars().filter(|one| !one.is_ascii_graphic()) {
                assert!(!outcome.stdout.contains(letter), "{kind}: {outcome}");
            }
        }
        fs::write(sandbox.here().join("b.csv"), content.replace("Ann", "Bob")).unwrap();
        let diff = sandbox.run(&["diff", "a.csv", "b.csv", "--key", "user_id"]);
        for letter in text.chars().filter(|one| !one.is_ascii_graphic()) {
            assert!(!diff.to_string().contains(letter), "{kind}: {diff}");
        }
    }
}

#[test]
fn times_sizes_and_counts_that_overflow_are_usage_errors() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["config", "show", "--deadline", "99999999999d"][..],
        &["config", "show", "--deadline", "99999999999h"],
        &["config", "show", "--deadline", "18446744073709551615"],
        &["config", "show", "--deadline", "1e30"],
        &["generate", "layer2", "--limit", "1e30"],
        &["generate", "layer2", "--limit", "99999999999999999999"],
        &["generate", "layer2", "--as-of", "99999-01-01"],
        &["generate", "layer2", "--as-of", "99999999999d ago"],
        &[
            "generate",
            "layer2",
            "--lookback-days",
            "99999999999999999999",
        ],
        &["generate", "layer2", "--connect-timeout", "99999999999d"],
        &[
            "send",
            "--audience",
            "a.csv",
            "--layer",
            "3",
            "--title",
            "T",
            "--body",
            "B",
            "--rate",
            "1e30",
        ],
        &[
            "send",
            "--audience",
            "a.csv",
            "--layer",
            "99999999999",
            "--title",
            "T",
            "--body",
            "B",
        ],
    ] {
        let outcome =
            sandbox.run_with(arguments, &[("DATABASE_URL", "postgres://a@127.0.0.1:1/m")]);
        assert_eq!(outcome.status, 2, "{arguments:?}: {outcome}");
        assert!(
            !outcome.stderr.contains("panicked"),
            "{arguments:?}: {outcome}"
        );
        if arguments
            .iter()
            .any(|argument| argument.starts_with("9999") && argument.ends_with(['h', 'd']))
        {
            assert!(outcome.stderr.contains("at most 36500d"), "{outcome}");
        }
    }
}
