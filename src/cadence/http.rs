//! The history behind the existing service: its contract, and its habit of calling a failure an answer.
//!
//! When its own database is away it answers 500 with every user eligible and an `error` field. Whatever carries an error,
//! or contradicts itself, is a failure here.

use std::collections::HashSet;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CadenceDecision;
use super::breakdown::{Breakdown, Exclusion};
use super::rules::Layer;
use crate::error::{Context, Error, Kind, Result};
use crate::state::Owed;
use crate::state::ledger::Counted;

/// People asked about by one request.
const BATCH: usize = 5_000;
/// For one request.
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Before each further try of a request that failed in passing.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// The way to the service.
pub(super) struct Http {
    client: Client,
    base: Url,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FilterAnswer {
    #[serde(default)]
    error: Option<Json>,
    eligible_user_ids: Option<Vec<String>>,
    excluded_count: Option<u64>,
    #[serde(default)]
    exclusion_breakdown: BreakdownCounts,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "camelCase", default)]
struct BreakdownCounts {
    l3_cooldown: u64,
    #[serde(rename = "l2l3WeeklyLimit")]
    l2l3_weekly_limit: u64,
    l5_cooldown: u64,
    invalid_uuid: u64,
}

impl Http {
    pub(super) fn new(url: &str) -> Result<Self> {
        let mut base: Url = url
            .parse()
            .kind(Kind::Usage, || "cannot read the cadence service's URL")?;
        if !matches!(base.scheme(), "http" | "https") {
            return Err(Error::usage(
                "the cadence service's URL must begin with https:// or http://",
            ));
        }
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let client = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("pushctl/", env!("CARGO_PKG_VERSION")))
            .build()
            .kind(Kind::Failed, || "cannot set up the HTTP client")?;
        Ok(Self { client, base })
    }

    /// Where it is.
    pub(super) fn place(&self) -> String {
        crate::fcm::host_and_port(self.base.as_str())
    }

    /// Who may be sent to. The service does not say who is excluded by what: only its sums do.
    pub(super) async fn filter(
        &self,
        users: &[Uuid],
        layer: Layer,
    ) -> Result<(Vec<CadenceDecision>, Breakdown)> {
        let mut verdicts = Vec::with_capacity(users.len());
        let mut breakdown = Breakdown::default();
        for batch in users.chunks(BATCH) {
            let asked: HashSet<Uuid> = batch.iter().copied().collect();
            let body = json!({"userIds": asked, "layerId": layer.number()});
            let answer = self
                .patiently(Method::POST, "api/filter-audience", Some(&body))
                .await?;
            let answer: FilterAnswer = serde_json::from_str(&answer).kind(
                Kind::Failed,
                || "the cadence service's answer is not what its contract says",
            )?;
            let eligible = answer.eligible(&asked)?;
            let verdict = |user: &Uuid| {
                if eligible.contains(user) {
                    CadenceDecision::Eligible(Counted::default())
                } else {
                    CadenceDecision::Excluded(Exclusion::Unattributed)
                }
            };
            let start = verdicts.len();
            verdicts.extend(batch.iter().map(verdict));
            let excluded = verdicts[start..]
                .iter()
                .filter(|verdict| matches!(verdict, CadenceDecision::Excluded(_)));
            breakdown += answer
                .exclusion_breakdown
                .attributed(excluded.count() as u64);
        }
        Ok((verdicts, breakdown))
    }

    /// Tells the service of one push.
    pub(super) async fn track(&self, user: Uuid, owed: &Owed) -> Result<()> {
        let body = json!({
            "userId": user,
            "layerId": owed.layer,
            "pushTitle": owed.words.title,
            "pushBody": owed.words.body,
            "audienceDescription": owed.audience,
        });
        // Once: whether the service took a request that it did not answer, only its owner can find out.
        let request = self.request(Method::POST, "api/track-notification", Some(&body))?;
        let answer = send(request).await.map_err(|(error, _)| error)?;
        refuse_error(serde_json::from_str(&answer).ok().as_ref())
    }

    pub(super) async fn health(&self) -> Result<()> {
        self.patiently(Method::GET, "api/health", None)
            .await
            .map(drop)
    }

    /// Sends a request that may be repeated, again if it failed in passing.
    async fn patiently(&self, method: Method, path: &str, body: Option<&Json>) -> Result<String> {
        let mut pauses = PAUSES.iter();
        loop {
            let request = self.request(method.clone(), path, body)?;
            match (send(request).await, pauses.next()) {
                (Ok(answer), _) => return Ok(answer),
                (Err((error, true)), Some(pause)) => {
                    tracing::debug!("the cadence service: trying again: {error:#}");
                    tokio::time::sleep(*pause).await;
                }
                (Err((error, _)), _) => return Err(error),
            }
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<&Json>) -> Result<RequestBuilder> {
        let url = self
            .base
            .join(path)
            .kind(Kind::Usage, || "cannot read the cadence service's URL")?;
        let request = self.client.request(method, url);
        Ok(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }
}

impl FilterAnswer {
    /// Those it lets through, if it is an answer and adds up.
    fn eligible(&self, asked: &HashSet<Uuid>) -> Result<HashSet<Uuid>> {
        refuse_error(
            self.error
                .as_ref()
                .map(|error| json!({"error": error}))
                .as_ref(),
        )?;
        let contradiction = |what| {
            Error::new(
                Kind::Failed,
                format!("the cadence service's answer contradicts itself: {what}"),
            )
        };
        let ids = self
            .eligible_user_ids
            .as_ref()
            .ok_or_else(|| contradiction("it names nobody, not even as an empty list"))?;
        let eligible: Option<HashSet<Uuid>> =
            ids.iter().map(|id| Uuid::try_parse(id).ok()).collect();
        let eligible = eligible
            .filter(|eligible| eligible.is_subset(asked))
            .ok_or_else(|| contradiction("it lets somebody through who was not asked about"))?;
        let excluded = (asked.len() - eligible.len()) as u64;
        match self.excluded_count {
            Some(count) if count != excluded => Err(contradiction(
                "its count of excluded people is not that of those left out",
            )),
            _ => Ok(eligible),
        }
    }
}

impl BreakdownCounts {
    /// The sums, if they account for everybody who was excluded; else nobody is attributed.
    fn attributed(self, excluded: u64) -> Breakdown {
        let told = Breakdown {
            layer_3_cooldown: self.l3_cooldown,
            combined: self.l2l3_weekly_limit,
            layer_5_cooldown: self.l5_cooldown,
            invalid_uuid: self.invalid_uuid,
            unattributed: 0,
        };
        if told.total() == excluded {
            return told;
        }
        Breakdown {
            unattributed: excluded,
            ..Breakdown::default()
        }
    }
}

/// The body of a good answer; an error also says whether trying again may help.
async fn send(request: RequestBuilder) -> Result<String, (Error, bool)> {
    let unreachable = |cause: reqwest::Error| {
        let error = Error::from_cause(Kind::Unreachable, cause.without_url())
            .context("cannot reach the cadence service");
        (
            error.hint("Check CADENCE_SERVICE_URL, and that the service is up"),
            true,
        )
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.text().await.map_err(unreachable)?;
    if status.is_success() {
        return Ok(body);
    }
    let passes = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Kind::Credentials,
        _ if passes => Kind::Unreachable,
        _ => Kind::Failed,
    };
    let told = serde_json::from_str(&body)
        .ok()
        .and_then(|body| refuse_error(Some(&body)).err());
    let message = format!("the cadence service answered {status}");
    Err((
        told.map_or_else(
            || Error::new(kind, &message),
            |told| Error::new(kind, told).context(&message),
        ),
        passes,
    ))
}

/// An answer with an `error` in it is none, whatever its status.
fn refuse_error(body: Option<&Json>) -> Result<()> {
    let told = body
        .and_then(|body| body.get("error"))
        .filter(|error| !error.is_null());
    let Some(told) = told else {
        return Ok(());
    };
    let text = told
        .as_str()
        .map_or_else(|| told.to_string(), str::to_owned);
    let short: String = text.chars().take(200).collect();
    Err(Error::new(
        Kind::Unreachable,
        format!("the cadence service reports a failure of its own: {short}"),
    ))
}
