//! One connection, one bearer token and one message that is only validated: for `pushctl doctor`.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use http::header::{DATE, RETRY_AFTER};
use jiff::Timestamp;
use tokio::sync::mpsc::unbounded_channel;

use super::FcmSettings;
use super::answer::{PushAnswer, classify, parse_date};
use super::client_state::ClientState;
use super::connection::request;
use super::login::Login;
use super::request;
use crate::advice::Advice;
use crate::clock::Clock;
use crate::error::{Error, ErrorKind, Result};

/// A message to a token that does not exist, which the service validates and does not deliver.
const MESSAGE: &[u8] = br#"{"validate_only":true,"message":{"token":"pushctl-doctor","notification":{"title":"pushctl doctor","body":"validated, not delivered"}}}"#;

/// Asks the push service without sending anything.
pub struct Probe(ClientState);

/// The service's answer to the message.
#[derive(Debug)]
pub struct Verdict {
    /// What the service makes of the message; an error if it would refuse every message.
    pub outcome: Result<String>,
    /// The service's clock.
    pub date: Option<Timestamp>,
}

impl Probe {
    /// Reads the trusted certificates and checks the addresses.
    pub fn new(settings: FcmSettings, login: Login, clock: Arc<dyn Clock>) -> Result<Self> {
        let (reports, _) = unbounded_channel();
        ClientState::new(settings, login, clock, reports).map(Self)
    }

    /// Opens a connection and closes it.
    pub async fn connect(&self) -> Result<()> {
        let opened = self.0.endpoint.connect().await;
        opened.map(drop)
    }

    /// Fetches a bearer token; also returns the clock of its endpoint, whatever that answered.
    pub async fn token(&self) -> (Result<HeaderValue>, Option<Timestamp>) {
        let fetched = self.0.token_source.fetch(self.0.clock.as_ref()).await;
        let token = fetched.map(|bearer| bearer.header);
        (
            token,
            self.0.token_source.date().as_ref().and_then(parse_date),
        )
    }

    /// Finds the project, which may have to be asked for.
    ///
    /// # Errors
    /// The metadata server does not name it.
    pub async fn project(&self) -> Result<String> {
        let project = self.0.token_source.project().await?;
        self.0.endpoint.set_project(&project)?;
        Ok(project)
    }

    /// Has a message of the project validated.
    pub async fn validate(&self, bearer: &HeaderValue) -> Result<Verdict> {
        let opened = self.0.endpoint.connect().await?;
        let connection = tokio::spawn(opened.connection);
        let reply = async {
            let mut send = opened.send.ready().await.map_err(lost)?;
            let head = request(self.0.endpoint.uri(), bearer, MESSAGE.len());
            let (response, mut body) = send.send_request(head, false).map_err(lost)?;
            body.send_data(Bytes::from_static(MESSAGE), true)
                .map_err(lost)?;
            let answer = request::answer(response, self.0.answer_timeout).await;
            answer.map_err(|why| no_answer(&format!("{why:?}")))
        };
        let reply = reply.await;
        connection.abort();
        let reply = reply?;
        let retry_after = reply.headers.get(RETRY_AFTER);
        let now = || self.0.clock.now();
        Ok(Verdict {
            outcome: outcome(classify(reply.status, retry_after, &reply.body, now)),
            date: reply.headers.get(DATE).and_then(parse_date),
        })
    }
}

fn lost(cause: h2::Error) -> Error {
    Error::from_cause(ErrorKind::Unreachable, cause)
        .context("the connection to the push service was lost")
}

fn no_answer(why: &str) -> Error {
    Error::new(
        ErrorKind::Unreachable,
        format!("the push service did not answer ({why})"),
    )
}

fn outcome(answer: PushAnswer) -> Result<String> {
    let refused = |kind, message: String| Err(Error::new(kind, message));
    match answer {
        PushAnswer::Accepted { .. } => Ok("validate_only message accepted".to_owned()),
        PushAnswer::Failed { code } if code.starts_with("HTTP_") => refused(
            ErrorKind::Failed,
            format!(
                "the push service answered {code}, which it does not use (a proxy in between?)"
            ),
        ),
        // What it says about a token that does not exist.
        PushAnswer::Dead | PushAnswer::Failed { .. } => Ok(
            "validate_only message understood; its made-up token is rejected, as it should be"
                .to_owned(),
        ),
        PushAnswer::Quota { .. } => {
            Ok("validate_only message understood; the quota is used up at present".to_owned())
        }
        PushAnswer::BadMessage { reason } => refused(ErrorKind::Failed, reason),
        PushAnswer::ThirdPartyAuth { .. } => refused(
            ErrorKind::Credentials,
            "a platform's push certificate is bad".to_owned(),
        ),
        PushAnswer::Unauthenticated => refused(
            ErrorKind::Credentials,
            "the push service rejects a new bearer token (401)".to_owned(),
        ),
        PushAnswer::Misconfigured { reason } => {
            refused(ErrorKind::Credentials, reason).map_err(|error| error.hint(Advice::PushProject))
        }
        PushAnswer::ServerError { code, .. } | PushAnswer::Unclear { code } => refused(
            ErrorKind::Unreachable,
            format!("the push service answered {code}"),
        ),
    }
}
