//! For any text, the CSV is what `COPY … CSV` makes of it.

use futures_util::TryStreamExt as _;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::support::campaign::Campaign;
use crate::support::cli::Sandbox;
use crate::support::oracle::Field;
use crate::support::oracle::csv_text::{LineEnding, document};
use crate::support::postgres::{Database, Postgres};
use crate::support::superuser::as_superuser;

/// One row a text; one of the two files has a single column.
const QUERY: &str = r#"
--| title = "Texts"
--| order = "place"
--| [[files]]
--| stem = "pairs"
--| when = "place >= 0"
--| columns = ["user_id", "left, \"text\"", "right_text"]
--| [[files]]
--| stem = "single"
--| when = "place < 0"
--| columns = ["right_text"]
SELECT place, md5(place::text)::uuid AS user_id, left_text AS "left, ""text""", right_text FROM texts
"#;

const TABLE: &str = "CREATE TABLE texts (place int, left_text text, right_text text)";

/// What COPY makes of the pairs.
const COPY: &str = r#"COPY (SELECT md5(place::text)::uuid AS user_id, left_text AS "left, ""text""", right_text
    FROM texts WHERE place >= 0 ORDER BY place) TO STDOUT (FORMAT csv, HEADER)"#;

/// Text made of what CSV, COPY and terminals give a meaning to, and of any other character but NUL.
fn text() -> impl Strategy<Value = Field> {
    let special = prop::sample::select(vec![
        ",", "\"", "\"\"", "\r", "\n", "\r\n", "\\", "\\.", "\\N", "\t", " ", "=", "'", ";",
        "\u{feff}", "👟", "\u{7f}",
    ]);
    let any = any::<char>().prop_map(|character| character.to_string().replace('\0', ""));
    let piece = prop_oneof![3 => special.prop_map(str::to_owned), 1 => any];
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(String::new())),
        1 => Just(Some("\\.".to_owned())),
        8 => prop::collection::vec(piece, 0..12).prop_map(|pieces| Some(pieces.concat())),
    ]
}

/// Puts the pairs in place of all rows, and each pair's second text once more for the file of one column.
fn fill(database: &Database, pairs: &[(Field, Field)]) -> Vec<u8> {
    as_superuser(database, async |client| {
        client
            .batch_execute("TRUNCATE texts")
            .await
            .expect("an empty table");
        let (left, right): (Vec<&Field>, Vec<&Field>) =
            pairs.iter().map(|(left, right)| (left, right)).unzip();
        let insert = "INSERT INTO texts
            SELECT place - 1, l, r FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS pair (l, r, place)
            UNION ALL
            SELECT place - 1000000, l, r FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS pair (l, r, place)";
        client
            .execute(insert, &[&left, &right])
            .await
            .expect("rows");
        let copy = client.copy_out(COPY).await.expect("COPY");
        let chunks: Vec<_> = copy.try_collect().await.expect("its rows");
        chunks.concat()
    })
}

fn generate(sandbox: &Sandbox, database: &Database, line_ending: &str) -> [Vec<u8>; 2] {
    let arguments = [
        "generate",
        "texts",
        "--name-suffix",
        "",
        "--output",
        "out",
        "--on-empty",
        "ok",
    ];
    let arguments = [&arguments[..], &["--line-ending", line_ending]].concat();
    let outcome = sandbox.run_with(&arguments, &[("DATABASE_URL", &database.url())]);
    assert_eq!(outcome.status, 0, "{outcome}");
    ["pairs.csv", "single.csv"]
        .map(|name| std::fs::read(sandbox.here().join("out").join(name)).expect("the file"))
}

#[test]
fn campaign_any_text_is_written_as_copy_writes_it() {
    let campaign = Campaign::start("texts", 16, 600);
    let database = Postgres::shared().database("texts");
    database.execute(TABLE);
    let sandbox = Sandbox::new();
    sandbox.write("here/queries.d/texts.sql", QUERY);
    sandbox.config("queries = \"queries.d\"\n");
    let pairs = prop::collection::vec((text(), text()), 1..60);
    let mut runner = TestRunner::new(Config {
        cases: campaign.rounds(),
        max_shrink_iters: 200,
        rng_seed: RngSeed::Fixed(campaign.seed()),
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&pairs, |pairs| {
        let copied = fill(&database, &pairs);
        let [lf, single_lf] = generate(&sandbox, &database, "lf");
        let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        prop_assert_eq!(shown(&lf), shown(&copied));

        let [crlf, single] = generate(&sandbox, &database, "crlf");
        let mut reader = csv::ReaderBuilder::new().from_reader(copied.as_slice());
        let header: Vec<Field> = reader
            .headers()
            .unwrap()
            .iter()
            .map(|name| Some(name.to_owned()))
            .collect();
        prop_assert_eq!(&header[1], &Some("left, \"text\"".to_owned()));
        let ids = reader.records().map(|row| Some(row.unwrap()[0].to_owned()));
        let rows: Vec<Vec<Field>> = ids
            .zip(&pairs)
            .map(|(id, (left, right))| vec![id, left.clone(), right.clone()])
            .collect();
        prop_assert_eq!(rows.len(), pairs.len());
        let columns = ["user_id", "left, \"text\"", "right_text"];
        prop_assert_eq!(
            shown(&crlf),
            shown(&document(&columns, &rows, LineEnding::Crlf))
        );
        let rows: Vec<Vec<Field>> = pairs.iter().map(|(_, right)| vec![right.clone()]).collect();
        for (found, line_ending) in [(&single, LineEnding::Crlf), (&single_lf, LineEnding::Lf)] {
            prop_assert_eq!(
                shown(found),
                shown(&document(&["right_text"], &rows, line_ending))
            );
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    campaign.report("as COPY writes them");
}
