//! The table of guards, cell by cell, through the program: each guard on each road is refused, or has a reason why it
//! does not apply. A new guard or a new road fails here until its cells have a case.

mod audience;
mod confirmation;
mod in_doubt;
mod open_run;
mod overriding;
mod paused;
mod sizes;
mod time;

use std::path::Path;

use pushctl::run::gates::{Guard, Road, Rule, rule};

use crate::pipeline::office::{File, Office};
use crate::support::cli::Outcome;

/// Where the case of a cell is.
enum Case {
    /// A test of this name in this file under `tests/`.
    Test(&'static str, &'static str),
    /// It comes with the work on that guard.
    Pending(&'static str),
    /// The guard does not apply on the road; the table has the reason.
    None,
}

use Case::{Pending, Test};

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
            Road::Send | Road::SendAutomation => {
                Test("send/modes.rs", "two_at_once_send_each_message_once")
            }
            _ => Test(
                "pipeline/drive.rs",
                "of_two_ticks_at_once_one_sends_and_the_other_names_it",
            ),
        },
        Guard::Claim => match road {
            Road::Join => Test(
                "send/shared.rs",
                "four_processes_share_a_send_and_each_recipient_gets_one_message",
            ),
            Road::Send | Road::SendAutomation => Test(
                "send/modes.rs",
                "a_repeated_command_sends_nothing_and_says_so",
            ),
            _ => Test(
                "pipeline/commands.rs",
                "it_stops_after_a_phase_and_resume_goes_on",
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
            Road::Send | Road::SendAutomation => Test("send/history.rs", ""),
            _ => Test("cadence/claims.rs", ""),
        },
        Guard::Deadline => Test("send/signals.rs", ""),
        Guard::Cancel => match road {
            Road::Send | Road::SendAutomation | Road::Join => Test(
                "send/modes.rs",
                "a_cancel_ends_a_send_and_every_recipient_is_counted",
            ),
            Road::Tick => Test(
                "pipeline/cancel.rs",
                "between_two_ticks_the_cancel_itself_ends_it",
            ),
            _ => Test(
                "pipeline/cancel.rs",
                "while_it_sends_nobody_more_is_claimed",
            ),
        },
        Guard::Confirmation => Test(
            "gates/confirmation.rs",
            "nothing_is_sent_that_a_person_has_not_agreed_to",
        ),
        Guard::CommitMarker => Pending("commit markers"),
        Guard::Recipient => Pending("recipients at the time of sending"),
        Guard::UserIds => Pending("valid user ids"),
        Guard::Outcomes | Guard::StateStore => Pending("side files and the age of the store"),
        Guard::Failures => Pending("the watch over failures"),
    }
}

#[test]
fn every_cell_of_the_table_has_a_case_that_exists() {
    let mut pending = Vec::new();
    for guard in Guard::all() {
        for road in Road::all() {
            match case(*guard, *road) {
                Case::None => {}
                Case::Pending(what) => pending.push(what),
                Case::Test(file, name) => {
                    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                        .join("tests")
                        .join(file);
                    let text = std::fs::read_to_string(&path).unwrap();
                    assert!(
                        text.contains(&format!("fn {name}")),
                        "{guard} on {road:?}: {file} has no {name}"
                    );
                }
            }
        }
    }
    pending.dedup();
    // Each is filled in by the work on its guard; the list may only become shorter.
    assert!(pending.len() <= 5, "{pending:?}");
}

/// An automation that is due now, and has no window.
fn due(minutes: i64, safeguards: &str) -> File {
    File {
        due_in: minutes,
        safeguards: safeguards.to_owned(),
        ..File::default()
    }
}

/// Starts the automation on a road that begins with it.
fn start(office: &Office, road: Road, more: &[&str]) -> Outcome {
    let words: &[&str] = match road {
        Road::SendAutomation => &["send", "--automation", "daily", "--push", "1", "--yes"],
        Road::Pipeline => &["run-pipeline", "daily"],
        Road::Now => &["run-pipeline", "daily", "--now"],
        Road::Tick => &["run-pipeline", "daily", "--tick"],
        Road::Resume => &["resume", "last"],
        Road::Join => &["send", "--join", "last"],
        Road::InDoubtRetry => &["resume", "last", "--in-doubt", "retry", "--yes"],
        Road::Send => panic!("it has no automation"),
    };
    office.run(&[words, more].concat())
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

/// Makes the audience files that `send --automation` takes.
fn generate(office: &Office) {
    office.ends(&["generate", "fans"], 0);
}
