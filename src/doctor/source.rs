//! The source database: its connection, and what the audiences and a send read there.

use super::checklist::Checklist;
use super::connection::Connection;
use super::report::{Status, Step};
use crate::audience::{self, Definition};
use crate::count::counted;
use crate::delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::postgres::{Address, RetryLimits};
use crate::run::context::RunContext;
use crate::run::services;
use crate::source::{Purpose, Reading, Snapshot, Source, Unwatched};

pub(super) async fn check(list: &Checklist, context: &RunContext<'_>) {
    list.plan("configuration", None);
    let address = match services::source_address(context) {
        Ok(address) => address,
        Err(error) => {
            list.record(Step::failed("configuration", &error));
            return;
        }
    };
    list.record(configuration(&address));
    let connection = Connection {
        list,
        context,
        address: &address,
        privileges: &[],
    };
    connection.plan("configuration");
    let needs = match address.hosts.as_slice() {
        [_] => "query",
        _ => "hosts",
    };
    let audiences = match services::catalogue(context.settings) {
        Ok(catalogue) => catalogue,
        Err(error) => {
            list.add(Step::failed("queries", &error));
            return;
        }
    };
    let mut known = Vec::new();
    for name in audiences.names() {
        match audiences.get(name) {
            Ok(definition) => {
                list.plan(&step_of(name), Some(needs));
                known.push(definition);
            }
            Err(error) => list.add(Step::failed(&step_of(name), &error)),
        }
    }
    list.plan("send", Some(needs));
    let Some(facts) = connection.check().await else {
        return;
    };
    read(list, context, address, &known, &facts.role).await;
}

fn step_of(audience: &str) -> String {
    format!("audience {audience}")
}

fn configuration(address: &Address) -> Step {
    let shown = address.shown();
    let given = shown
        .iter()
        .filter(|part| part.origin != "default" && !part.value.is_empty());
    let mut origins: Vec<(&str, Vec<&str>)> = Vec::new();
    for part in given {
        match origins
            .iter_mut()
            .find(|(origin, _)| *origin == part.origin)
        {
            Some((_, names)) => names.push(part.name),
            None => origins.push((&part.origin, vec![part.name])),
        }
    }
    let origins = origins
        .iter()
        .map(|(origin, names)| format!("{} from {origin}", names.join(", ")));
    let origins = origins.collect::<Vec<_>>().join("; ");
    let seen = format!("{address}; {origins}");
    let notes = address.notes();
    let status = if notes.is_empty() {
        Status::Ok
    } else {
        Status::Warning
    };
    let parts = shown.iter().filter(|part| !part.value.is_empty());
    let parts = parts.map(
        |part| serde_json::json!({ "name": part.name, "value": part.value, "from": part.origin }),
    );
    let step =
        Step::new("configuration", status, seen).detail("address", parts.collect::<Vec<_>>());
    notes.iter().fold(step, Step::hint)
}

/// What the audiences and a send read, in one snapshot.
async fn read(
    list: &Checklist,
    context: &RunContext<'_>,
    address: Address,
    audiences: &[Definition],
    role: &str,
) {
    let limits = RetryLimits {
        attempts: std::num::NonZeroU32::new(1),
        ..RetryLimits::default()
    };
    let purpose = Purpose {
        command: context.command.to_owned(),
        run: context.id.clone(),
    };
    let source = Source::new(address, limits, purpose);
    let has_test_users = !context.settings.generate.test_users.is_empty();
    let now = context.clock.now();
    let work = async |snapshot: &Snapshot| {
        for definition in audiences {
            let name = step_of(&definition.name);
            list.record(step(
                &name,
                audience::reads::of(snapshot, definition, now).await,
                role,
            ));
        }
        list.record(step("send", delivery::reads(snapshot).await, role));
        if has_test_users {
            let reading = audience::reads::of_test_users(snapshot).await;
            list.add(step("test users", reading, role));
        }
        Ok(())
    };
    let outcome = source
        .read(context.budget, context.interrupt, &Unwatched, work)
        .await;
    if let Err(error) = outcome {
        list.add(Step::failed("snapshot", &error));
    }
}

fn step(name: &str, reading: Result<Reading>, role: &str) -> Step {
    let reading = match reading {
        Ok(reading) => reading,
        Err(error) => return Step::failed(name, &error),
    };
    let tables: Vec<&str> = reading
        .relations
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    let Some(refusal) = &reading.refusal else {
        let count = counted(tables.len() as u64, "tables");
        let seen = format!("may read its {count}");
        return Step::new(name, Status::Ok, seen).detail("tables", tables);
    };
    let unreadable = reading.unreadable();
    if unreadable.is_empty() {
        return Step::failed(name, refusal);
    }
    let list = unreadable.join(", ");
    let error = Error::new(
        ErrorKind::Credentials,
        format!("{role} may not read {list}"),
    );
    let step = Step::failed(
        name,
        &error.hint(format!("GRANT SELECT ON {list} TO {role};")),
    );
    step.detail("tables", tables)
}
