//! The directories that files are written to: whether that is possible, and how much room there is.

use std::path::{Path, PathBuf};

use super::checklist::Checklist;
use super::report::{Status, Step};
use crate::advice::Advice;
use crate::delivery::LEAST;
use crate::disk;
use crate::error::{Error, ErrorKind, Result};
use crate::run::context::RunContext;
use crate::settings::generate::OutputTarget;
use crate::state::Location;

/// Less free space than this is a warning: an audience of a million rows takes about 100 MiB.
const LITTLE: u64 = 128 << 20;

pub(super) async fn check(list: &Checklist, context: &RunContext<'_>, state: &Result<Location>) {
    let mut places: Vec<(&'static str, PathBuf)> = Vec::new();
    if let OutputTarget::Directory(directory) = &context.settings.generate.output {
        places.push(("output", directory.clone()));
    }
    places.push(("outcomes", context.settings.push.outcomes.clone()));
    if let Ok(Location::Embedded(file)) = state {
        places.push(("state", file.parent().unwrap_or(Path::new(".")).to_owned()));
    }
    for (name, _) in &places {
        list.plan(name, None);
    }
    for (name, directory) in places {
        // A network file system may be slow, and must not hold up the other parts.
        let looked = tokio::task::spawn_blocking(move || examine(name, &directory)).await;
        list.record(looked.unwrap_or_else(|_| {
            Step::failed(
                name,
                &Error::new(ErrorKind::Bug, "the check of a directory panicked"),
            )
        }));
    }
}

fn examine(name: &str, directory: &Path) -> Step {
    let shown = directory.display();
    let existing = directory.ancestors().find(|path| path.exists());
    let existing = existing.filter(|path| !path.as_os_str().is_empty());
    let existing = existing.unwrap_or(Path::new("."));
    let place = if existing == directory {
        shown.to_string()
    } else {
        format!("{shown} (does not exist yet)")
    };
    let room = disk::room(existing);
    let free = room.map_or_else(
        || "free space unknown".to_owned(),
        |room| format!("{} free", disk::size(room)),
    );
    if let Err(error) = disk::try_writing(existing) {
        let message = format!("cannot write into {}, {free}", existing.display());
        let remedy = disk::remedy(&error);
        let error = Error::from_cause(ErrorKind::Failed, error).context(message);
        return Step::failed(name, &error.hint(remedy));
    }
    let step = match room {
        Some(room) if room < LEAST => {
            let error = Error::new(ErrorKind::Failed, format!("{place} has only {free}"));
            Step::failed(name, &error.hint(Advice::FreeSpace))
        }
        Some(room) if room < LITTLE => {
            let seen = format!("{place} is writable, only {free}");
            Step::new(name, Status::Warning, seen).hint(Advice::FreeSpace)
        }
        _ => Step::new(name, Status::Ok, format!("{place} is writable, {free}")),
    };
    match room {
        Some(room) => step.detail("free_bytes", room),
        None => step,
    }
}
