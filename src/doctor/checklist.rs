//! The steps of one part. They are planned first and filled in as they end, in any order, by futures that run side by
//! side; what is never filled in was skipped, or was cut off by the deadline.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::report::{Section, Status, Step};
use crate::clock::text::Seconds;
use crate::error::{Error, ErrorKind};

pub(super) struct Checklist {
    name: &'static str,
    entries: Mutex<Vec<Entry>>,
    excused: Mutex<Vec<String>>,
}

struct Entry {
    name: String,
    needs: Option<String>,
    step: Option<Step>,
}

impl Checklist {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            entries: Mutex::default(),
            excused: Mutex::default(),
        }
    }

    /// Plans a step, after those planned before it. If the one it needs fails, it is skipped.
    pub(super) fn plan(&self, name: &str, needs: Option<&str>) {
        self.entries().push(Entry {
            name: name.to_owned(),
            needs: needs.map(str::to_owned),
            step: None,
        });
    }

    /// Plans steps that need one another in this order; the first needs `needs`.
    pub(super) fn plan_chain<'n>(&self, names: &[&'n str], mut needs: Option<&'n str>) {
        for name in names {
            self.plan(name, needs);
            needs = Some(name);
        }
    }

    /// Records how a planned step ended.
    pub(super) fn record(&self, step: Step) {
        let mut entries = self.entries();
        if let Some(entry) = entries.iter_mut().find(|entry| entry.name == step.name) {
            entry.step = Some(step);
        }
    }

    /// Plans and records a step at once.
    pub(super) fn add(&self, step: Step) {
        self.plan(&step.name, None);
        self.record(step);
    }

    /// Failures of steps whose names end in `label` are only warnings: another host does.
    pub(super) fn excuse(&self, label: &str) {
        let mut excused = self.excused.lock().unwrap_or_else(PoisonError::into_inner);
        excused.push(label.to_owned());
    }

    /// Returns the steps. What has no result was skipped, or did not end within `limit`.
    pub(super) fn finish(self, limit: Duration) -> Section {
        let entries = self.entries.into_inner();
        let mut steps: Vec<Step> = Vec::new();
        for Entry { name, needs, step } in entries.unwrap_or_else(PoisonError::into_inner) {
            let needed = steps.iter().find(|done| Some(&done.name) == needs.as_ref());
            let step = step.unwrap_or_else(|| unfinished(&name, needed, limit));
            steps.push(step);
        }
        let excused = self.excused.into_inner();
        let excused = excused.unwrap_or_else(PoisonError::into_inner);
        for step in &mut steps {
            if step.status == Status::Failed
                && excused.iter().any(|label| step.name.ends_with(label))
            {
                step.status = Status::Warning;
                step.exit_status = None;
            }
        }
        Section {
            name: self.name.to_owned(),
            steps,
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unfinished(name: &str, needed: Option<&Step>, limit: Duration) -> Step {
    let cause = needed.and_then(|needed| match needed.status {
        Status::Failed => Some(needed.name.clone()),
        _ => needed.because.clone(),
    });
    match cause {
        Some(cause) => Step {
            because: Some(cause.clone()),
            ..Step::new(
                name,
                Status::Skipped,
                format!("not tested, because {cause} failed"),
            )
        },
        None => Step::failed(
            name,
            &Error::new(
                ErrorKind::Unreachable,
                format!("not finished within {}", Seconds(limit)),
            )
            .hint("allow more time with --deadline"),
        ),
    }
}
