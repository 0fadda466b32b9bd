//! Recipients whose account or token changed since the audience was generated.

use serde_json::json;

use super::office::{File, Office};
use super::stage::TESTER;
use crate::support::fcm::script::Script;

/// Ten fans: the account of the second is deleted, and the phone of the fourth now belongs to the sixth.
fn office() -> Office {
    let office = Office::new(10, Script::default());
    office.market.execute(
        "UPDATE users SET deleted_at = 1 WHERE username = 'fan-2';
         INSERT INTO devices (user_id, fingerprint, token, updated_at)
             SELECT id, 'handed down', 'token-fan-4', now() + interval '1 second' FROM users WHERE username = 'fan-6'",
    );
    office.file(&File::default());
    office
}

#[test]
fn live_and_dry_runs_count_deleted_accounts_and_tokens_that_moved_alike() {
    let office = office();
    let reasons = json!({ "deleted": 1, "token-moved": 1 });
    let dry = ["run-pipeline", "daily", "--mode", "real-dry-run", "--json"];
    let dry = office.ends(&dry, 0).json();
    assert_eq!(dry["pushes"][0]["skipped_by_reason"], reasons, "{dry:#}");
    assert_eq!(dry["pushes"][0]["not_attempted"], 3, "{dry:#}");
    let live = office.tick(0).json();
    assert_eq!(live["pushes"][0]["skipped_by_reason"], reasons, "{live:#}");
    assert_eq!(live["pushes"][0]["accepted"], 3, "{live:#}");
    assert_eq!(
        office.reached(),
        [
            "token-fan-1",
            "token-fan-10",
            "token-fan-3",
            "token-fan-4",
            "token-fan-5",
            "token-fan-7",
            "token-fan-8",
            "token-fan-9",
        ]
    );
}

#[test]
fn a_test_user_whose_account_is_deleted_is_not_sent_to_and_nothing_is_sent_live() {
    let office = office();
    let delete = format!("UPDATE users SET deleted_at = 1 WHERE id = '{TESTER}'");
    office.market.execute(&delete);
    let refused = office.tick(12);
    refused.says("(1 deleted)");
    assert_eq!((office.tests(), office.reached().len()), (0, 0));
}
