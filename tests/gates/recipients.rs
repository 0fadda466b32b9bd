//! Who is sent to is asked on every road at the time of sending: accounts and tokens, the notification history, user
//! ids.

use pushctl::run::gates::Road;

use super::{
    BEGINNINGS, due, generate, killed_while_shared, messages, occurrence_for, share_and_kill, start,
};
use crate::pipeline::office::{File, Office};
use crate::pipeline::stage::QUERY;
use crate::support::cadence::Service;
use crate::support::fcm::script::{Reply, Script};
use crate::support::store::Place;

const DELETE: &str = "UPDATE users SET deleted_at = 1 WHERE username = 'fan-2'";
/// The phone of the fourth is the sixth's now.
const HAND_DOWN: &str = "INSERT INTO devices (user_id, fingerprint, token, updated_at)
    SELECT id, 'handed down', 'token-fan-4', now() + interval '1 second' FROM users WHERE username = 'fan-6'";

#[test]
fn a_deleted_account_and_a_phone_that_was_handed_down_get_nothing_on_any_road() {
    let mut office = Office::new(10, Script::default());
    office.set("PUSHCTL_CADENCE", "off");
    office.file(&due(-9, ""));
    generate(&office);
    office.market.execute(DELETE);
    office.market.execute(HAND_DOWN);
    for road in BEGINNINGS {
        occurrence_for(&office, road);
        let before = messages(&office);
        let outcome = start(&office, road, &["--json"]);
        assert_eq!(outcome.status, 0, "{road:?}: {outcome}");
        assert!(messages(&office) > before, "{road:?}");
        let told = outcome.stdout;
        for reason in ["\"deleted\": 1", "\"token-moved\": 1"] {
            let said = told.contains(reason) || told.contains(&reason.replace(": ", ":"));
            assert!(said, "{road:?}: {told}");
        }
    }
    assert_eq!(office.stand_in.attempts("token-fan-2").len(), 0);
    // Five starts, each to the one who has it now.
    assert_eq!(office.stand_in.attempts("token-fan-4").len(), 5);
}

#[test]
fn who_was_deleted_since_is_not_sent_to_again_where_messages_in_doubt_are() {
    let script = Script::default().on("token-fan-2", [Reply::Reset]);
    let office = Office::new(10, script);
    office.file(&due(-1, ""));
    assert_eq!(start(&office, Road::Tick, &[]).status, 3);
    office.market.execute(DELETE);
    start(&office, Road::InDoubtRetry, &[]);
    assert_eq!(office.stand_in.attempts("token-fan-2").len(), 1);
    assert_eq!(office.reached().len(), 9);
}

#[test]
fn who_has_had_a_push_of_the_layer_gets_no_other_one_on_any_road() {
    let office = Office::new(10, Script::default());
    office.file(&due(-9, ""));
    assert_eq!(start(&office, Road::Tick, &[]).status, 0);
    assert_eq!(office.reached().len(), 10);
    generate(&office);
    for road in BEGINNINGS {
        occurrence_for(&office, road);
        // The layer is the only difference to what another test sends.
        let more: &[&str] = match road {
            Road::Send => &["--layer", "3", "--json"],
            _ => &["--json"],
        };
        let outcome = start(&office, road, more);
        assert_eq!(outcome.status, 0, "{road:?}: {outcome}");
        assert!(outcome.stdout.contains("l3Cooldown"), "{road:?}: {outcome}");
        assert_eq!(office.reached().len(), 10, "{road:?}");
    }
}

#[test]
fn one_that_joined_asks_the_history_too() {
    let office = killed_while_shared(60, Script::default());
    let shared = office.runs().remove(0).id;
    // The whole file gets a push of the same layer from another send.
    let outcome = start(&office, Road::Send, &["--layer", "3"]);
    assert_eq!(outcome.status, 0, "{outcome}");
    let before = messages(&office);
    let joined = office.run(&["send", "--join", &shared, "--json"]);
    assert!([0, 3].contains(&joined.status), "{joined}");
    assert!(joined.stdout.contains("l3Cooldown"), "{joined}");
    assert_eq!(messages(&office), before, "{joined}");
}

/// The ids are names.
fn with_names_for_ids(office: &Office) {
    let query = QUERY.replace("SELECT id AS user_id", "SELECT username AS user_id");
    office.sandbox.write("here/queries/fans.sql", &query);
}

#[test]
fn an_audience_without_a_valid_user_id_is_refused_on_every_road() {
    let mut office = Office::new(10, Script::default());
    with_names_for_ids(&office);
    let file = |minutes| File {
        test: "required = false".to_owned(),
        ..due(minutes, "")
    };
    office.file(&file(-9));
    generate(&office);
    let refused = |office: &Office, road: Road| {
        let outcome = start(office, road, &[]);
        assert_eq!(outcome.status, 2, "{road:?}: {outcome}");
        assert!(outcome.stderr.contains("is a UUID"), "{road:?}: {outcome}");
        assert_eq!(messages(office), 0, "{road:?}");
    };
    refused(&office, Road::Send);
    refused(&office, Road::SendAutomation);
    office.file(&file(-7));
    refused(&office, Road::Pipeline);
    office.file(&file(-5));
    refused(&office, Road::Tick);
    office.file(&file(-3));
    office.ends(&["run-pipeline", "daily", "--until", "test"], 0);
    refused(&office, Road::Resume);
    // Without a history an id is only an id; with one, what is in doubt may not go out again.
    office.file(&file(-1));
    office.set("PUSHCTL_CADENCE", "off");
    assert_eq!(start(&office, Road::Tick, &[]).status, 0);
    office.set("PUSHCTL_CADENCE", "embedded");
    refused(&office, Road::InDoubtRetry);
}

#[test]
fn one_that_joined_with_a_history_sends_to_no_id_that_is_invalid() {
    for history in ["embedded", "http"] {
        let mut office = Office::at(Place::postgres(), 120, Script::default());
        let id = "CASE username WHEN 'fan-40' THEN 'fan-of-old' ELSE id::text END AS user_id";
        let query = QUERY.replace("id AS user_id", id);
        office.sandbox.write("here/queries/fans.sql", &query);
        let service = Service::start([]);
        office.set("CADENCE_SERVICE_URL", service.url());
        office.set("PUSHCTL_CADENCE", history);
        share_and_kill(&office);
        let joined = start(&office, Road::Join, &["--json"]);
        assert!([0, 3].contains(&joined.status), "{joined}");
        assert!(messages(&office) > 40, "{joined}");
        // The process with the file says of the rest what it is.
        let resumed = start(&office, Road::Resume, &["--json"]);
        assert!([0, 3].contains(&resumed.status), "{resumed}");
        assert!(resumed.stdout.contains("1 of 60 user ids"), "{resumed}");
        assert_eq!(office.stand_in.attempts("token-fan-40").len(), 0);
    }
    // No id is valid: a send that began without a history leaves nothing for a joiner that has one.
    let mut office = Office::at(Place::postgres(), 120, Script::default());
    with_names_for_ids(&office);
    office.file(&due(-1, ""));
    generate(&office);
    office.set("PUSHCTL_CADENCE", "off");
    start(&office, Road::SendAutomation, &["--share"]);
    office.set("PUSHCTL_CADENCE", "embedded");
    assert_eq!(start(&office, Road::Join, &[]).status, 6);
    assert_eq!(messages(&office), 0);
}
