//! A run's page: its numbers are the JSON document's, its texts cannot become markup, and it asks for nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use pushctl::delivery::VariantOutcome;
use pushctl::guards::{Guard, Override, Overrides};
use pushctl::report::html::{ListedRun, list_page, page, shown_run};
use pushctl::report::number;
use pushctl::report::run::{
    CancelReport, ErrorReport, FileReport, FunnelStage, Outcome, OutcomeCount, PhaseReport,
    PushReport, RatePoint, RunReport,
};
use serde_json::Value;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn phase(phase: &str, from: &str, to: Option<&str>, note: &str) -> PhaseReport {
    PhaseReport {
        phase: phase.into(),
        attempt: 1,
        begun_at: at(from),
        ended_at: to.map(at),
        result: to.map(|_| "done".into()),
        note: (!note.is_empty()).then(|| note.into()),
    }
}

fn push(
    number: u32,
    file: &str,
    title: &str,
    outcomes: &[(Outcome, Option<&str>, u64)],
) -> PushReport {
    PushReport {
        number,
        file: file.into(),
        layer: 3,
        title: title.into(),
        rows: outcomes.iter().map(|(.., count)| count).sum(),
        outcomes: outcomes
            .iter()
            .map(|(outcome, code, count)| OutcomeCount {
                outcome: *outcome,
                code: code.map(str::to_owned),
                count: *count,
            })
            .collect(),
        variants: Vec::new(),
    }
}

/// Two stretches of sending with a delay between them.
fn rate() -> Vec<RatePoint> {
    let point = |start: &str, second: i64, accepted, other| RatePoint {
        at: at(start) + SignedDuration::from_secs(second),
        accepted,
        other,
    };
    let ramp = (0..40).map(|second| {
        let sent = u64::try_from(second).unwrap() * 9;
        point("2026-11-21T19:33:00Z", second, sent.min(210), sent / 20)
    });
    let long = (0..600).map(|second| {
        let wave = u64::try_from(second % 37).unwrap();
        point(
            "2026-11-21T19:43:00Z",
            second,
            90 + wave * 2,
            u64::from(second == 300) * 80,
        )
    });
    ramp.chain(long).collect()
}

fn funnel() -> Vec<FunnelStage> {
    let stage = |name: &str, people, left: &str| FunnelStage {
        name: name.into(),
        people,
        left: (!left.is_empty()).then(|| left.into()),
    };
    vec![
        stage("every user", 1_000_000, ""),
        stage("live", 961_204, "deleted account"),
        stage("acted", 91_377, "no action in the last two days"),
        stage("first name and size", 83_990, "no first name or size"),
        stage(
            "enough others",
            77_420,
            "too few people have or want the shoe",
        ),
    ]
}

/// A run with something in every part of the page.
fn full() -> RunReport {
    let file = |name: &str, rows| FileReport {
        name: name.into(),
        rows,
    };
    RunReport {
        run: "0193a5c2-7b1e-7c44-9d0e-5f2b8a6c1e77".into(),
        automation: "layer3".into(),
        description: Some("People who offered, added or wished in the last two days".into()),
        occurrence: "layer3@2026-11-21T13:33-06:00".into(),
        mode: "live-send".into(),
        status: "partial".into(),
        state: None,
        begun_by: "cron@worker-1".into(),
        begun_at: at("2026-11-21T19:03:00Z"),
        ended_at: Some(at("2026-11-21T19:53:12Z")),
        zone: Some("America/Chicago".into()),
        phases: vec![
            phase(
                "generate",
                "2026-11-21T19:03:00Z",
                Some("2026-11-21T19:03:12.400Z"),
                "77,420 people in 2 files",
            ),
            phase(
                "test",
                "2026-11-21T19:08:00Z",
                Some("2026-11-21T19:08:01.900Z"),
                "4 of 4 accepted",
            ),
            phase(
                "window",
                "2026-11-21T19:08:02Z",
                Some("2026-11-21T19:33:00Z"),
                "not cancelled",
            ),
            phase(
                "send",
                "2026-11-21T19:33:00Z",
                Some("2026-11-21T19:53:01Z"),
                "",
            ),
            phase(
                "cleanup",
                "2026-11-21T19:53:01Z",
                Some("2026-11-21T19:53:12Z"),
                "3 files older than 30 days deleted",
            ),
        ],
        funnel: funnel(),
        files: vec![
            file("recent-offer-creators", 6_420),
            file("recent-closet-adders", 71_000),
        ],
        pushes: vec![
            push(
                1,
                "recent-offer-creators",
                "Still after the [[var:product_name]]?",
                &[
                    (Outcome::Accepted, None, 5_100),
                    (Outcome::Dead, Some("UNREGISTERED"), 220),
                    (Outcome::Failed, Some("INTERNAL"), 12),
                    (Outcome::InDoubt, Some("timed-out"), 3),
                    (Outcome::Excluded, Some("l3Cooldown"), 845),
                    (Outcome::NoToken, None, 200),
                    (Outcome::Skipped, Some("product_name is empty"), 40),
                ],
            ),
            push(
                2,
                "recent-closet-adders",
                "[[var:product_name]]: people want yours",
                &[
                    (Outcome::Accepted, None, 61_204),
                    (Outcome::Dead, Some("UNREGISTERED"), 1_310),
                    (Outcome::Excluded, Some("l3Cooldown"), 5_900),
                    (Outcome::Excluded, Some("l2l3WeeklyLimit"), 586),
                    (Outcome::NoToken, None, 2_000),
                ],
            ),
        ],
        rate: rate(),
        cancel: None,
        overrides: Overrides(vec![Override {
            guards: vec![Guard::MaxAudience],
            reason: "the press release".to_owned(),
            actor: "alice@worker-1".to_owned(),
            at: Timestamp::UNIX_EPOCH,
        }]),
        errors: vec![ErrorReport {
            at: Some(at("2026-11-21T19:48:00Z")),
            phase: Some("send".into()),
            message: "the push service answered 500 INTERNAL twelve times".into(),
        }],
    }
}

/// A cancelled one, with names that try to be markup, run over everything, or change the direction.
fn strange() -> RunReport {
    let long = "ein-sehr-langer-name-der-nirgends-umgebrochen-werden-kann-".repeat(4);
    RunReport {
        automation: format!("日本語-👟-مرحبا-{long}<script>alert(1)</script>"),
        description: Some(
            "</title></script><img src=x onerror=alert(1)> \u{202e}desrever & \"quoted\" 'too'"
                .into(),
        ),
        status: "cancelled".into(),
        state: None,
        ended_at: None,
        zone: None,
        phases: vec![
            phase(
                "generate",
                "2026-11-21T19:03:00Z",
                Some("2026-11-21T19:03:12Z"),
                "<b>",
            ),
            PhaseReport {
                attempt: 2,
                ..phase("send", "2026-11-21T19:33:00Z", None, "")
            },
        ],
        files: vec![FileReport {
            name: format!("\"><script>{long}"),
            rows: 7,
        }],
        pushes: vec![push(
            1,
            "f",
            "</script><script>alert(2)</script>",
            &[
                (Outcome::Accepted, None, 2),
                (Outcome::Cancelled, Some("<i>\u{7}"), 5),
            ],
        )],
        rate: vec![RatePoint {
            at: at("2026-11-21T19:33:00Z"),
            accepted: 2,
            other: 0,
        }],
        cancel: Some(CancelReport {
            who: "alice@laptop <alice@example.com>".into(),
            at: at("2026-11-21T19:33:01Z"),
            reason: Some("wrong shoe </section>".into()),
        }),
        ..full()
    }
}

/// What stands between the tags after each attribute of this name, by the attribute's value.
pub(crate) fn shown(page: &str, attribute: &str) -> Vec<(String, String)> {
    page.split(&format!("{attribute}=\""))
        .skip(1)
        .map(|rest| {
            let (name, rest) = rest.split_once("\">").unwrap();
            (name.to_owned(), rest.split('<').next().unwrap().to_owned())
        })
        .collect()
}

pub(crate) fn embedded(page: &str) -> Value {
    let (_, rest) = page
        .split_once("<script type=\"application/json\" id=\"run")
        .unwrap();
    let (_, rest) = rest.split_once("\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn the_numbers_on_the_page_are_those_of_the_document() {
    let report = full();
    let (page, document) = (page(&report), report.document());
    assert!(report.adds_up());
    assert_eq!(embedded(&page), document);
    let told = |value: &Value| number(value.as_u64().unwrap());

    let totals = shown(&page, "data-total");
    assert_eq!(totals[0], ("rows".to_owned(), "77,420".to_owned()));
    assert_eq!(
        totals.len() - 1,
        document["totals"].as_object().unwrap().len()
    );
    for (name, value) in &totals[1..] {
        assert_eq!(*value, told(&document["totals"][name]), "{name}");
    }
    for (attribute, list, key) in [
        ("data-funnel", "funnel", "people"),
        ("data-file", "files", "rows"),
    ] {
        let values: Vec<String> = shown(&page, attribute)
            .into_iter()
            .map(|(_, value)| value)
            .collect();
        let wanted: Vec<String> = document[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| told(&entry[key]))
            .collect();
        assert_eq!(values, wanted, "{list}");
    }
    let cells: BTreeMap<String, String> = shown(&page, "data-push").into_iter().collect();
    let mut wanted = BTreeMap::new();
    for push in document["pushes"].as_array().unwrap() {
        let place = push["number"].as_u64().unwrap();
        wanted.insert(format!("{place}.rows"), push["rows"].as_u64().unwrap());
        for count in push["outcomes"].as_array().unwrap() {
            let name = format!("{place}.{}", count["outcome"].as_str().unwrap());
            *wanted.entry(name).or_default() += count["count"].as_u64().unwrap();
        }
    }
    let wanted: BTreeMap<String, String> = wanted
        .into_iter()
        .map(|(name, count)| (name, number(count)))
        .collect();
    assert_eq!(cells, wanted);
    let reasons = shown(&page, "data-reason");
    assert!(
        reasons.contains(&("excluded.l3Cooldown".to_owned(), "6,745".to_owned())),
        "{reasons:?}"
    );
    assert!(
        reasons.contains(&("dead.UNREGISTERED".to_owned(), "1,530".to_owned())),
        "{reasons:?}"
    );
}

#[test]
fn the_groups_of_a_push_with_variants_are_on_the_page() {
    let mut report = full();
    assert_eq!(shown(&page(&report), "data-variant"), []);
    let variant = |name: &str, recipients| VariantOutcome {
        name: name.to_owned(),
        recipients,
        accepted: recipients - 3,
        dead: 1,
        not_sent: 2,
        ..VariantOutcome::default()
    };
    report.pushes[0].variants = vec![variant("plain", 1_203), variant("B", 40)];
    let cells: BTreeMap<String, String> =
        shown(&page(&report), "data-variant").into_iter().collect();
    assert_eq!(cells["1.plain.recipients"], "1,203");
    assert_eq!(cells["1.plain.accepted"], "1,200");
    assert_eq!((&*cells["1.B.dead"], &*cells["1.B.not_sent"]), ("1", "2"));
    assert_eq!(cells.len(), 12);
}

#[test]
fn each_stretch_of_sending_has_its_chart_and_its_sums() {
    let page = page(&full());
    assert_eq!(page.matches("<svg").count(), 2);
    let sums = |range: std::ops::Range<usize>| {
        let points = rate();
        let (accepted, other): (Vec<u64>, Vec<u64>) = points[range]
            .iter()
            .map(|point| (point.accepted, point.other))
            .unzip();
        format!(
            "{} pushes accepted and {} other answers",
            number(accepted.iter().sum()),
            number(other.iter().sum())
        )
    };
    assert!(page.contains(&format!("From 13:33:00, {}", sums(0..40))));
    assert!(page.contains(&format!("From 13:43:00, {}", sums(40..640))));
    assert!(page.contains("Each column is the mean of 3 seconds."));
}

#[test]
fn no_text_becomes_markup_and_nothing_is_fetched() {
    let report = strange();
    let page = page(&report);
    assert_eq!(page.matches("<script").count(), 1, "the document alone");
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains("<img") && !page.contains("<b>"));
    assert_eq!(embedded(&page), report.document());
    for fetched in ["http://", "https://", "src=\"", "url(", "@import"] {
        assert!(!page.contains(fetched), "{fetched}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.contains("2 of 7 pushes were accepted before."));
}

#[test]
fn a_run_of_which_nothing_is_known_yet_has_a_page_too() {
    let page = page(&RunReport {
        status: "open".into(),
        ended_at: None,
        phases: Vec::new(),
        funnel: Vec::new(),
        files: Vec::new(),
        pushes: Vec::new(),
        rate: Vec::new(),
        overrides: Overrides::default(),
        errors: Vec::new(),
        ..full()
    });
    assert!(!page.contains("NaN") && !page.contains("inf"));
    assert_eq!(
        shown(&page, "data-total"),
        [("rows".to_owned(), "0".to_owned())]
    );
}

#[test]
fn numbers_that_do_not_add_up_are_said_to() {
    let mut report = full();
    report.pushes[0].rows += 1;
    assert!(!report.adds_up());
    assert!(page(&report).contains("do not add up"));
    assert_eq!(report.document()["adds_up"], false);
}

/// For looking at: `PAGES=DIR cargo test --test pushctl page` writes the pages there.
#[test]
fn pages_survive_their_own_json() {
    for (name, report) in [("full", full()), ("strange", strange())] {
        let read: RunReport = serde_json::from_value(report.document()).unwrap();
        assert_eq!(read, report);
        if let Some(directory) = std::env::var_os("PAGES") {
            let path = std::path::Path::new(&directory).join(format!("{name}.html"));
            std::fs::write(path, page(&report)).unwrap();
        }
    }
}

#[test]
fn the_page_of_all_runs_has_a_row_a_run_and_charts_of_each_automation() {
    let earlier = RunReport {
        run: "0193a09c-1f00-7c44-9d0e-5f2b8a6c1e77".into(),
        begun_at: at("2026-11-20T19:03:00Z"),
        ended_at: Some(at("2026-11-20T19:06:30Z")),
        mode: "real-dry-run".into(),
        status: "done".into(),
        ..full()
    };
    let alone = RunReport {
        automation: "waterfall".into(),
        run: "0193a09c-2f00".into(),
        ..full()
    };
    let listed = |report: &RunReport, page: Option<&str>| ListedRun {
        report: report.clone(),
        page: page.map(str::to_owned),
    };
    let runs = [
        listed(&full(), Some("javascript:a b&\".html")),
        listed(&alone, None),
        listed(&earlier, None),
    ];
    let page = list_page(&runs);
    let document = embedded(&page);
    let cells: BTreeMap<String, String> = shown(&page, "data-run").into_iter().collect();
    for run in document["runs"].as_array().unwrap() {
        let id = run["run"].as_str().unwrap();
        for outcome in ["accepted", "failed", "dead", "excluded"] {
            let count = number(run["totals"][outcome].as_u64().unwrap());
            assert_eq!(cells[&format!("{id}.{outcome}")], count);
        }
        let audience = number(run["audience"].as_u64().unwrap());
        assert_eq!(cells[&format!("{id}.audience")], audience);
    }
    assert_eq!(cells.len(), 3 * 5);
    assert_eq!(cells[&format!("{}.accepted", full().run)], "66,304");
    let statuses: BTreeMap<String, String> = shown(&page, "data-status").into_iter().collect();
    let expected = [("all", "3"), ("done", "1"), ("partial", "2")];
    let expected = expected.map(|(name, count)| (name.to_owned(), count.to_owned()));
    assert_eq!(statuses, expected.into());
    // Five charts of the one automation that has two runs: the dry run is the paler column.
    assert_eq!(page.matches("<svg ").count(), 5);
    assert_eq!(page.matches("<rect ").count(), 10);
    assert_eq!(page.matches(" opacity=").count(), 5);
    assert!(
        page.contains("<title>20 Nov 13:03: 3 min 30 s</title>"),
        "{page}"
    );
    assert!(page.contains("<th scope=\"row\"><a href=\"./javascript%3Aa%20b%26%22%2Ehtml\">"));
    assert_eq!(page.matches("<a href").count(), 1);
}

#[test]
fn no_name_becomes_markup_on_the_page_of_all_runs_and_an_empty_one_says_so() {
    let strange = ListedRun {
        report: strange(),
        page: None,
    };
    let page = list_page(&[strange.clone(), strange]);
    assert_eq!(page.matches("<script").count(), 1, "{page}");
    for markup in [
        "<img",
        "onerror=alert(1)>\"",
        "http://",
        "https://",
        "\u{202e}",
    ] {
        assert!(!page.contains(markup), "{markup}: {page}");
    }
    assert!(list_page(&[]).contains("There are no runs."));
}

#[test]
fn a_page_says_at_its_beginning_which_run_it_shows() {
    let page = page(&full());
    assert_eq!(shown_run(&page[..1000]), Some(full().run.as_str()));
    assert_eq!(shown_run(&list_page(&[])), None);
    assert_eq!(shown_run("<html>"), None);
}
