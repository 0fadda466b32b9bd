//! The request of a heartbeat, by its kind.

use reqwest::Url;
use uuid::Uuid;

use super::{Beat, Heartbeat, HeartbeatKind};
use crate::named_uuid::named_uuid;
use crate::snippet::floor_char_boundary;

/// Bytes of a body that healthchecks keeps.
const BODY: usize = 10_000;

/// Returns the address and the body of a call.
pub(super) fn request(
    kind: Option<HeartbeatKind>,
    address: &Url,
    heartbeat: &Heartbeat,
) -> (Url, Option<String>) {
    let run = run_uuid(&heartbeat.run);
    match kind {
        None => (with_end(address, heartbeat.beat), None),
        Some(HeartbeatKind::Healthchecks) => {
            let url = with_query(
                with_end(address, heartbeat.beat),
                &[("rid", &run.to_string())],
            );
            (url, Some(beginning(&heartbeat.summary).to_owned()))
        }
        Some(HeartbeatKind::Sentry) => {
            let status = match heartbeat.beat {
                Beat::Start => "in_progress",
                Beat::Success => "ok",
                Beat::Failure => "error",
            };
            let run = run.simple().to_string();
            let query = [("status", status), ("check_in_id", &run)];
            (with_query(address.clone(), &query), None)
        }
    }
}

/// Returns the id of a run as a UUID: itself, or a name made from it.
pub fn run_uuid(run: &str) -> Uuid {
    Uuid::parse_str(run).unwrap_or_else(|_| named_uuid(run))
}

fn with_end(address: &Url, beat: Beat) -> Url {
    let mut url = address.clone();
    let end = match beat {
        Beat::Start => Some("start"),
        Beat::Success => None,
        Beat::Failure => Some("fail"),
    };
    if let (Some(end), Ok(mut path)) = (end, url.path_segments_mut()) {
        path.pop_if_empty().push(end);
    }
    url
}

/// Sets parameters of the query; the others are kept.
fn with_query(mut url: Url, parameters: &[(&str, &str)]) -> Url {
    let is_set = |name: &str| parameters.iter().any(|(set, _)| *set == name);
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, _)| !is_set(name))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(kept)
        .extend_pairs(parameters);
    url
}

/// Returns the beginning of a text that fits into the body, without a character cut in two.
fn beginning(text: &str) -> &str {
    &text[..floor_char_boundary(text, BODY)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: HeartbeatKind, run: &str, summary: String) -> (String, Option<String>) {
        let address = Url::parse("https://hc.example.com/ping/abc?rid=old&create=1").unwrap();
        let heartbeat = Heartbeat {
            beat: Beat::Failure,
            run: run.to_owned(),
            summary,
        };
        let (url, body) = request(Some(kind), &address, &heartbeat);
        (url.to_string(), body)
    }

    #[test]
    fn the_run_is_named_once_and_the_query_is_kept() {
        let run = "0198b2a4-0000-7000-8000-000000000001";
        let (url, body) = asked(HeartbeatKind::Healthchecks, run, "é".repeat(6_000));
        assert_eq!(
            url,
            format!("https://hc.example.com/ping/abc/fail?create=1&rid={run}")
        );
        assert_eq!(body.map(|body| body.len()), Some(BODY));
        let (url, _) = asked(HeartbeatKind::Sentry, run, String::new());
        assert!(
            url.ends_with("/ping/abc?rid=old&create=1&status=error&check_in_id=0198b2a4000070008000000000000001"),
            "{url}"
        );
    }

    #[test]
    fn a_run_whose_id_is_not_a_uuid_gets_one_that_stays() {
        assert_eq!(run_uuid("nightly"), run_uuid("nightly"));
        assert_ne!(run_uuid("nightly"), run_uuid("daily"));
    }
}
