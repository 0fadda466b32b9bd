//! The files of every audience, byte for byte.

use super::{Fair, difference};
use crate::support::market::{handmade, random};
use crate::support::oracle::Request;
use crate::support::oracle::csv_text::LineEnding;

/// How the program's files differ from the computed ones; also the manifest must be there if any file is.
fn disagreement(fair: &Fair, request: &Request, arguments: &[String]) -> Option<String> {
    let expected = request.directory(&fair.facts(), &fair.market.test_users, LineEnding::Crlf);
    let (outcome, mut found) = fair.generate(request.audience(), arguments);
    let manifest = format!("{}.manifest.json", request.audience());
    let problem = if outcome.status != 0 {
        Some(outcome.to_string())
    } else if found.remove(&manifest).is_none() {
        Some("no manifest".to_owned())
    } else {
        difference(&expected, &found)
    };
    problem.map(|problem| format!("{} {}: {problem}", request.audience(), arguments.join(" ")))
}

#[test]
fn every_audience_of_the_handmade_market_is_as_computed() {
    let fair = Fair::of("agreement", handmade::market());
    let wrong: Vec<String> = fair
        .requests()
        .iter()
        .filter_map(|request| disagreement(&fair, request, &request.arguments()))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn every_audience_of_a_random_market_is_as_computed() {
    let mut wrong = Vec::new();
    for seed in 0..8 {
        let fair = Fair::of("random", random::market(seed));
        for request in fair.requests() {
            if let Some(problem) = disagreement(&fair, &request, &request.arguments()) {
                wrong.push(format!("seed {seed}: {problem}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
