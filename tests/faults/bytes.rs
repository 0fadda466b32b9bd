//! Connections that break at any byte.

use super::at_once;
use crate::send::{state_database, state_url};
use crate::support::cli::Sandbox;
use crate::support::postgres::{Postgres, at_port};
use crate::support::proxy::{Fate, Proxy};

/// Where a connection breaks does not change what it is: a reason to try again.
#[test]
fn a_connection_that_breaks_at_any_byte_is_never_taken_for_a_refusal() {
    let places = (0..60).map(|n| n * 41 + 1);
    let fates = places.flat_map(|bytes| {
        [
            Fate::ResetAfter(bytes),
            Fate::CloseAfter(bytes),
            Fate::HalfCloseAfter(bytes),
        ]
        .map(|fate| (bytes, fate))
    });
    let state = state_database(Postgres::shared());
    let sandbox = Sandbox::new();
    let variables = [("PUSHCTL_STATE_URL", &*state_url(&state))];
    assert_eq!(
        sandbox.run_with(&["state", "migrate"], &variables).status,
        0
    );
    at_once(fates, |(bytes, fate)| {
        let proxy = Proxy::start(state.port(), fate);
        let url = at_port(&state_url(&state), proxy.port());
        let variables = [("PUSHCTL_STATE_URL", &*url), ("PUSHCTL_DEADLINE", "1s")];
        let outcome = Sandbox::new().run_with(&["runs"], &variables);
        if matches!(outcome.status, 0 | 5) {
            return Ok(());
        }
        Err(format!("{bytes}: {outcome}"))
    });
}
