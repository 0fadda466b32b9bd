use std::collections::BTreeMap;
use std::time::Duration;

use pushctl::report::number;
use pushctl::state::ledger::{Answer, Dismissal, Ending, Guard};
use pushctl::state::{CancelTarget, NewRun, RunStatus, Store};
use serde_json::json;

use super::{a_run, another, run};
use crate::page::{embedded, shown};
use crate::state::{answer, candidates, in_both_stores, push, sender, user, won};
use crate::support::cli::Sandbox;
use crate::support::store::Place;

in_both_stores!(
    runs_are_listed_newest_first,
    a_dry_run_has_its_numbers_too,
    a_run_is_shown_with_its_phases_its_sums_and_who_cancelled_it,
    the_numbers_of_the_page_are_those_of_the_document,
    the_page_of_all_runs_links_the_pages_beside_it,
    runs_are_listed_by_status_and_time,
    every_recipient_is_exported_with_what_became_of_them,
);

/// The run of the occurrence that the ledger's tests send pushes of.
fn sent() -> NewRun {
    NewRun {
        occurrence: push(1).occurrence,
        plan: json!({ "course": {
            "automation": {
                "name": "layer3-daily", "description": "People who offered", "audience": { "name": "layer3" },
                "schedule": { "send_at": "13:33", "timezone": "America/Chicago", "frequency": "daily" },
                "push": [
                    { "audience_file": "recent-offer-creators", "layer": 3, "title": "One", "body": "" },
                    { "audience_file": "recent-offer-creators", "layer": 3, "title": "Two", "body": "" },
                    { "audience_file": "recent-closet-adders", "layer": 3, "title": "Three", "body": "" },
                ],
            },
            "mode": "live-send",
            "times": {
                "generate_at": "2026-11-21T19:03:00Z", "test_at": "2026-11-21T19:08:00Z",
                "send_at": "2026-11-21T19:33:00Z", "lateness_seconds": 900, "window_seconds": 1500,
                "zone": "America/Chicago",
            },
        }}),
        ..a_run()
    }
}

/// Two pushes to `people`: most are accepted, every tenth is dead, three are left out, one is never answered.
async fn send(store: &Store, place: &Place, people: u64) {
    store.begin_run(&sent()).await.unwrap();
    let attempt = store.begin_phase(&sent().id, "generate").await.unwrap();
    let detail = json!({
        "directory": "/files", "rows": people, "notes": [],
        "pushes": [
            { "audience_file": "recent-offer-creators", "live": { "name": "a.csv", "rows": people, "sha256": "00" } },
            { "audience_file": "recent-offer-creators", "live": { "name": "a.csv", "rows": people, "sha256": "00" } },
            { "audience_file": "recent-closet-adders", "live": null, "test": null },
        ],
        "funnel": {
            "base": "every user", "considered": 9000, "passed": 5000, "in_no_file": 0, "in_a_file": 5000, "rows": 5000,
            "stages": [{ "name": "live", "because": "deleted account", "left": 4000, "remain": 5000 }],
        },
    });
    place.clock.advance(Duration::from_secs(12));
    store
        .end_phase(&sent().id, "generate", attempt, "done", &detail)
        .await
        .unwrap();
    store.begin_phase(&sent().id, "send").await.unwrap();
    for number in [1, 2] {
        let push = store.open_push(&push(number)).await.unwrap();
        let sender = sender(store).await;
        let claimed = store
            .claim(&push, &sender, candidates(0..people - 4), &Guard::none())
            .await
            .unwrap();
        let ending = |n: usize| {
            if n.is_multiple_of(10) {
                Ending::Dead
            } else {
                Ending::Accepted
            }
        };
        let claims = won(&claimed);
        let answers = claims[1..].iter().enumerate();
        let answers: Vec<Answer> = answers
            .map(|(n, claim)| answer(*claim, ending(n)))
            .collect();
        store.record(&push, answers).await.unwrap();
        let codes = ["no-token", "l3Cooldown", "product_name is empty"];
        let left_out = (people..).zip(codes).map(|(n, code)| Dismissal {
            user: user(n),
            ending: Ending::Skipped,
            code: code.to_owned(),
        });
        store
            .dismiss(&push, &sender, left_out.collect())
            .await
            .unwrap();
        place.clock.advance(Duration::from_secs(2));
    }
}

/// What a send's summary adds: one row was not got to, and one person stood there twice.
async fn end(store: &Store, people: u64, status: RunStatus) {
    let one = |push| json!({ "push": push, "rows": people + 1, "repeated": 1 });
    let summary = json!({ "pushes": [one(1), one(2)], "reason": "the push service is away" });
    store.end_run(&sent().id, status, &summary).await.unwrap();
}

async fn runs_are_listed_newest_first(place: Place) {
    let sandbox = Sandbox::new();
    let nothing = run(&sandbox, &place, &["runs"]);
    assert_eq!(
        (nothing.status, nothing.stdout.as_str()),
        (0, ""),
        "{nothing}"
    );
    let store = place.open().await;
    for number in 1..=4 {
        let name = if number == 2 {
            "waterfall"
        } else {
            "layer3-daily"
        };
        store.begin_run(&another(number, name)).await.unwrap();
        place.clock.advance(Duration::from_secs(90));
    }
    store
        .end_run(&another(4, "").id, RunStatus::Done, &json!({}))
        .await
        .unwrap();
    let list = |words: &[&str]| -> Vec<String> {
        let listed = run(&sandbox, &place, words).json();
        let runs = listed["runs"].as_array().unwrap();
        runs.iter()
            .map(|run| run["occurrence"].as_str().unwrap().to_owned())
            .collect()
    };
    let newest = [
        "layer3-daily@4",
        "layer3-daily@3",
        "waterfall@2",
        "layer3-daily@1",
    ];
    assert_eq!(list(&["runs", "--json"]), newest);
    assert_eq!(list(&["runs", "--json", "--limit", "2"]), newest[..2]);
    assert_eq!(
        list(&["runs", "--json", "--automation", "waterfall"]),
        newest[2..3]
    );
    let table = run(&sandbox, &place, &["runs"]);
    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("RUN "), "{table}");
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(
        words[2..],
        [
            "done",
            "2026-11-21T19:37:30Z",
            "1",
            "min",
            "30",
            "s",
            "layer3-daily@4"
        ],
        "{table}"
    );
    assert_eq!(lines.len(), 5);
    // No process works on the others, and the document has the same state.
    assert!(lines[2].contains(" interrupted "), "{table}");
    let document = run(&sandbox, &place, &["runs", "--json"]).json();
    let said = |number: usize, key: &str| document["runs"][number][key].clone();
    assert_eq!(
        (said(0, "status"), said(0, "state")),
        ("done".into(), "done".into())
    );
    assert_eq!(
        (said(1, "status"), said(1, "state")),
        ("open".into(), "interrupted".into())
    );
    let slip = run(&sandbox, &place, &["runs", "--automation", "waterfal"]);
    slip.says("did you mean waterfall?");
}

async fn a_run_is_shown_with_its_phases_its_sums_and_who_cancelled_it(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    assert_eq!(run(&sandbox, &place, &["runs", "show", "last"]).status, 2);
    send(&store, &place, 50).await;
    let open = run(&sandbox, &place, &["runs", "show", "last", "--json"]).json();
    assert_eq!(open["totals"]["waiting"], 2, "{open}");
    assert_eq!(
        (&open["status"], &open["state"]),
        (&json!("open"), &json!("interrupted"))
    );
    let text = run(&sandbox, &place, &["runs", "show", "last"]).stdout;
    for part in [
        "layer3-daily: interrupted\n",
        "To continue: pushctl resume 0198b2a4-",
        "To cancel: pushctl cancel 0198b2a4-",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // As its process would: it cancels, and says what it knew.
    let target = CancelTarget::Run(sent().id);
    store
        .cancel(&target, "alice@worker-1", Some("wrong shoe"))
        .await
        .unwrap();
    end(&store, 50, RunStatus::Cancelled).await;
    let shown = run(&sandbox, &place, &["runs", "show", "0198b2a4"]);
    assert_eq!(shown.status, 0, "{shown}");
    for part in [
        "layer3-daily: cancelled\nPeople who offered\n",
        "Begun 2026-11-21 13:33:00 CST by alice@worker-1, took 16 s",
        ": wrong shoe\n",
        "generate  13:33:00  12 s  done    50 rows\n",
        "send      13:33:12",
        "1     recent-offer-creators  3      dead token           UNREGISTERED",
        "1     recent-offer-creators  3      excluded by cadence  l3Cooldown                 1\n",
        "1     recent-offer-creators  3      total",
    ] {
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            squeezed(&shown.stdout).contains(&squeezed(part)),
            "{part}: {shown}"
        );
    }
    let document = run(&sandbox, &place, &["runs", "show", &sent().id, "--json"]).json();
    assert_eq!(document["adds_up"], true);
    assert_eq!(document["cancel"]["reason"], "wrong shoe");
    assert_eq!(document["errors"], json!([]));
    assert_eq!(
        document["files"],
        json!([{ "name": "recent-offer-creators", "rows": 50 }])
    );
    // 45 sent and 3 left out; of the file's 51 rows one is a repetition, one was not got to, one was never answered.
    let expected = json!({
        "accepted": 80, "dead": 10, "in_doubt": 2, "cancelled": 2, "excluded": 2, "no_token": 2, "skipped": 4,
    });
    assert_eq!(document["totals"], expected, "{document}");
    let wrong = run(&sandbox, &place, &["runs", "show", "layer3-daily"]);
    wrong.says("pushctl runs --automation layer3-daily");
}

async fn the_numbers_of_the_page_are_those_of_the_document(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    send(&store, &place, 500).await;
    end(&store, 500, RunStatus::Partial).await;
    let words = ["runs", "show", "last", "--html", "run.html", "--json"];
    let document = run(&sandbox, &place, &words).json();
    let page = std::fs::read_to_string(sandbox.here().join("run.html")).unwrap();
    assert_eq!(embedded(&page), document);
    let alone = run(&sandbox, &place, &["runs", "show", "last", "--json"]).json();
    assert_eq!(alone, document);
    let totals_of_page: BTreeMap<String, String> = shown(&page, "data-total").into_iter().collect();
    let totals = document["totals"].as_object().unwrap();
    assert_eq!(totals_of_page.len(), totals.len() + 1);
    for (name, count) in totals {
        assert_eq!(
            totals_of_page[name],
            number(count.as_u64().unwrap()),
            "{name}"
        );
    }
    assert_eq!(totals_of_page["rows"], "1,002");
    // The last stage is the sum of the files that are shown.
    let funnel = shown(&page, "data-funnel");
    assert_eq!(funnel.len(), 4);
    let pushed = ("in a file that is pushed".to_owned(), "500".to_owned());
    assert_eq!(funnel.last(), Some(&pushed));
    assert_eq!(shown(&page, "data-file")[0].1, "500");
    assert_eq!(document["rate"].as_array().unwrap().len(), 2);
    assert_eq!(document["errors"][0]["message"], "the push service is away");
    let quiet = run(
        &sandbox,
        &place,
        &["runs", "show", "last", "--html", "run.html", "-q"],
    );
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let names: Vec<_> = std::fs::read_dir(sandbox.here()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");
    let nowhere = run(
        &sandbox,
        &place,
        &["runs", "show", "last", "--html", "no/run.html"],
    );
    assert_eq!(nowhere.status, 1, "{nowhere}");
}

async fn the_page_of_all_runs_links_the_pages_beside_it(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    send(&store, &place, 500).await;
    end(&store, 500, RunStatus::Partial).await;
    run(
        &sandbox,
        &place,
        &["runs", "show", "last", "--html", "a page.html"],
    );
    std::fs::write(sandbox.here().join("other.html"), "<html>").unwrap();
    store.begin_run(&another(2, "waterfall")).await.unwrap();
    let words = ["runs", "--html", "runs.html", "--json"];
    let listed = run(&sandbox, &place, &words);
    assert_eq!(listed.status, 0, "{listed}");
    let alone = run(&sandbox, &place, &["runs", "--json"]).json();
    assert_eq!(listed.json(), alone);
    let page = std::fs::read_to_string(sandbox.here().join("runs.html")).unwrap();
    let sent = sent().id;
    assert!(page.contains("<a href=\"./a%20page%2Ehtml\">"), "{page}");
    assert_eq!(page.matches("<a href").count(), 1);
    let document = embedded(&page);
    let shown_alone = run(&sandbox, &place, &["runs", "show", &sent, "--json"]).json();
    assert_eq!(document["runs"][1]["totals"], shown_alone["totals"]);
    assert_eq!(document["runs"][1]["audience"], 500);
    assert_eq!(document["runs"][0]["state"], "interrupted");
    let cells: BTreeMap<String, String> = shown(&page, "data-run").into_iter().collect();
    let accepted = number(shown_alone["totals"]["accepted"].as_u64().unwrap());
    assert_eq!(cells[&format!("{sent}.accepted")], accepted);
    // Again over the old one, which stays as it is if the new one cannot be written.
    run(&sandbox, &place, &["runs", "--html", "runs.html", "-q"]);
    let again = std::fs::read_to_string(sandbox.here().join("runs.html")).unwrap();
    assert_eq!(again, page);
    let names: Vec<_> = std::fs::read_dir(sandbox.here()).unwrap().collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let nowhere = run(&sandbox, &place, &["runs", "--html", "no/runs.html"]);
    assert_eq!(nowhere.status, 1, "{nowhere}");
}

async fn runs_are_listed_by_status_and_time(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    let ends = [
        (1, Some(RunStatus::Failed)),
        (2, Some(RunStatus::Done)),
        (3, None),
        (4, Some(RunStatus::Failed)),
    ];
    // They begin at 19:33:00 and 90 seconds after each other.
    for (number, status) in ends {
        let new = another(number, "layer3-daily");
        store.begin_run(&new).await.unwrap();
        if let Some(status) = status {
            store.end_run(&new.id, status, &json!({})).await.unwrap();
        }
        place.clock.advance(Duration::from_secs(90));
    }
    let list = |words: &[&str]| -> Vec<u64> {
        let words = [&["runs", "--json"], words].concat();
        let listed = run(&sandbox, &place, &words).json();
        let runs = listed["runs"].as_array().unwrap();
        let number = |run: &serde_json::Value| {
            let occurrence = run["occurrence"].as_str().unwrap();
            occurrence.rsplit('@').next().unwrap().parse().unwrap()
        };
        runs.iter().map(number).collect()
    };
    assert_eq!(list(&["--status", "failed"]), [4, 1]);
    assert_eq!(list(&["--status", "failed", "--limit", "1"]), [4]);
    assert_eq!(list(&["--status", "open"]), [3]);
    assert_eq!(list(&["--status", "interrupted"]), [3]);
    assert!(list(&["--status", "running"]).is_empty());
    assert_eq!(list(&["--since", "2026-11-21T19:34:30Z"]), [4, 3, 2]);
    assert_eq!(list(&["--since", "2026-11-21 19:34:31"]), [4, 3]);
    let both = ["--since", "2026-11-21 19:34", "--status", "failed"];
    assert_eq!(list(&both), [4]);
    assert!(list(&["--automation", "layer3-daily", "--since", "2999-01-01"]).is_empty());
    assert_eq!(list(&["--since", "36000d"]).len(), 4);
    let none = run(&sandbox, &place, &["runs", "--status", "refused"]);
    none.says("no run matches");
    let wrong = run(&sandbox, &place, &["runs", "--since", "monday"]);
    assert_eq!(wrong.status, 2, "{wrong}");
    wrong.says("--since: expected a date or time");
}

async fn every_recipient_is_exported_with_what_became_of_them(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    send(&store, &place, 5_000).await;
    let exported = run(&sandbox, &place, &["runs", "export", "last"]);
    assert_eq!(exported.status, 0, "{}", exported.stderr);
    let mut outcomes: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut reader = csv::Reader::from_reader(exported.stdout.as_bytes());
    assert_eq!(
        reader.headers().unwrap(),
        vec![
            "user_id",
            "push",
            "outcome",
            "code",
            "message_name",
            "attempts",
            "ms"
        ]
    );
    for row in reader.records() {
        let row = row.unwrap();
        *outcomes
            .entry((row[1].to_owned(), row[2].to_owned()))
            .or_default() += 1;
    }
    for push in ["1", "2"] {
        let of = |outcome: &str| outcomes[&(push.to_owned(), outcome.to_owned())];
        assert_eq!(
            (of("accepted"), of("dead"), of("skipped"), of("under_way")),
            (4_495, 500, 3, 1)
        );
    }
    let first = exported.stdout.lines().nth(2).unwrap();
    assert!(
        first.starts_with("a0eebc99-9c0b-4ef8-bb6d-000000000001,1,dead,UNREGISTERED,,1,120"),
        "{first}"
    );
    let to_file = run(&sandbox, &place, &["runs", "export", "last", "o.csv"]);
    assert_eq!((to_file.status, to_file.stdout.as_str()), (0, ""));
    let file = std::fs::read_to_string(sandbox.here().join("o.csv")).unwrap();
    assert_eq!(file, exported.stdout);
}

async fn a_dry_run_has_its_numbers_too(place: Place) {
    let sandbox = Sandbox::new();
    let store = place.open().await;
    store.begin_run(&sent()).await.unwrap();
    let push = json!({
        "push": 3, "layer": 3, "ended": "rehearsed", "rows": 100, "repeated": 1, "without_token": 9,
        "excluded_by_rule": { "l3Cooldown": 20 }, "skipped_by_reason": { "product_name is empty": 10 },
    });
    let attempt = store.begin_phase(&sent().id, "push-3").await.unwrap();
    store
        .end_phase(&sent().id, "push-3", attempt, "done", &push)
        .await
        .unwrap();
    let document = run(&sandbox, &place, &["runs", "show", "last", "--json"]).json();
    assert_eq!(document["adds_up"], true);
    let expected = json!({ "excluded": 20, "no_token": 9, "skipped": 11, "waiting": 60 });
    assert_eq!(document["totals"], expected, "{document}");
    assert_eq!(document["pushes"][0]["title"], "Three");
    assert_eq!(document["pushes"][0]["file"], "recent-closet-adders");
}
