//! The push service: the log-in, a bearer token, and one message that is only validated.

use std::future::Future;
use std::sync::Arc;

use tokio::time::{Instant, timeout};

use super::checklist::Checklist;
use super::connection::{clock, skew};
use super::report::{Status, Step};
use super::{STEP, origins};
use crate::clock::text::Seconds;
use crate::error::{Error, ErrorKind, Result};
use crate::fcm::{Login, Probe};
use crate::run::context::RunContext;
use crate::run::services;

pub(super) async fn check(list: &Checklist, context: &RunContext<'_>) {
    list.plan("credentials", None);
    list.plan("connection", Some("credentials"));
    list.plan("token", Some("credentials"));
    list.plan("message", Some("token"));
    list.plan("clock", Some("token"));
    let login = match services::login(context.settings) {
        Ok(login) => login,
        Err(error) => return list.record(Step::failed("credentials", &error)),
    };
    let mut settings = services::push_settings(context);
    let place = settings.place();
    // Its own retries are for sends.
    settings.connect_timeout = settings.connect_timeout.min(STEP);
    settings.answer_timeout = settings.answer_timeout.min(STEP);
    list.record(credentials(context, &login));
    let clock = Arc::clone(context.clock);
    let made = tokio::task::spawn_blocking(move || Probe::new(settings, login, clock)).await;
    let made =
        made.unwrap_or_else(|_| Err(Error::new(ErrorKind::Bug, "the set-up of TLS panicked")));
    let probe = match made {
        Ok(probe) => probe,
        Err(error) => return list.record(Step::failed("connection", &error)),
    };
    let connection = async {
        let began = Instant::now();
        let outcome = limited(context, "no connection", probe.connect()).await;
        let step = match outcome {
            Ok(()) => Step::new("connection", Status::Ok, format!("{place} speaks HTTP/2")),
            Err(error) => Step::failed("connection", &error),
        };
        list.record(step.took(began.elapsed()));
    };
    tokio::join!(connection, message(list, context, &probe));
}

fn credentials(context: &RunContext<'_>, login: &Login) -> Step {
    let names = [
        "push.credentials",
        "push.project_id",
        "push.client_email",
        "push.private_key",
    ];
    let origins = origins(&context.settings.resolved, &names);
    let project = login.project().unwrap_or("of the metadata server");
    let seen = format!("project {project}, {}: {origins}", login.description());
    let step = Step::new("credentials", Status::Ok, seen)
        .detail("project", project)
        .detail("login", login.kind());
    match login.account() {
        Some(account) => step.detail("client_email", account),
        None => step,
    }
}

/// The token, and the message that needs it.
async fn message(list: &Checklist, context: &RunContext<'_>, probe: &Probe) {
    let began = Instant::now();
    let fetched = limited(context, "no bearer token", async {
        Ok(probe.token().await)
    })
    .await;
    let (token, date) = fetched.unwrap_or_else(|error| (Err(error), None));
    let mut skews: Vec<f64> = date
        .map(|date| skew(context.clock.as_ref(), date))
        .into_iter()
        .collect();
    let step = match &token {
        Ok(_) => Step::new("token", Status::Ok, "a bearer token was issued"),
        Err(error) => Step::failed("token", error),
    };
    list.record(step.took(began.elapsed()));
    if let Ok(bearer) = &token {
        let began = Instant::now();
        let verdict = limited(context, "no answer to a message", async {
            probe.project().await?;
            probe.validate(bearer).await
        })
        .await;
        let date = verdict.as_ref().ok().and_then(|verdict| verdict.date);
        skews.extend(date.map(|date| skew(context.clock.as_ref(), date)));
        let step = match verdict.and_then(|verdict| verdict.outcome) {
            Ok(seen) => Step::new("message", Status::Ok, seen),
            Err(error) => Step::failed("message", &error),
        };
        list.record(step.took(began.elapsed()));
    }
    let worst = skews
        .into_iter()
        .max_by(|one, other| one.abs().total_cmp(&other.abs()));
    match worst {
        // A date of HTTP has whole seconds.
        Some(skew) => list.record(clock("clock", skew, "the push service's")),
        None if token.is_ok() => {
            let seen = "the push service's answers have no date";
            list.record(Step::new("clock", Status::Skipped, seen));
        }
        None => {}
    }
}

/// Ends `work` after the time of a step.
async fn limited<T>(
    context: &RunContext<'_>,
    what: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let limit = (STEP * 2).min(context.budget.left());
    timeout(limit, work).await.unwrap_or_else(|_| {
        let message = format!("{what} within {}", Seconds(limit));
        Err(Error::new(ErrorKind::Unreachable, message)
            .hint("a firewall may be dropping the packets, or a proxy is in between"))
    })
}
