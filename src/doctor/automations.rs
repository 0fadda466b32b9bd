//! The automation files, and whether the hosts of their notices can be reached. Nothing is posted.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use super::checklist::Checklist;
use super::report::{Status, Step};
use super::{STEP, copy};
use crate::advice::Advice;
use crate::automation::Automation;
use crate::automation::check::Checked;
use crate::automation::diagnostic::Severity;
use crate::clock::text::Seconds;
use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};
use crate::notify::Warning;
use crate::run::context::RunContext;
use crate::run::services;
use crate::settings::Settings;

pub(super) async fn check(
    list: &Checklist,
    context: &RunContext<'_>,
    automations: &Result<Option<Checked>>,
) {
    list.plan("files", None);
    let checked = match automations {
        Ok(Some(checked)) => checked,
        Ok(None) => return list.record(Step::new("files", Status::Ok, "there are no automations")),
        Err(error) => return list.record(Step::failed("files", &copy(error))),
    };
    list.record(files(checked));
    // A client for each notice reads the system's certificates: not beside steps whose time is taken.
    let (settings, known) = (context.settings.clone(), checked.automations.clone());
    let found = tokio::task::spawn_blocking(move || notices(&settings, &known)).await;
    let (hosts, unused) = found.unwrap_or_default();
    if !unused.is_empty() {
        let seen = Vec::from_iter(unused).join("; ");
        let step = Step::new("notices", Status::Warning, seen);
        list.add(
            step.hint(
                "set the variables of the notices, or remove the notices from the automations",
            ),
        );
    }
    for (host, port) in &hosts {
        list.plan(&step_of(host, *port), None);
    }
    let limit = STEP.min(context.budget.left());
    let reached = hosts.iter().map(|(host, port)| async move {
        list.record(reach(host, *port, limit).await);
    });
    join_all(reached).await;
}

fn step_of(host: &str, port: u16) -> String {
    format!("notices to {host}:{port}")
}

fn files(checked: &Checked) -> Step {
    let report = &checked.report;
    let count = counted(report.files as u64, "files");
    if report.errors > 0 {
        let errors = report
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        let first = errors
            .map(crate::automation::Diagnostic::line)
            .next()
            .unwrap_or_default();
        let error = Error::usage(first).context(format!(
            "{} in {count}",
            counted(report.errors as u64, "errors")
        ));
        return Step::failed(
            "files",
            &error.hint("`pushctl check` shows each error with its place"),
        );
    }
    let names: Vec<&str> = checked.automations.iter().map(Automation::name).collect();
    let seen = format!("{count} without an error: {}", names.join(", "));
    if report.warnings > 0 {
        let seen = format!("{seen}; {}", counted(report.warnings as u64, "warnings"));
        return Step::new("files", Status::Warning, seen)
            .hint("`pushctl check` shows each warning with its place");
    }
    Step::new("files", Status::Ok, seen)
}

/// Returns the hosts that notices are sent to, and why some notices are not sent.
fn notices(
    settings: &Settings,
    automations: &[Automation],
) -> (BTreeSet<(String, u16)>, BTreeSet<String>) {
    let (mut hosts, mut unused) = (BTreeSet::new(), BTreeSet::new());
    let (tick, warnings) = services::tick_heartbeat(settings);
    hosts.extend(
        tick.endpoints()
            .into_iter()
            .map(|(_, host, port)| (host, port)),
    );
    unused.extend(
        warnings
            .iter()
            .map(|warning| format!("{warning} (the tick's)")),
    );
    for automation in automations {
        let notify = &automation.file.notify;
        let unset = |written: &Option<String>| {
            let name = written.as_deref()?.strip_prefix("env:")?;
            let value = settings.source.environment.get(name).ok().flatten();
            let is_unset = value.is_none_or(|(value, _)| value.is_empty());
            is_unset.then(|| format!("{name} is not set"))
        };
        unused.extend(
            [&notify.webhook, &notify.heartbeat]
                .into_iter()
                .filter_map(unset),
        );
        let (notices, warnings) = services::notices_of(settings, &automation.file);
        let endpoints = notices.endpoints().into_iter();
        hosts.extend(endpoints.map(|(_, host, port)| (host, port)));
        let warning = |warning: &Warning| format!("{warning} ({})", automation.name());
        unused.extend(warnings.iter().map(warning));
    }
    (hosts, unused)
}

async fn reach(host: &str, port: u16, limit: Duration) -> Step {
    let name = step_of(host, port);
    let began = Instant::now();
    let error = |message: String| {
        let error = Error::new(ErrorKind::Unreachable, message);
        Step::failed(&name, &error.hint(Advice::NoticeHost))
    };
    let step = match timeout(limit, crate::postgres::inspect::reach(host, port)).await {
        Ok(Ok(at)) => Step::new(
            &name,
            Status::Ok,
            format!("{at} accepts connections; nothing was posted"),
        ),
        Ok(Err(why)) => error(format!("{why:#}")),
        Err(_) => error(format!("no connection within {}", Seconds(limit))),
    };
    step.took(began.elapsed())
}
