//! Unit tests of the classification; the integration tests check it against the stand-in.

use super::*;

fn now() -> Timestamp {
    "2026-11-21T13:33:00Z".parse().expect("a time")
}

fn answer(status: u16, body: &str) -> PushAnswer {
    classify(
        StatusCode::from_u16(status).expect("a status"),
        None,
        body.as_bytes(),
        now,
    )
}

fn fcm(code: &str) -> String {
    format!(
        r#"{{"error":{{"code":0,"message":"said","status":"S","details":[{{"@type":"type.googleapis.com/google.rpc.Other","x":[1]}},{{"@type":"type.googleapis.com/google.firebase.fcm.v1.FcmError","errorCode":"{code}"}}]}}}}"#
    )
}

proptest::proptest! {
    #[test]
    fn no_answer_makes_it_panic(status in 100_u16..600, body in "[ -~\n\0é]{0,60}", at in 0_usize..200, cut in 0_usize..200) {
        answer(status, &body);
        let mut torn = fcm("UNREGISTERED").into_bytes();
        let at = at.min(torn.len());
        torn.splice(at..(at + cut).min(torn.len()), body.bytes());
        answer(status, &String::from_utf8_lossy(&torn));
    }
}

#[test]
fn a_token_is_dead_on_unregistered_and_on_nothing_else() {
    assert_eq!(answer(404, &fcm("UNREGISTERED")), PushAnswer::Dead);
    let misconfigured = |status, body: &str| match answer(status, body) {
        PushAnswer::Misconfigured { reason } => reason,
        other => panic!("{status} {body}: {other:?}"),
    };
    assert_eq!(
        misconfigured(404, "<html>UNREGISTERED</html>"),
        "the push service answered 404 Not Found"
    );
    assert_eq!(
        misconfigured(
            404,
            r#"{"error":{"status":"NOT_FOUND","message":"Requested entity was not found."}}"#
        ),
        "the push service answered 404 Not Found: Requested entity was not found."
    );
    misconfigured(
        404,
        r#"{"error":{"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","errorCode":"UNREGISTERED"}]}}"#,
    );
    misconfigured(403, "");
    misconfigured(403, r#"{"error":"UNREGISTERED"}"#);
}

#[test]
fn a_success_without_a_message_name_is_in_doubt() {
    assert_eq!(
        answer(200, "{\n \"name\": \"projects/p/messages/1\"\n}"),
        PushAnswer::Accepted {
            name: "projects/p/messages/1".into()
        }
    );
    for body in [
        "",
        "{}",
        "<html>sign in</html>",
        "{\"name\":\"\"}",
        "{\"name\":7}",
    ] {
        assert!(
            matches!(answer(200, body), PushAnswer::Unclear { .. }),
            "{body}"
        );
    }
    assert_eq!(
        answer(204, ""),
        PushAnswer::Unclear {
            code: "HTTP_204".into()
        }
    );
    assert_eq!(
        answer(504, "<html>"),
        PushAnswer::Unclear {
            code: "HTTP_504".into()
        }
    );
}

#[test]
fn an_invalid_argument_concerns_the_token_unless_a_violation_names_another_field() {
    let violation = |field: &str| {
        format!(
            r#"{{"error":{{"details":[{{"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{{"field":"{field}","description":"bad"}}]}}]}}}}"#
        )
    };
    let failed = PushAnswer::Failed {
        code: "INVALID_ARGUMENT".into(),
    };
    assert_eq!(answer(400, &fcm("INVALID_ARGUMENT")), failed);
    assert_eq!(answer(400, &violation("message.token")), failed);
    assert_eq!(answer(400, "<html>"), failed);
    assert_eq!(
        answer(400, &violation("message.data[0].value")),
        PushAnswer::BadMessage {
            reason: "message.data[0].value: bad".into()
        }
    );
}

#[test]
fn the_other_statuses_are_classified() {
    let failed = |code: &'static str| PushAnswer::Failed { code: code.into() };
    assert_eq!(
        answer(403, &fcm("SENDER_ID_MISMATCH")),
        failed("SENDER_ID_MISMATCH")
    );
    assert_eq!(
        answer(401, &fcm("THIRD_PARTY_AUTH_ERROR")),
        PushAnswer::ThirdPartyAuth { platform: None }
    );
    assert_eq!(
        answer(
            401,
            r#"{"error":{"details":[{"@type":"a/google.firebase.fcm.v1.FcmError","errorCode":"THIRD_PARTY_AUTH_ERROR"},{"@type":"a/google.firebase.fcm.v1.ApnsError"}]}}"#
        ),
        PushAnswer::ThirdPartyAuth {
            platform: Some(Platform::Apple)
        }
    );
    assert_eq!(answer(401, ""), PushAnswer::Unauthenticated);
    assert_eq!(
        answer(429, "<html>"),
        PushAnswer::Quota { retry_after: None }
    );
    assert_eq!(
        answer(500, ""),
        PushAnswer::ServerError {
            code: "INTERNAL".into(),
            retry_after: None
        }
    );
    assert_eq!(
        answer(503, "<html>"),
        PushAnswer::ServerError {
            code: "UNAVAILABLE".into(),
            retry_after: None
        }
    );
    assert_eq!(answer(413, ""), failed("HTTP_413"));
    assert_eq!(answer(302, ""), failed("HTTP_302"));
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    for (text, wait) in [
        ("7", Some(7)),
        ("0", Some(0)),
        ("Sat, 21 Nov 2026 13:33:30 GMT", Some(30)),
        ("Sat, 21 Nov 2026 13:00:00 GMT", Some(0)),
        ("99999999999", Some(86_400)),
        ("soon", None),
        ("-1", None),
        ("", None),
    ] {
        let value = HeaderValue::from_static(text);
        let found = parse_retry_after(&value, now());
        assert_eq!(found, wait.map(Duration::from_secs), "{text}");
    }
}
