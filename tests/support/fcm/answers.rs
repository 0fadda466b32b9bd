//! The answers of the push service, with its own texts.

use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::script::RetryAfter;

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const APNS_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.ApnsError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// A response with its body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Response<()>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn new(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Self {
        let mut head = Response::new(());
        *head.status_mut() = status;
        head.headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        Self { head, body }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let status = StatusCode::from_u16(status).expect("a status of the script");
        Self::new(
            status,
            "application/json; charset=UTF-8",
            body.to_string().into_bytes(),
        )
    }

    pub(crate) fn html(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status of the script");
        let page = format!(
            "<!DOCTYPE html>\n<html lang=en><title>Error {status}</title><p>{status}. That’s an error."
        );
        Self::new(status, "text/html; charset=UTF-8", page.into_bytes())
    }

    /// Adds the clock of the service.
    pub(super) fn dated(mut self) -> Self {
        let now = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
        let date = HeaderValue::from_str(&now.to_string()).expect("a date");
        self.head.headers_mut().insert(DATE, date);
        self
    }

    fn retry_after(mut self, when: Option<RetryAfter>) -> Self {
        let value = match when {
            None => return self,
            Some(RetryAfter::Seconds(seconds)) => seconds.to_string(),
            Some(RetryAfter::Date(seconds)) => {
                let seconds = i64::try_from(seconds).expect("a wait of the script");
                (Timestamp::now() + SignedDuration::from_secs(seconds))
                    .strftime("%a, %d %b %Y %H:%M:%S GMT")
                    .to_string()
            }
        };
        self.head.headers_mut().insert(
            RETRY_AFTER,
            HeaderValue::from_str(&value).expect("digits or a date"),
        );
        self
    }
}

/// 200: the message's name, and nothing else.
pub(crate) fn accepted(name: &str) -> Answer {
    let body = format!("{{\n  \"name\": \"{name}\"\n}}\n");
    Answer::new(
        StatusCode::OK,
        "application/json; charset=UTF-8",
        body.into_bytes(),
    )
}

fn error(code: u16, status: &str, message: &str, details: &Value) -> Answer {
    let mut error = json!({ "code": code, "message": message, "status": status });
    if details
        .as_array()
        .is_some_and(|details| !details.is_empty())
    {
        error["details"] = details.clone();
    }
    Answer::json(code, &json!({ "error": error }))
}

fn fcm(code: &str) -> Value {
    json!([{ "@type": FCM_ERROR, "errorCode": code }])
}

pub(crate) fn unregistered() -> Answer {
    let message = "Requested entity was not found.";
    error(404, "NOT_FOUND", message, &fcm("UNREGISTERED"))
}

pub(crate) fn invalid_token() -> Answer {
    let message = "The registration token is not a valid FCM registration token";
    error(400, "INVALID_ARGUMENT", message, &fcm("INVALID_ARGUMENT"))
}

pub(crate) fn violation(field: &str, description: &str) -> Answer {
    let details = json!([{
        "@type": BAD_REQUEST,
        "fieldViolations": [{ "field": field, "description": description }],
    }]);
    error(400, "INVALID_ARGUMENT", description, &details)
}

pub(crate) fn too_big() -> Answer {
    error(
        400,
        "INVALID_ARGUMENT",
        "Android message is too big",
        &fcm("INVALID_ARGUMENT"),
    )
}

pub(crate) fn sender_id_mismatch() -> Answer {
    error(
        403,
        "PERMISSION_DENIED",
        "SenderId mismatch",
        &fcm("SENDER_ID_MISMATCH"),
    )
}

pub(crate) fn third_party_auth() -> Answer {
    let details = json!([
        { "@type": FCM_ERROR, "errorCode": "THIRD_PARTY_AUTH_ERROR" },
        { "@type": APNS_ERROR, "statusCode": 403, "reason": "InvalidProviderToken" },
    ]);
    let message = "Auth error from APNS or Web Push Service";
    error(401, "UNAUTHENTICATED", message, &details)
}

pub(crate) fn unauthenticated() -> Answer {
    let message = "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.";
    error(401, "UNAUTHENTICATED", message, &json!([]))
}

pub(crate) fn permission_denied() -> Answer {
    let message = "Firebase Cloud Messaging API has not been used in project 000000000000 before or it is disabled.";
    let details = json!([{
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
    }]);
    error(403, "PERMISSION_DENIED", message, &details)
}

pub(crate) fn not_found() -> Answer {
    error(
        404,
        "NOT_FOUND",
        "Requested entity was not found.",
        &json!([]),
    )
}

pub(crate) fn quota(when: Option<RetryAfter>) -> Answer {
    let message =
        "Quota exceeded for quota metric 'Send requests' and limit 'Send requests per minute'";
    error(429, "RESOURCE_EXHAUSTED", message, &fcm("QUOTA_EXCEEDED")).retry_after(when)
}

pub(crate) fn internal(when: Option<RetryAfter>) -> Answer {
    error(
        500,
        "INTERNAL",
        "Internal error encountered.",
        &fcm("INTERNAL"),
    )
    .retry_after(when)
}

pub(crate) fn unavailable(when: Option<RetryAfter>) -> Answer {
    let message = "The service is currently unavailable.";
    error(503, "UNAVAILABLE", message, &fcm("UNAVAILABLE")).retry_after(when)
}
