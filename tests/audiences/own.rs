//! Query files of one's own against a database: what only the database can know is wrong is told with file and line,
//! values stay values, and a file takes the place of a built-in audience of its name.

use super::Fair;
use crate::support::cli::Outcome;
use crate::support::market::{handmade, random};

/// Line by line, so that a test can say which is wrong.
const MINE: [&str; 16] = [
    "--| title = \"Everybody I know\"",
    "--| order = \"user_id\"",
    "--| [parameters.word]",
    "--| type = \"text\"",
    "--| default = \"hello\"",
    "--| help = \"What to tell them\"",
    "--| [[stages]]",
    "--| name = \"live\"",
    "--| keep = \"deleted_at = 0\"",
    "--| left = \"deleted account\"",
    "--| [[files]]",
    "--| stem = \"everybody\"",
    "--| columns = [\"user_id\", \"word\"]",
    "SELECT u.id AS user_id, u.deleted_at,",
    "  :word AS word",
    "FROM users u",
];

fn write(fair: &Fair, name: &str, lines: &[&str]) {
    let text = lines.join("\n") + "\n";
    fair.sandbox
        .write(&format!("here/queries/{name}.sql"), &text);
}

fn generate(fair: &Fair, arguments: &[&str]) -> Outcome {
    let mut all = vec!["generate"];
    all.extend(arguments);
    all.extend([
        "--queries",
        "queries",
        "--output",
        "-",
        "--line-ending",
        "lf",
    ]);
    fair.run(&all)
}

#[test]
fn errors_that_only_the_database_finds_name_file_and_line() {
    let fair = Fair::of("own_errors", random::market(3));
    let cases: [(usize, &str, &str, &[&str]); 6] = [
        (
            14,
            "u.deleted_at,",
            "u.delted_at,",
            &["delted_at", "does not exist"],
        ),
        (
            15,
            ":word AS word",
            "upper(:word, 1) AS word",
            &["function upper"],
        ),
        (16, "FROM users u", "FROM people u", &["relation", "people"]),
        (9, "deleted_at = 0", "deleted_at = user_id", &["operator"]),
        (13, "\"word\"]", "\"wrod\"]", &["wrod", "does not exist"]),
        (2, "user_id", "user_ide", &["user_ide", "does not exist"]),
    ];
    for (line, right, wrong, words) in cases {
        let mut lines = MINE;
        let broken = lines[line - 1].replace(right, wrong);
        assert_ne!(broken, lines[line - 1]);
        lines[line - 1] = &broken;
        write(&fair, "mine", &lines);
        let outcome = generate(&fair, &["mine"]);
        assert_eq!(outcome.status, 2, "{wrong}: {outcome}");
        let place = format!("queries/mine.sql:{line}: this database rejects the query");
        assert!(outcome.stderr.contains(&place), "{wrong}: {outcome}");
        for word in words {
            assert!(outcome.stderr.contains(word), "{wrong}: {outcome}");
        }
        assert_eq!(outcome.stdout, "", "{wrong}: {outcome}");
    }
}

#[test]
fn what_fails_at_a_row_names_the_file() {
    let fair = Fair::of("own_rows", random::market(3));
    let mut lines = MINE;
    lines[14] = "  (1 / (length(:word) - 5))::text AS word";
    write(&fair, "mine", &lines);
    let outcome = generate(&fair, &["mine"]);
    assert_ne!(outcome.status, 0, "{outcome}");
    outcome.says("queries/mine.sql");
    outcome.says("division by zero");
}

#[test]
fn a_parameters_value_never_becomes_sql() {
    let fair = Fair::of("own_values", random::market(3));
    write(&fair, "mine", &MINE);
    let before = fair.database.query("SELECT count(*) FROM users");
    let values = [
        "'; DROP TABLE users; --",
        "' || (SELECT string_agg(id::text, ',') FROM users) || '",
        "\\'; SELECT pg_sleep(60); --",
        "$$ || version() || $$",
        "$1 %s {word} :as_of current_setting('pushctl.as_of')",
        "E'\\x41' -- /* no comment */",
        "two\nlines, a \"quote\", a 👟 and a \t tab",
        "--word",
        " ",
    ];
    for value in values {
        let outcome = generate(&fair, &["mine", "--word", value]);
        assert_eq!(outcome.status, 0, "{value:?}: {outcome}");
        let mut rows = csv::Reader::from_reader(outcome.stdout.as_bytes());
        let mut count = 0;
        for row in rows.records() {
            assert_eq!(&row.unwrap()[1], value);
            count += 1;
        }
        assert!(count > 1, "{value:?}: {outcome}");
        let why = fair.run(&[
            "why",
            "mine",
            "--queries",
            "queries",
            "--word",
            value,
            "--json",
            "--user",
            &fair.tables.users[0].id.to_string(),
        ]);
        assert_eq!(why.status, 0, "{value:?}: {why}");
    }
    assert_eq!(fair.database.query("SELECT count(*) FROM users"), before);
}

#[test]
fn a_file_of_a_built_in_audiences_name_takes_its_place() {
    let fair = Fair::of("own_names", random::market(3));
    write(&fair, "layer2", &MINE);
    let own = generate(&fair, &["layer2", "--word", "mine"]);
    assert_eq!(own.status, 0, "{own}");
    assert!(own.stdout.starts_with("user_id,word\n"), "{own}");
    let flag = generate(&fair, &["layer2", "--top", "3"]);
    assert_eq!(flag.status, 2, "{flag}");
    let listed = fair
        .run(&["audiences", "layer2", "--queries", "queries", "--json"])
        .json();
    assert_eq!(listed["title"], "Everybody I know");
    // The others, and layer2 without the directory, are as they were.
    let other = fair
        .run(&["audiences", "layer3", "--queries", "queries", "--json"])
        .json();
    assert_eq!(other["origin"], "queries/layer3.sql (built in)");
    let built_in = fair.run(&["generate", "layer2", "--top", "3", "--dry-run"]);
    assert_eq!(built_in.status, 0, "{built_in}");
}

#[test]
fn the_file_for_standard_output_is_chosen_by_its_short_stem_or_the_manifests() {
    let fair = Fair::of("own_stems", handmade::market());
    let product = fair.market.showcase.to_string();
    let run = |file: &str| {
        fair.run(&[
            "generate",
            "showcase",
            "--product-id",
            &product,
            "--output",
            "-",
            "--file",
            file,
        ])
    };
    let dry = fair.run(&[
        "generate",
        "showcase",
        "--product-id",
        &product,
        "--dry-run",
        "--json",
    ]);
    let manifest = &dry.json()["manifest"];
    let stems = manifest["files"].as_array().expect("files");
    assert!(!stems.is_empty());
    for file in stems {
        let full = file["stem"].as_str().expect("a stem");
        let (short, parameter) = full.split_once('_').expect("a parameter in it");
        assert!(product.starts_with(parameter));
        let by_full = run(full);
        assert_eq!(by_full.status, 0, "{by_full}");
        assert_eq!(by_full.stdout, run(short).stdout);
    }
    let other = run("showcase-haves_00000000");
    assert_eq!(other.status, 2, "{other}");
    let hint = format!(
        "with these parameters there are: showcase-haves_{}",
        &product[..8]
    );
    other.says(&hint);
    let typo = run("showcase-have");
    assert_eq!(typo.status, 2, "{typo}");
    typo.says("a similar value exists: 'showcase-haves'");
}

#[test]
fn a_query_file_runs_as_the_role_that_only_reads_whatever_the_log_in_may() {
    let fair = Fair::of("own_role", handmade::market());
    // The log-in may write through a function of the owner; the role that reads may not call it.
    let role = format!("only_{}", fair.database.name);
    fair.database.execute(&format!(
        "CREATE ROLE {role}; GRANT {role} TO reader;
         GRANT USAGE ON SCHEMA public TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};
         CREATE FUNCTION note_it() RETURNS text SECURITY DEFINER LANGUAGE sql AS 'SELECT ''noted''';
         REVOKE EXECUTE ON FUNCTION note_it() FROM PUBLIC; GRANT EXECUTE ON FUNCTION note_it() TO reader"
    ));
    let mut lines = MINE;
    lines[14] = "  current_user AS word";
    write(&fair, "who", &lines);
    lines[14] = "  note_it() AS word";
    write(&fair, "noted", &lines);
    let says = |audience: &str, word: &str| {
        let outcome = generate(&fair, &[audience]);
        assert_eq!(outcome.status, 0, "{outcome}");
        assert!(outcome.stdout.contains(&format!(",{word}\n")), "{outcome}");
    };
    says("who", "reader");
    says("noted", "noted");
    fair.sandbox
        .config(&format!("[source]\nrole = \"{role}\"\n"));
    says("who", &role);
    let outcome = generate(&fair, &["noted"]);
    assert_eq!(outcome.status, 4, "{outcome}");
    outcome.says("note_it");
    let doctor = fair.run(&["doctor", "--only", "source"]);
    assert!(doctor.stdout.contains("audience layer2"), "{doctor}");
    // A role that the log-in is no member of, and one that does not exist.
    fair.database.execute(&format!("REVOKE {role} FROM reader"));
    let not_ours = generate(&fair, &["who"]);
    fair.database
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    for outcome in [not_ours, generate(&fair, &["who"])] {
        assert_eq!(outcome.status, 2, "{outcome}");
        outcome.says(&role);
        outcome.says("check source.role");
    }
}
