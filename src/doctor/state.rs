//! The state store: reachable, migrated, writable, and not older than the outcome files.

use std::sync::Arc;

use super::checklist::Checklist;
use super::connection::Connection;
use super::report::{Status, Step};
use super::{copy, origins};
use crate::advice::Advice;
use crate::count::counted;
use crate::delivery;
use crate::error::{Error, ErrorKind, Result};
use crate::run::context::RunContext;
use crate::state::migrations::{MigrationStatus, NEEDED};
use crate::state::{Location, Store};

pub(super) async fn check(list: &Checklist, context: &RunContext<'_>, location: &Result<Location>) {
    list.plan("configuration", None);
    let location = match location {
        Ok(location) => location,
        Err(error) => return list.record(Step::failed("configuration", &copy(error))),
    };
    list.record(configuration(context, location));
    let steps = ["store", "migrations", "writable", "outcome files"];
    let Location::Postgres(address) = location else {
        list.plan_chain(&steps, Some("configuration"));
        return examine(list, context, location).await;
    };
    let connection = Connection {
        list,
        context,
        address,
        privileges: &[],
    };
    connection.plan("configuration");
    let needs = match address.hosts.as_slice() {
        [_] => "query",
        _ => "hosts",
    };
    list.plan_chain(&steps, Some(needs));
    let Some(facts) = connection.check().await else {
        return;
    };
    if facts.is_standby || facts.is_read_only {
        let what = if facts.is_standby {
            "a standby"
        } else {
            "read-only for this role"
        };
        let message =
            format!("the state store's server is {what}, and nothing can be recorded there");
        let error = Error::new(ErrorKind::Failed, message).hint(Advice::StoreReadOnly);
        list.record(Step::failed("writable", &error));
    }
    examine(list, context, location).await;
}

fn configuration(context: &RunContext<'_>, location: &Location) -> Step {
    let given = origins(&context.settings.resolved, &["state"]);
    let seen = match location {
        _ if !given.is_empty() => given,
        Location::Embedded(path) => format!("{} (default)", path.display()),
        Location::Postgres(address) => address.to_string(),
    };
    Step::new("configuration", Status::Ok, seen)
}

async fn examine(list: &Checklist, context: &RunContext<'_>, location: &Location) {
    let store =
        match Store::open_if_any(location, Arc::clone(context.clock), context.budget.clone()).await
        {
            Ok(Some(store)) => store,
            Ok(None) => {
                let seen = "does not exist yet: the first command that needs it creates it";
                list.record(Step::new("store", Status::Ok, seen));
                for step in ["migrations", "writable", "outcome files"] {
                    list.record(Step::new(step, Status::Skipped, "there is no store yet"));
                }
                return;
            }
            Err(error) => return list.record(Step::failed("store", &error)),
        };
    list.record(Step::new(
        "store",
        Status::Ok,
        format!("opened: {}", store.place()),
    ));
    let migrated = store.migrations().await;
    let version = migrated
        .as_ref()
        .ok()
        .and_then(|status| status.applied.last().map(|last| last.version));
    let is_current = version == Some(NEEDED);
    list.record(match migrated {
        Ok(status) => migrations(&status),
        Err(error) => Step::failed("migrations", &error),
    });
    let writable = writable(&store, version.unwrap_or(0)).await;
    list.record(writable);
    if is_current {
        let outcomes = &context.settings.push.outcomes;
        list.record(match delivery::check_store(outcomes, &store).await {
            Ok(()) => {
                let seen = format!(
                    "the store is not older than the files in {}",
                    outcomes.display()
                );
                Step::new("outcome files", Status::Ok, seen)
            }
            Err(error) => Step::failed("outcome files", &error),
        });
    } else {
        list.record(Step::new(
            "outcome files",
            Status::Skipped,
            "the store is not migrated",
        ));
    }
    store.close().await;
}

fn migrations(status: &MigrationStatus) -> Step {
    let name = "migrations";
    let version = status.applied.last().map_or(0, |last| last.version);
    if version > NEEDED {
        let message = format!(
            "the store is at migration {version}, and this pushctl knows only up to {NEEDED}"
        );
        return Step::failed(name, &Error::usage(message).hint("use the newer pushctl"));
    }
    if status.applied.is_empty() {
        let seen = "none yet: the first command that needs the store applies them";
        return Step::new(name, Status::Ok, seen);
    }
    if status.pending.is_empty() {
        let seen = format!("up to date: {version} of {NEEDED}");
        return Step::new(name, Status::Ok, seen).detail("version", version);
    }
    let message = format!("pending: {}", status.pending.join(", "));
    let step = Step::failed(name, &Error::usage(message).hint(Advice::Migrate));
    step.detail("version", version)
}

async fn writable(store: &Store, version: u32) -> Step {
    let name = "writable";
    if let Err(error) = store.try_writing().await {
        return Step::failed(name, &error.hint(Advice::StoreReadOnly));
    }
    let missing = match store.missing_privileges(version).await {
        Ok(missing) => missing,
        Err(error) => return Step::failed(name, &error),
    };
    if missing.is_empty() {
        return Step::new(name, Status::Ok, "a write was tried and taken back");
    }
    let count = counted(missing.len() as u64, "privileges");
    let first = missing
        .iter()
        .map(|one| format!("{} on {}", one.privilege, one.on));
    let first = first.take(4).collect::<Vec<_>>().join(", ");
    let error = Error::new(
        ErrorKind::Credentials,
        format!("the role lacks {count}: {first}"),
    );
    let error = match version {
        0 => error.hint(Advice::StorePrivilege),
        _ => error.hint("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA pushctl, and USAGE, SELECT ON ALL SEQUENCES IN SCHEMA pushctl, to the role"),
    };
    Step::failed(name, &error)
}
