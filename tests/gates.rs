//! The table of guards, cell by cell, through the program: each guard on each road is refused, or has a reason why it
//! does not apply. A new guard or a new road fails here until its cells have a case.

mod audience;
mod confirmation;
mod ending;
mod failures;
mod holding;
mod in_doubt;
mod now;
mod obstacles;
mod open_run;
mod overlap;
mod overriding;
mod paused;
mod recipients;
mod sizes;
mod time;

use std::path::Path;
use std::process::Child;

use pushctl::run::gates::{Guard, Road, Rule, rule};

use crate::pipeline::office::{File, Office, until};
use crate::support::cli::Outcome;
use crate::support::fcm::script::Script;
use crate::support::store::Place;

/// Where the case of a cell is.
enum Case {
    /// A test of this name in this file under `tests/`.
    Test(&'static str, &'static str),
    /// The guard does not apply on the road; the table has the reason.
    None,
}

use Case::Test;

/// The later phases of `--now`, each of whose starts takes a minute.
const NOW: Case = Test(
    "gates/now.rs",
    "an_occurrence_of_its_own_meets_the_guards_of_its_later_phases",
);

/// The case of a cell. Exhaustive, without a wildcard over guards: a new one does not compile without its row.
#[expect(clippy::too_many_lines, reason = "a table: one row for each guard")]
fn case(guard: Guard, road: Road) -> Case {
    if matches!(rule(guard, road), Rule::DoesNotApply(_)) {
        return Case::None;
    }
    match guard {
        Guard::Paused => Test("gates/paused.rs", "a_paused_automation_sends_on_no_road"),
        Guard::OpenRun => Test(
            "gates/open_run.rs",
            "while_a_run_is_open_no_other_one_begins",
        ),
        Guard::Lease => match road {
            Road::Now => Test(
                "gates/now.rs",
                "no_second_process_sends_beside_one_that_holds_the_lease_or_has_claimed",
            ),
            _ => Test(
                "gates/holding.rs",
                "an_occurrence_that_another_process_holds_is_sent_on_no_road",
            ),
        },
        Guard::Claim => match road {
            Road::Join => Test(
                "send/shared.rs",
                "four_processes_share_a_send_and_each_recipient_gets_one_message",
            ),
            Road::Now => Test(
                "gates/now.rs",
                "no_second_process_sends_beside_one_that_holds_the_lease_or_has_claimed",
            ),
            Road::InDoubtRetry => Test(
                "gates/in_doubt.rs",
                "a_run_is_done_once_nothing_is_in_doubt_any_more",
            ),
            _ => Test(
                "gates/holding.rs",
                "what_a_killed_process_claimed_is_not_sent_again_on_any_road",
            ),
        },
        Guard::MinAudience => match road {
            Road::Send => Test(
                "send/files.rs",
                "an_error_in_a_file_names_its_line_and_nothing_is_sent",
            ),
            _ => Test(
                "gates/sizes.rs",
                "an_empty_audience_is_refused_on_every_road",
            ),
        },
        Guard::MaxAudience => Test(
            "gates/sizes.rs",
            "too_many_people_are_refused_on_every_road",
        ),
        Guard::MaxChange => Test(
            "gates/sizes.rs",
            "a_change_that_is_too_large_is_refused_on_every_road",
        ),
        Guard::MaxSkipped => Test(
            "gates/sizes.rs",
            "too_many_skipped_rows_are_refused_on_every_road",
        ),
        Guard::QuietHours => match road {
            Road::Join => Test("gates/time.rs", "a_joiner_does_not_send_in_the_quiet_hours"),
            _ => Test(
                "gates/time.rs",
                "in_the_quiet_hours_nothing_is_sent_on_any_road",
            ),
        },
        Guard::Lateness => match road {
            Road::Resume => Test("gates/time.rs", "a_person_who_resumes_reads_how_late_it_is"),
            _ => Test("gates/time.rs", "what_is_too_late_is_not_sent"),
        },
        Guard::Overlap => match road {
            Road::Now => NOW,
            _ => Test(
                "gates/overlap.rs",
                "recipients_who_had_the_push_today_do_not_get_it_again_on_any_road",
            ),
        },
        Guard::Audience => Test(
            "gates/audience.rs",
            match road {
                Road::Send => "a_file_that_its_manifest_does_not_know_is_not_sent",
                Road::SendAutomation => "only_the_audience_of_the_automation_is_sent_by_hand",
                _ => "only_the_tested_file_is_sent_on_every_road",
            },
        ),
        Guard::Test => Test("gates/time.rs", "a_test_push_that_fails_stops_every_road"),
        Guard::Window => Test(
            "gates/time.rs",
            "the_whole_window_lies_before_the_first_push",
        ),
        Guard::Cadence => match road {
            Road::Join => Test(
                "gates/recipients.rs",
                "one_that_joined_asks_the_history_too",
            ),
            Road::Now => NOW,
            Road::InDoubtRetry => Test(
                "gates/in_doubt.rs",
                "a_message_in_doubt_is_not_sent_again_to_a_person_whom_the_history_excludes_since",
            ),
            _ => Test(
                "gates/recipients.rs",
                "who_has_had_a_push_of_the_layer_gets_no_other_one_on_any_road",
            ),
        },
        Guard::Deadline => match road {
            Road::Join => Test("gates/ending.rs", "one_that_joined_waits_no_longer_either"),
            Road::Now => NOW,
            _ => Test(
                "gates/ending.rs",
                "no_road_waits_longer_than_the_deadline_for_a_source_that_is_silent",
            ),
        },
        Guard::Cancel => match road {
            Road::Join => Test("gates/ending.rs", "a_cancel_ends_one_that_joined"),
            Road::Now => NOW,
            Road::InDoubtRetry => Test(
                "gates/ending.rs",
                "a_cancel_ends_a_send_of_what_is_in_doubt",
            ),
            _ => Test("gates/ending.rs", "a_cancel_ends_a_send_on_every_road"),
        },
        Guard::Confirmation => Test(
            "gates/confirmation.rs",
            "nothing_is_sent_that_a_person_has_not_agreed_to",
        ),
        Guard::CommitMarker => match road {
            Road::Now => NOW,
            _ => Test(
                "gates/obstacles.rs",
                "a_file_beside_an_unfinished_publication_is_sent_on_no_road",
            ),
        },
        Guard::Recipient => match road {
            Road::Join => Test(
                "send/joining.rs",
                "what_changes_while_people_wait_in_the_queue_is_seen_before_they_are_sent_to",
            ),
            Road::Now => NOW,
            Road::InDoubtRetry => Test(
                "gates/recipients.rs",
                "who_was_deleted_since_is_not_sent_to_again_where_messages_in_doubt_are",
            ),
            _ => Test(
                "gates/recipients.rs",
                "a_deleted_account_and_a_phone_that_was_handed_down_get_nothing_on_any_road",
            ),
        },
        Guard::UserIds => match road {
            Road::Join => Test(
                "gates/recipients.rs",
                "one_that_joined_with_a_history_sends_to_no_id_that_is_invalid",
            ),
            Road::Now => NOW,
            _ => Test(
                "gates/recipients.rs",
                "an_audience_without_a_valid_user_id_is_refused_on_every_road",
            ),
        },
        Guard::Outcomes => match road {
            Road::Now => NOW,
            _ => Test(
                "gates/obstacles.rs",
                "without_a_place_for_outcome_files_nothing_is_sent_on_any_road",
            ),
        },
        Guard::StateStore => match road {
            Road::Now => NOW,
            _ => Test(
                "gates/obstacles.rs",
                "a_store_that_is_older_than_the_outcome_files_sends_on_no_road",
            ),
        },
        Guard::Failures => match road {
            Road::Join => Test("gates/failures.rs", "one_that_joined_stops_too"),
            Road::Now => NOW,
            _ => Test(
                "gates/failures.rs",
                "a_send_whose_answers_are_bad_stops_on_every_road",
            ),
        },
    }
}

#[test]
fn every_cell_of_the_table_has_a_case_that_exists() {
    for guard in Guard::all() {
        for road in Road::all() {
            let Test(file, name) = case(*guard, *road) else {
                continue;
            };
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("tests")
                .join(file);
            let text = std::fs::read_to_string(&path).unwrap();
            // The parenthesis: a name that another one only begins with is no test.
            let heads = [
                format!("#[test]\nfn {name}("),
                format!("#[tokio::test]\nasync fn {name}("),
            ];
            let exists = heads.iter().any(|head| text.contains(head));
            assert!(
                exists && !name.is_empty(),
                "{guard} on {road:?}: {file} has no test {name:?}"
            );
        }
    }
}

/// An automation that is due now, and has no window.
fn due(minutes: i64, safeguards: &str) -> File {
    File {
        due_in: minutes,
        safeguards: safeguards.to_owned(),
        ..File::default()
    }
}

/// How the automation, or the file of its first push, is started on a road.
fn words(office: &Office, road: Road, more: &[&str]) -> Vec<String> {
    let words: &[&str] = match road {
        Road::Send => &["send", "--title", "T", "--body", "B", "--yes"],
        Road::SendAutomation => &["send", "--automation", "daily", "--push", "1", "--yes"],
        Road::Pipeline => &["run-pipeline", "daily"],
        Road::Now => &["run-pipeline", "daily", "--now"],
        Road::Tick => &["run-pipeline", "daily", "--tick"],
        Road::Resume => &["resume", "last"],
        Road::Join => &["send", "--join", "last"],
        Road::InDoubtRetry => &["resume", "last", "--in-doubt", "retry", "--yes"],
    };
    let words = words.iter().chain(more);
    let mut words: Vec<String> = words.map(|word| (*word).to_owned()).collect();
    if road == Road::Send {
        words.extend(["--audience".to_owned(), haves(office)]);
        if !more.contains(&"--layer") {
            words.extend(["--layer", "1"].map(str::to_owned));
        }
    }
    words
}

/// The newest file of the first push.
fn haves(office: &Office) -> String {
    let listed = std::fs::read_dir(office.sandbox.here().join("generated")).unwrap();
    let names = listed.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files = names.filter(|name| name.starts_with("haves") && !name.contains("TEST"));
    format!("generated/{}", files.max().unwrap())
}

/// Starts the automation on a road.
fn start(office: &Office, road: Road, more: &[&str]) -> Outcome {
    let words = words(office, road, more);
    office.run(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Starts it and leaves it under way.
fn spawn(office: &Office, road: Road, more: &[&str]) -> Child {
    let words = words(office, road, more);
    office.spawn(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// How many messages the push service was asked to deliver, test pushes too.
fn messages(office: &Office) -> usize {
    office.stand_in.requests().len()
}

/// A shared send of the automation to so many recipients, whose process was killed once it had begun to send.
fn killed_while_shared(recipients: u32, script: Script) -> Office {
    let office = Office::at(Place::postgres(), 2 * recipients, script);
    share_and_kill(&office);
    office
}

/// The same in an office that is there.
fn share_and_kill(office: &Office) {
    office.file(&due(-1, ""));
    generate(office);
    let more = ["--share", "--rate", "30"];
    let mut first = spawn(office, Road::SendAutomation, &more);
    until(|| messages(office) >= 3);
    first.kill().unwrap();
    first.wait().unwrap();
}

/// A start that is refused, in these words, before a further person is reached.
fn refused(office: &Office, road: Road, status: i32, expected: &str) -> Outcome {
    let before = office.reached().len();
    let outcome = start(office, road, &[]);
    assert_eq!(outcome.status, status, "{road:?}: {outcome}");
    assert!(outcome.stderr.contains(expected), "{road:?}: {outcome}");
    assert_eq!(office.reached().len(), before, "{road:?}");
    outcome
}

/// The same start with the guard overridden.
fn overridden(office: &Office, road: Road, guard: &str) -> Outcome {
    let outcome = start(office, road, &["--override", guard, "--reason", "agreed"]);
    assert_eq!(outcome.status, 0, "{road:?}: {outcome}");
    outcome
}

/// The roads that begin with an occurrence of their own, in the order in which those are due.
const BEGINNINGS: [Road; 5] = [
    Road::Send,
    Road::SendAutomation,
    Road::Pipeline,
    Road::Resume,
    Road::Tick,
];

/// Makes the automation due for a road that begins; a resume finds a run whose test pushes were accepted.
fn occurrence_for(office: &Office, road: Road) {
    let minutes = match road {
        Road::Pipeline => -7,
        Road::Resume => -5,
        Road::Tick => -3,
        _ => -9,
    };
    office.file(&due(minutes, ""));
    if road == Road::Resume {
        office.ends(&["run-pipeline", "daily", "--until", "test"], 0);
    }
}

/// Makes the audience files that `send --automation` takes.
fn generate(office: &Office) {
    office.ends(&["generate", "fans"], 0);
}
