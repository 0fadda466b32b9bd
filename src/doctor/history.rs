//! The notification history: reachable, its privileges, and the cadence rules in force.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::checklist::Checklist;
use super::connection::{self, Connection};
use super::report::{Status, Step};
use super::{STEP, origins};
use crate::advice::Advice;
use crate::cadence::{Answer, HistoryLocation, Rule, RuleState, Rules};
use crate::clock::text::Seconds;
use crate::error::{Error, ErrorKind};
use crate::postgres::inspect::Privilege;
use crate::run::context::RunContext;
use crate::run::services;

/// What a send and `sync` do there.
const PRIVILEGES: &[Privilege] = &[
    ("cadence_rules", "SELECT"),
    ("user_notifications", "SELECT"),
    ("user_notifications", "INSERT"),
];

pub(super) async fn check(list: &Checklist, context: &RunContext<'_>) {
    list.plan("configuration", None);
    let location = match services::history_location(context.settings) {
        Ok(location) => location,
        Err(error) => return list.record(Step::failed("configuration", &error)),
    };
    list.record(configuration(context, &location));
    match &location {
        HistoryLocation::Postgres(address) => {
            let connection = Connection {
                list,
                context,
                address,
                privileges: PRIVILEGES,
            };
            connection.plan("configuration");
            let needs = match address.hosts.as_slice() {
                [_] => "query",
                _ => "hosts",
            };
            list.plan_chain(&["privileges", "rules"], Some(needs));
            let Some(facts) = connection.check().await else {
                return;
            };
            list.record(connection::privileges(&facts, PRIVILEGES));
            if facts.lacking.is_empty() {
                list.record(ask(context, &location, "rules").await);
            }
        }
        HistoryLocation::Http(_) => {
            list.plan("service", Some("configuration"));
            list.record(ask(context, &location, "service").await);
        }
        HistoryLocation::Embedded | HistoryLocation::Off => {}
    }
}

fn configuration(context: &RunContext<'_>, location: &HistoryLocation) -> Step {
    let names = [
        "cadence.history",
        "cadence.database_url",
        "cadence.service_url",
    ];
    let given = origins(&context.settings.resolved, &names);
    let name = "configuration";
    let step = |kind: &str| {
        let seen = if given.is_empty() {
            kind.to_owned()
        } else {
            format!("{kind}: {given}")
        };
        Step::new(name, Status::Ok, seen)
    };
    match location {
        HistoryLocation::Postgres(_) => step("postgres"),
        HistoryLocation::Http(_) => step("http"),
        HistoryLocation::Embedded => step("embedded: in the state store, with the built-in rules"),
        HistoryLocation::Off => {
            let seen = "off: no recipient is held back, and no push is recorded";
            Step::new(name, Status::Warning, seen).hint(Advice::HistoryOff)
        }
    }
}

async fn ask(context: &RunContext<'_>, location: &HistoryLocation, name: &str) -> Step {
    let began = Instant::now();
    let limit = STEP.min(context.budget.left());
    let asking = location.probe(context.clock.now(), context.budget);
    let answer = timeout(limit, asking).await;
    let answer = answer.unwrap_or_else(|_| Err(silent(limit)));
    let step = match answer {
        Ok(Answer::Rules(rules)) => shown(name, &rules),
        Ok(Answer::Answered) => Step::new(name, Status::Ok, "answers, and follows its contract"),
        Ok(Answer::Nothing) => Step::new(name, Status::Ok, ""),
        Err(error) => Step::failed(name, &error),
    };
    step.took(began.elapsed())
}

fn silent(limit: Duration) -> Error {
    let message = format!("no answer within {}", Seconds(limit));
    Error::new(ErrorKind::Unreachable, message)
        .context("the notification history is silent")
        .hint(Advice::NoFarEnd)
}

fn shown(name: &str, rules: &Rules) -> Step {
    let state = |rule: &Rule| match rules.state(*rule) {
        RuleState::Active { window, at_most } => {
            let hours = window.as_secs() / 3600;
            format!("{}: {at_most} in {hours} h", rule.name())
        }
        RuleState::Inactive => format!("{}: inactive", rule.name()),
        RuleState::Missing => format!("{}: missing", rule.name()),
    };
    let seen: Vec<String> = Rule::ALL.iter().map(state).collect();
    let is_missing = |rule: &Rule| rules.state(*rule) == RuleState::Missing;
    if Rule::ALL.iter().any(is_missing) {
        return Step::new(name, Status::Warning, seen.join("; ")).hint(Advice::NoRules);
    }
    Step::new(name, Status::Ok, seen.join("; "))
}
