//! The history behind the cadence service: its HTTP contract.
//!
//! When its own database is unreachable it answers 500 with every user eligible and an `error` field. An answer with an
//! error, or one that contradicts itself, is a failure here.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::CadenceDecision;
use super::breakdown::{Breakdown, Exclusion};
use super::rules::Layer;
use crate::advice::Advice;
use crate::budget::Budget;
use crate::error::{Context, Error, ErrorKind, Result};
use crate::fcm::check_url;
use crate::retry::{Retries, RetryPolicy};
use crate::state::Owed;
use crate::state::ledger::Counted;

/// Users in one request.
const BATCH: usize = 5_000;
const TIMEOUT: Duration = Duration::from_secs(30);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The client of the cadence service.
pub(super) struct Http {
    client: Client,
    base: Url,
    /// Its name and place, as waits name it.
    named: Arc<str>,
    budget: Budget,
    policy: RetryPolicy,
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
    pub(super) fn new(url: &str, budget: Budget) -> Result<Self> {
        let mut base = check_url(url, "the cadence service's URL")?;
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        let client = Client::builder()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("pushctl/", env!("CARGO_PKG_VERSION")))
            .build()
            .kind(ErrorKind::Failed, || "cannot set up the HTTP client")?;
        let place = crate::fcm::host_and_port(base.as_str());
        Ok(Self {
            client,
            base,
            named: format!("the cadence service {place}").into(),
            budget,
            policy: RetryPolicy::REQUEST,
        })
    }

    /// Makes each request only once.
    pub(super) fn once(self) -> Self {
        let policy = RetryPolicy {
            attempts: Some(NonZeroU32::MIN),
            ..self.policy
        };
        Self { policy, ..self }
    }

    /// Returns its host and port.
    pub(super) fn place(&self) -> String {
        crate::fcm::host_and_port(self.base.as_str())
    }

    /// Filters a batch. The service does not name the rule that excludes a user; only its sums do.
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
                .retried(&Method::POST, "api/filter-audience", Some(&body))
                .await?;
            let answer: FilterAnswer = serde_json::from_str(&answer).kind(
                ErrorKind::Failed,
                || "the cadence service's answer does not follow its contract",
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

    /// Reports one push to the service.
    pub(super) async fn track(&self, user: Uuid, owed: &Owed) -> Result<()> {
        let body = json!({
            "userId": user,
            "layerId": owed.layer,
            "pushTitle": owed.words.title,
            "pushBody": owed.words.body,
            "audienceDescription": owed.audience,
        });
        // Without a retry: the service may have recorded a request that it did not answer.
        let request = self.request(Method::POST, "api/track-notification", Some(&body))?;
        let answer = self.budget.wait(Arc::clone(&self.named), send(request));
        let answer = answer.await?;
        refuse_error(serde_json::from_str(&answer).ok().as_ref())
    }

    /// Sends a repeatable request, with retries of transient failures.
    async fn retried(&self, method: &Method, path: &str, body: Option<&Json>) -> Result<String> {
        let mut retries = Retries::new(self.policy, self.budget.end());
        let answered = async {
            loop {
                match send(self.request(method.clone(), path, body)?).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => retries.after(error).await?,
                }
            }
        };
        self.budget.wait(Arc::clone(&self.named), answered).await
    }

    fn request(&self, method: Method, path: &str, body: Option<&Json>) -> Result<RequestBuilder> {
        let url = self
            .base
            .join(path)
            .kind(ErrorKind::Usage, || "cannot read the cadence service's URL")?;
        let request = self.client.request(method, url);
        Ok(match body {
            Some(body) => request.json(body),
            None => request,
        })
    }
}

impl FilterAnswer {
    /// Returns the eligible users, if the answer is valid and adds up.
    fn eligible(&self, asked: &HashSet<Uuid>) -> Result<HashSet<Uuid>> {
        refuse_error(
            self.error
                .as_ref()
                .map(|error| json!({"error": error}))
                .as_ref(),
        )?;
        let contradiction = |what| {
            Error::new(
                ErrorKind::Failed,
                format!("the cadence service's answer contradicts itself: {what}"),
            )
        };
        let ids = self
            .eligible_user_ids
            .as_ref()
            .ok_or_else(|| contradiction("it has no list of eligible users"))?;
        let eligible: Option<HashSet<Uuid>> =
            ids.iter().map(|id| Uuid::try_parse(id).ok()).collect();
        let eligible = eligible
            .filter(|eligible| eligible.is_subset(asked))
            .ok_or_else(|| contradiction("it names an eligible user that the request did not"))?;
        let excluded = (asked.len() - eligible.len()) as u64;
        match self.excluded_count {
            Some(count) if count != excluded => Err(contradiction(
                "its count of excluded users does not match its list",
            )),
            _ => Ok(eligible),
        }
    }
}

impl BreakdownCounts {
    /// Returns the sums if they account for every excluded user, else one unattributed count.
    fn attributed(self, excluded: u64) -> Breakdown {
        let reported = Breakdown {
            layer_3_cooldown: self.l3_cooldown,
            combined: self.l2l3_weekly_limit,
            layer_5_cooldown: self.l5_cooldown,
            invalid_uuid: self.invalid_uuid,
            unattributed: 0,
        };
        if reported.total() == excluded {
            return reported;
        }
        Breakdown {
            unattributed: excluded,
            ..Breakdown::default()
        }
    }
}

/// Returns the body of a successful response.
async fn send(request: RequestBuilder) -> Result<String> {
    let unreachable = |cause: reqwest::Error| {
        let error = Error::from_cause(ErrorKind::Unreachable, cause.without_url())
            .context("cannot reach the cadence service");
        error.hint(Advice::CadenceService)
    };
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.text().await.map_err(unreachable)?;
    if status.is_success() {
        return Ok(body);
    }
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorKind::Credentials,
        StatusCode::TOO_MANY_REQUESTS => ErrorKind::Unreachable,
        _ if status.is_server_error() => ErrorKind::Unreachable,
        _ => ErrorKind::Failed,
    };
    let reported = serde_json::from_str(&body)
        .ok()
        .and_then(|body| refuse_error(Some(&body)).err());
    let message = format!("the cadence service answered {status}");
    let is_json = serde_json::from_str::<Json>(&body).is_ok();
    if matches!(status.as_u16(), 400 | 409 | 422) || status == StatusCode::NOT_FOUND && is_json {
        let reason = reported.map_or_else(
            || "it refuses the request".to_owned(),
            |error| error.to_string(),
        );
        return Err(Error::from_cause(kind, Rejected(reason)).context(message));
    }
    let error = reported.map_or_else(
        || Error::new(kind, &message),
        |reported| Error::new(kind, reported).context(&message),
    );
    Err(match kind {
        ErrorKind::Unreachable => error.hint(Advice::ItsOwnTrouble),
        _ => error.hint(Advice::CadenceService),
    })
}

/// The service refuses a request for what is in it; other requests may be accepted.
#[derive(Debug)]
pub(super) struct Rejected(String);

impl fmt::Display for Rejected {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for Rejected {}

/// Rejects an answer that contains an `error`, with any status.
fn refuse_error(body: Option<&Json>) -> Result<()> {
    let reported = body
        .and_then(|body| body.get("error"))
        .filter(|error| !error.is_null());
    let Some(reported) = reported else {
        return Ok(());
    };
    let text = reported
        .as_str()
        .map_or_else(|| reported.to_string(), str::to_owned);
    let short: String = text.chars().take(200).collect();
    Err(Error::new(
        ErrorKind::Unreachable,
        format!("the cadence service reports a failure of its own: {short}"),
    ))
}
