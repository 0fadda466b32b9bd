//! Funnel and why, person by person, against who is in the computed files.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use uuid::Uuid;

use super::Fair;
use crate::support::market::{AS_OF, random, rfc3339};
use crate::support::oracle::{ExpectedFile, Overlap, Request, Showcase};

/// A market, as a seed and how many people.
const MARKET: (u64, u64) = (7, 24);

#[test]
fn funnel_and_why_agree_with_the_files_about_every_person() {
    let fair = Fair::of("membership", random::market_of(MARKET.0, MARKET.1));
    let facts = fair.facts();
    let overlap = Request::Showcase(Showcase {
        min_open_offers: 1,
        overlap: Overlap::Allowed,
        ..Showcase::of(fair.market.showcase)
    });
    let (mut several, mut audiences_with_both) = (0, 0);
    for request in fair.requests().into_iter().chain([overlap]) {
        let files = request.files(&facts);
        let mut reached: BTreeMap<usize, u64> = BTreeMap::new();
        let mut members: u64 = 0;
        for user in &fair.tables.users {
            let expected = stems_with(&files, user.id);
            let why = why(&fair, &request, user.id);
            let audience = request.audience();
            let found: BTreeSet<&str> = texts(&why["files"]);
            assert_eq!(found, expected, "{audience}: {why:#}");
            assert_eq!(why["considered"], true, "{audience}: {why:#}");
            let stages = why["stages"].as_array().expect("stages");
            let passed = stages
                .iter()
                .take_while(|stage| stage["holds"] == true)
                .count();
            assert_eq!(
                passed == stages.len(),
                !expected.is_empty(),
                "{audience}: {why:#}"
            );
            *reached.entry(passed).or_default() += 1;
            members += u64::from(!expected.is_empty());
            several += usize::from(expected.len() > 1);
        }
        audiences_with_both += u32::from(members > 0 && reached.len() > 1);
        let rows: usize = files.iter().map(|file| file.rows.len()).sum();
        let funnel = funnel(&fair, &request);
        let people: u64 = reached.values().sum();
        assert_eq!(funnel["considered"], people, "{funnel:#}");
        assert_eq!(funnel["in_a_file"], members, "{funnel:#}");
        assert_eq!(funnel["rows"], rows, "{funnel:#}");
        for (place, stage) in funnel["stages"]
            .as_array()
            .expect("stages")
            .iter()
            .enumerate()
        {
            let left = reached.get(&place).copied().unwrap_or(0);
            let remain: u64 = reached.range(place + 1..).map(|(_, people)| people).sum();
            assert_eq!(stage["left"], left, "{}: {funnel:#}", stage["name"]);
            assert_eq!(stage["remain"], remain, "{}: {funnel:#}", stage["name"]);
        }
    }
    assert_eq!(audiences_with_both, 6, "some people are in, and some out");
    assert!(several > 0, "a user is in two files of the overlap");
}

/// The stems of the files that have a row of this person.
fn stems_with(files: &[ExpectedFile], user: Uuid) -> BTreeSet<&str> {
    files
        .iter()
        .filter(|file| file.row_of(user).is_some())
        .map(|file| file.stem.as_str())
        .collect()
}

fn texts(array: &Value) -> BTreeSet<&str> {
    let array = array.as_array().expect("an array");
    array.iter().filter_map(Value::as_str).collect()
}

fn why(fair: &Fair, request: &Request, user: Uuid) -> Value {
    let (user, as_of) = (user.to_string(), rfc3339(AS_OF));
    let mut command = vec![
        "why",
        request.audience(),
        "--user",
        &user,
        "--as-of",
        &as_of,
    ];
    let arguments = request.arguments();
    command.extend(arguments.iter().map(String::as_str));
    command.push("--json");
    let outcome = fair.run(&command);
    assert_eq!(outcome.status, 0, "{outcome}");
    outcome.json()
}

fn funnel(fair: &Fair, request: &Request) -> Value {
    let mut arguments = request.arguments();
    arguments.extend(["--funnel", "--json"].map(str::to_owned));
    let (outcome, _) = fair.generate(request.audience(), &arguments);
    assert_eq!(outcome.status, 0, "{outcome}");
    outcome.json()["manifest"]["funnel"].take()
}

#[test]
fn users_that_are_not_in_the_source_are_not_considered() {
    let fair = Fair::of("stranger", random::market_of(MARKET.0, MARKET.1));
    for request in fair.requests() {
        let why = why(&fair, &request, Uuid::from_u128(7));
        assert_eq!(why["considered"], false, "{why:#}");
        assert_eq!(why["files"], Value::Array(Vec::new()), "{why:#}");
    }
}
