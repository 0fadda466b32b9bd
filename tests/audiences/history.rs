//! Nudges leave out whom the notification history shows often enough.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Fair, difference};
use crate::support::market::{AS_OF, DAY, HOUR, MICROSECOND, ago, handmade, rfc3339};
use crate::support::oracle::csv_text::LineEnding;
use crate::support::oracle::{Nudges, Request};
use crate::support::postgres::{Database, Postgres};

/// The tables of another service, as far as they are read.
const HISTORY: &str = "
    CREATE TABLE notification_layers (id serial PRIMARY KEY, name varchar(50) UNIQUE, description text);
    CREATE TABLE user_notifications (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid, notification_id uuid NULL,
        layer_id int REFERENCES notification_layers, sent_at timestamptz DEFAULT now(),
        push_title text, push_body text, audience_description text, deep_link text);
    INSERT INTO notification_layers (name) VALUES ('1'), ('2'), ('3'), ('4'), ('5');";

/// Pushes (layer, when) that people got, one kind of history for each person in turn.
fn histories() -> [Vec<(i32, i64)>; 8] {
    let edge = 90 * DAY;
    [
        vec![(5, ago(DAY)), (5, ago(2 * DAY))],
        vec![(5, ago(DAY))],
        vec![(5, ago(DAY)), (3, ago(DAY)), (2, ago(DAY)), (4, ago(DAY))],
        vec![(5, ago(edge)), (5, ago(edge))],
        vec![(5, ago(edge)), (5, ago(edge + MICROSECOND))],
        vec![(5, AS_OF), (5, ago(10 * DAY))],
        vec![(5, ago(-MICROSECOND)), (5, ago(-HOUR)), (5, ago(DAY))],
        vec![(5, ago(20 * DAY)); 5],
    ]
}

/// Gives every third of `people` nothing, and the others one of [`histories`] each.
fn fill(database: &Database, people: &[Uuid]) -> BTreeMap<Uuid, Vec<(i32, i64)>> {
    database.execute(HISTORY);
    database.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader");
    let some = people.iter().enumerate().filter(|(place, _)| place % 3 > 0);
    let pushes: BTreeMap<Uuid, Vec<(i32, i64)>> = some
        .map(|(_, user)| *user)
        .zip(histories().into_iter().cycle())
        .collect();
    for (user, pushes) in &pushes {
        for (layer, sent_at) in pushes {
            let sent_at = rfc3339(*sent_at);
            database.execute(&format!(
                "INSERT INTO user_notifications (user_id, layer_id, sent_at) VALUES ('{user}', {layer}, '{sent_at}')"
            ));
        }
    }
    pushes
}

#[test]
fn nudges_leave_out_whom_the_history_shows_often_enough() {
    let fair = Fair::of("nudged", handmade::market());
    let facts = fair.facts();
    let people: Vec<Uuid> = Request::Nudges(Nudges::default()).files(&facts)[0]
        .rows
        .iter()
        .take(48)
        .map(|row| row[0].as_deref().expect("an id").parse().expect("a UUID"))
        .collect();
    let history = Postgres::shared().database("history");
    let pushes = fill(&history, &people);

    let mut left_out = Vec::new();
    for (max_appearances, appearance_days) in [(2, 90), (1, 90), (3, 30), (1, 1)] {
        let begin = ago(appearance_days * DAY);
        let often = |pushes: &[(i32, i64)]| {
            let in_window = |(layer, at): &&(i32, i64)| *layer == 5 && (begin..=AS_OF).contains(at);
            let count = pushes.iter().filter(in_window).count();
            i64::try_from(count).expect("a small number") >= max_appearances
        };
        let sent_often = pushes
            .iter()
            .filter(|(_, pushes)| often(pushes))
            .map(|(user, _)| *user)
            .collect();
        let request = Nudges {
            max_appearances,
            appearance_days,
            sent_often,
            ..Nudges::default()
        };
        left_out.push(request.sent_often.len());
        let request = Request::Nudges(request);
        let url = history.url();
        let (outcome, mut found) = fair.generate_with(
            "nudges",
            &request.arguments(),
            &[("PUSH_CADENCE_DATABASE_URL", &url)],
        );
        assert_eq!(outcome.status, 0, "{outcome}");
        found.remove("nudges.manifest.json");
        let expected = request.directory(&facts, &fair.market.test_users, LineEnding::Crlf);
        assert_eq!(
            difference(&expected, &found),
            None,
            "{:?}",
            request.arguments()
        );
    }
    assert_eq!(left_out, [16, 32, 4, 20], "each case has a user");
}

#[test]
fn without_a_history_no_user_is_left_out_and_the_run_says_so() {
    let fair = Fair::of("unrecorded", handmade::market());
    let (outcome, _) = fair.generate("nudges", &[]);
    assert_eq!(outcome.status, 0, "{outcome}");
    outcome.says("no notification history");
}
