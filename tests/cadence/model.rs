//! The rules once more, written independently and by hand, and histories to hold everything against them.

use jiff::Timestamp;
use proptest::prelude::*;

/// One push that a user got: the user, the layer, how many minutes ago.
pub(super) type Past = (u64, u32, i64);

/// What the model says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Eligible,
    L3Cooldown,
    L2L3,
    L5Cooldown,
}

/// cadence.md, rule by rule, with the values in production.
pub(super) fn says(past: &[Past], user: u64, layer: u32) -> Says {
    let pushes = |layers: &[u32], hours: i64| {
        let mine = past.iter().filter(|(who, layer, minutes)| {
            *who == user && layers.contains(layer) && *minutes < hours * 60
        });
        mine.count()
    };
    if layer == 1 || layer == 4 {
        return Says::Eligible;
    }
    if layer == 3 && pushes(&[3], 72) > 0 {
        return Says::L3Cooldown;
    }
    if pushes(&[2, 3], 168) >= 3 {
        return Says::L2L3;
    }
    if layer == 5 && pushes(&[5], 96) > 0 {
        return Says::L5Cooldown;
    }
    Says::Eligible
}

/// A history of up to twelve people, with instants close to the edges of the windows.
pub(super) fn histories() -> impl Strategy<Value = Vec<Past>> {
    let edge = prop_oneof![Just(72), Just(96), Just(168)]
        .prop_flat_map(|hours: i64| (-2..=2_i64).prop_map(move |off| hours * 60 + off));
    let minutes = prop_oneof![1..15_000_i64, edge];
    proptest::collection::vec((0..12_u64, 1..=5_u32, minutes), 0..60)
}

/// The same history in the tables of the service.
pub(super) fn insert(past: &[Past], now: Timestamp) -> String {
    let rows: Vec<String> = past
        .iter()
        .map(|(user, layer, minutes)| {
            let at = now - std::time::Duration::from_secs(u64::try_from(*minutes).unwrap() * 60);
            format!(
                "(gen_random_uuid(), '{}', {layer}, '{at}')",
                super::id(*user)
            )
        })
        .collect();
    let insert = format!(
        "INSERT INTO user_notifications (id, user_id, layer_id, sent_at) VALUES {}",
        rows.join(", ")
    );
    format!(
        "TRUNCATE user_notifications; {}",
        if rows.is_empty() { "" } else { &insert }
    )
}
