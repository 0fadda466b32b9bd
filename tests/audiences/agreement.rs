//! The files of every audience, byte for byte: at the defaults, at other parameters, over many markets, and in
//! databases whose own settings would have it otherwise.

use serde_json::Value;

use super::{Fair, difference};
use crate::support::campaign::Campaign;
use crate::support::market::dice::Dice;
use crate::support::market::{Market, handmade, random};
use crate::support::oracle::csv_text::LineEnding;
use crate::support::oracle::{Layer2, Layer3, Nudges, Overlap, Request, Showcase, Waterfall};
use crate::support::postgres::Postgres;

/// How the program's files differ from the computed ones. Where any file is, the manifest must be.
fn disagreement(fair: &Fair, request: &Request, arguments: &[String]) -> Option<String> {
    let expected = request.directory(&fair.facts(), &fair.market.test_users, LineEnding::Crlf);
    let with_funnel = [arguments, &["--funnel".to_owned()]].concat();
    let (outcome, mut found) = fair.generate(request.audience(), &with_funnel);
    let manifest = found.remove(&format!("{}.manifest.json", request.audience()));
    if let Some(manifest) = &manifest {
        funnel_adds_up(
            &serde_json::from_slice(manifest.as_ref()).expect("JSON"),
            &outcome.stdout,
        );
    }
    let problem = if outcome.status != 0 {
        Some(outcome.to_string())
    } else if manifest.is_none() && !expected.is_empty() {
        Some("no manifest".to_owned())
    } else {
        difference(&expected, &found)
    };
    problem.map(|problem| format!("{} {}: {problem}", request.audience(), arguments.join(" ")))
}

/// Every user who is considered leaves at one stage or is in a file, and the last line is the sum of the files' rows.
fn funnel_adds_up(manifest: &Value, chart: &str) {
    let funnel = &manifest["funnel"];
    let count = |value: &Value| value.as_u64().expect("a count");
    let mut remain = count(&funnel["considered"]);
    for stage in funnel["stages"].as_array().expect("stages") {
        remain -= count(&stage["left"]);
        assert_eq!(count(&stage["remain"]), remain, "{funnel:#}");
    }
    assert_eq!(count(&funnel["passed"]), remain, "{funnel:#}");
    let in_a_file = count(&funnel["in_a_file"]);
    assert_eq!(
        remain - count(&funnel["in_no_file"]),
        in_a_file,
        "{funnel:#}"
    );
    let files = manifest["files"].as_array().expect("files");
    let production = files.iter().filter(|file| file["kind"] == "production");
    let rows: u64 = production.map(|file| count(&file["rows"])).sum();
    assert_eq!(
        [&funnel["rows"], &funnel["written"]],
        [rows, rows],
        "{manifest:#}"
    );
    let last = chart.trim_end().lines().last().expect("a chart");
    let name = if rows == in_a_file {
        "in a file"
    } else {
        "rows of the files"
    };
    let shown = last
        .strip_prefix(name)
        .unwrap_or_else(|| panic!("{name} in {chart}"));
    let shown = shown.split_whitespace().next().expect("a count");
    assert_eq!(shown.replace(',', ""), rows.to_string(), "{chart}");
}

/// Holds the program to the computation for each of these requests.
fn assert_agreement(fair: &Fair, requests: &[Request]) {
    let wrong: Vec<String> = requests
        .iter()
        .filter_map(|request| disagreement(fair, request, &request.arguments()))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Every audience at parameters that chance picks, mostly such that the market's edges are theirs.
fn varied(dice: &mut Dice, market: &Market) -> [Request; 5] {
    let waterfall = |dice: &mut Dice| Waterfall {
        min_hours: dice.pick(&[0, 6, 12, 24, 72]),
        max_days: dice.pick(&[1, 3, 7, 10, 14, 30, 90]),
    };
    [
        Request::Layer2(Layer2 {
            lookback_days: dice.pick(&[1, 2, 3, 7, 10, 30]),
            activity_days: dice.pick(&[1, 3, 7, 30, 60, 90]),
            top: dice.pick(&[1, 2, 3, 10, 25]),
            min_open_offers: dice.pick(&[0, 1, 2, 3, 5]),
        }),
        Request::Layer3(Layer3 {
            lookback_hours: dice.pick(&[1, 12, 24, 36, 72, 240]),
            cooling_hours: dice.pick(&[0, 6, 12, 24, 36]),
            min_wishlist: dice.pick(&[0, 1, 2, 4]),
            min_inventory: dice.pick(&[0, 1, 3, 5]),
        }),
        Request::Showcase(Showcase {
            product: dice.pick(&market.products),
            activity_days: dice.pick(&[1, 3, 7, 30, 60, 90]),
            min_open_offers: dice.pick(&[0, 1, 2, 3]),
            overlap: dice.pick(&[Overlap::OneFile, Overlap::Allowed]),
        }),
        Request::Waterfall(waterfall(dice)),
        Request::Nudges(Nudges {
            base: waterfall(dice),
            ..Nudges::default()
        }),
    ]
}

#[test]
fn every_audience_of_the_handmade_market_is_as_computed() {
    let fair = Fair::of("agreement", handmade::market());
    assert_agreement(&fair, &fair.requests());
    // The defaults are the contract's, not only the test's.
    for request in fair.requests() {
        let required: &[String] = match &request {
            Request::Showcase(_) => &request.arguments()[..2],
            _ => &[],
        };
        assert_eq!(disagreement(&fair, &request, required), None);
    }
}

#[test]
fn every_audience_of_the_handmade_market_is_as_computed_at_other_parameters() {
    let fair = Fair::of("parameters", handmade::market());
    // Ranks to beyond the teens; everybody; overlap.
    let layer2 = Layer2 {
        top: 25,
        ..Layer2::default()
    };
    let everybody = Layer2 {
        lookback_days: 30,
        min_open_offers: 0,
        activity_days: 3650,
        top: 100,
    };
    let overlap = Showcase {
        overlap: Overlap::Allowed,
        ..Showcase::of(fair.market.showcase)
    };
    assert_agreement(
        &fair,
        &[
            Request::Layer2(layer2),
            Request::Layer2(everybody),
            Request::Showcase(overlap),
        ],
    );
    let mut dice = Dice::new(1);
    for _ in 0..2 {
        assert_agreement(&fair, &varied(&mut dice, &fair.market));
    }
}

#[test]
fn campaign_every_audience_of_a_random_market_is_as_computed() {
    let campaign = Campaign::start("random markets", 8, 200);
    let mut seeds = campaign.random();
    let (mut runs, mut rows) = (0, 0);
    for _ in 0..campaign.rounds() {
        let seed = seeds.next();
        let fair = Fair::of("random", random::market(seed));
        let mut dice = Dice::new(seed);
        let requests = fair.requests().into_iter();
        for request in requests.chain(varied(&mut dice, &fair.market)) {
            if let Some(problem) = disagreement(&fair, &request, &request.arguments()) {
                panic!("random::market({seed}): {problem}");
            }
            let files = request.files(&fair.facts());
            rows += files.iter().map(|file| file.rows.len()).sum::<usize>();
            runs += 1;
        }
        fair.forget();
    }
    campaign.report(&format!("{runs} runs, {rows} rows, all as computed"));
    assert!(
        rows > runs,
        "markets with hardly anybody in them show nothing"
    );
}

#[test]
fn neither_the_databases_settings_nor_the_servers_plans_change_a_file() {
    let fair = Fair::of("settings", handmade::market());
    let name = &fair.database.name;
    for settings in [
        // Thirty days before as_of the clocks were an hour ahead in New York.
        &[
            "timezone TO 'America/New_York'",
            "datestyle TO 'German'",
            "intervalstyle TO 'iso_8601'",
            "standard_conforming_strings TO off",
        ][..],
        &[
            "enable_hashjoin TO off",
            "enable_hashagg TO off",
            "enable_sort TO off",
        ],
        &["enable_mergejoin TO off", "enable_nestloop TO off"],
        &[
            "enable_seqscan TO off",
            "parallel_setup_cost TO 0",
            "parallel_tuple_cost TO 0",
        ],
    ] {
        for setting in settings {
            fair.database
                .execute(&format!("ALTER DATABASE {name} SET {setting}"));
        }
        assert_agreement(&fair, &fair.requests());
        fair.database
            .execute(&format!("ALTER DATABASE {name} RESET ALL"));
    }
}

#[test]
fn a_languages_order_and_letters_change_no_file() {
    let database = Postgres::shared().database("language");
    let known = database.query("SELECT count(*) FROM pg_collation WHERE collname = 'en-x-icu'");
    if known != [["1"]] {
        eprintln!("this server knows no language's order");
        return;
    }
    database.execute(
        r#"ALTER TABLE attribute_values ALTER COLUMN value TYPE varchar(255) COLLATE "en-x-icu";
           ALTER TABLE users ALTER COLUMN first_name TYPE varchar(255) COLLATE "en-x-icu",
                             ALTER COLUMN email TYPE varchar(320) COLLATE "en-x-icu",
                             ALTER COLUMN username TYPE varchar(100) COLLATE "en-x-icu",
                             ALTER COLUMN bio TYPE varchar(160) COLLATE "en-x-icu";
           ALTER TABLE products ALTER COLUMN name TYPE varchar(255) COLLATE "en-x-icu""#,
    );
    let fair = Fair::in_database(database, handmade::market());
    assert_agreement(&fair, &fair.requests());
}
