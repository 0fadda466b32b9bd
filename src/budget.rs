//! The time budget of a whole command, shared by all its waits.
//!
//! Every wait for another system goes through [`Budget::wait`]: it ends at the deadline, its error names what was
//! waited for and for how long, and while it lasts this is reported every ten seconds.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::clock::text::Seconds;
use crate::error::{Error, ErrorKind, Result};

/// How often a wait is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// What may still be recorded after the deadline: the answers of the last messages, the end of a run.
const GRACE: Duration = Duration::from_millis(500);

/// A command's time limit and its start. Clones share the list of what is waited for.
#[derive(Debug, Clone)]
pub struct Budget {
    started: Instant,
    /// The limit of the whole; of a step, where the whole has none.
    total: Duration,
    is_open: bool,
    waits: Arc<Waits>,
}

/// Receives the report of a wait.
pub type WaitListener = Box<dyn Fn(&str) + Send + Sync>;

#[derive(Default)]
struct Waits {
    present: Mutex<Vec<Wait>>,
    /// The longest wait that is over.
    longest: Mutex<Option<(Arc<str>, Duration)>>,
    listener: OnceLock<WaitListener>,
    last_report: Mutex<Option<Instant>>,
}

#[derive(Clone)]
struct Wait {
    what: Arc<str>,
    since: Instant,
}

impl Budget {
    /// Returns a budget that starts now.
    pub fn start(total: Duration) -> Self {
        Self {
            started: Instant::now(),
            total,
            is_open: false,
            waits: Arc::default(),
        }
    }

    /// Returns a budget without an end, for work that waits for its time: each step may take `step`.
    pub fn open(step: Duration) -> Self {
        Self {
            is_open: true,
            ..Self::start(step)
        }
    }

    /// Returns the budget of a step that starts now and takes at most `most`.
    #[must_use]
    pub fn step(&self, most: Duration) -> Self {
        Self {
            started: Instant::now(),
            total: self.left().min(most),
            is_open: false,
            waits: Arc::clone(&self.waits),
        }
    }

    /// Returns the same budget without an end.
    #[must_use]
    pub fn without_end(self) -> Self {
        Self {
            is_open: true,
            ..self
        }
    }

    /// Sets who is told about long waits; the first listener is kept.
    pub fn report_to(&self, listener: WaitListener) {
        let _ = self.waits.listener.set(listener);
    }

    pub fn total(&self) -> Duration {
        self.total
    }

    /// Returns the elapsed time.
    pub fn spent(&self) -> Duration {
        self.started.elapsed()
    }

    /// Returns the remaining time; zero after the end. Without an end, that of a step.
    pub fn left(&self) -> Duration {
        if self.is_open {
            return self.total;
        }
        self.total.saturating_sub(self.spent())
    }

    /// Returns the instant at which it ends; without an end, that of a step that starts now.
    pub fn end(&self) -> Instant {
        self.deadline()
            .unwrap_or_else(|| Instant::now() + self.total)
    }

    /// Returns the instant at which the whole ends, if it does.
    pub fn deadline(&self) -> Option<Instant> {
        (!self.is_open).then(|| self.started + self.total)
    }

    /// Awaits `work`, which another system carries out: until the budget ends, and with reports.
    ///
    /// # Errors
    /// The budget ended: the error names `what` and how long it was waited for.
    pub fn wait<'a, T: 'a>(
        &'a self,
        what: impl Into<Arc<str>>,
        work: impl Future<Output = Result<T>> + 'a,
    ) -> impl Future<Output = Result<T>> + 'a {
        self.wait_until(self.end(), what.into(), Box::pin(work))
    }

    /// Like [`Budget::wait`], with time to record the end of the work after the deadline.
    pub fn wait_with_grace<'a, T: 'a>(
        &'a self,
        what: impl Into<Arc<str>>,
        work: impl Future<Output = Result<T>> + 'a,
    ) -> impl Future<Output = Result<T>> + 'a {
        self.wait_until(self.end() + GRACE, what.into(), Box::pin(work))
    }

    async fn wait_until<T, F: Future<Output = Result<T>>>(
        &self,
        end: Instant,
        what: Arc<str>,
        work: Pin<Box<F>>,
    ) -> Result<T> {
        let since = Instant::now();
        let wait = Wait { what, since };
        tokio::select! {
            biased;
            done = self.watched(wait.clone(), || true, work) => done,
            () = sleep_until(end) => Err(self.expired(Some(&wait))),
        }
    }

    /// Awaits `work`, and reports every ten seconds that it is waited for, if `is_idle` says so.
    pub fn watch<'a, T: 'a>(
        &'a self,
        what: impl Into<Arc<str>>,
        is_idle: impl Fn() -> bool + 'a,
        work: impl Future<Output = T> + 'a,
    ) -> impl Future<Output = T> + 'a {
        let (what, since) = (what.into(), Instant::now());
        self.watched(Wait { what, since }, is_idle, Box::pin(work))
    }

    /// `work` is boxed, because the futures of most commands contain many waits.
    async fn watched<T, F: Future<Output = T>>(
        &self,
        wait: Wait,
        is_idle: impl Fn() -> bool,
        mut work: Pin<Box<F>>,
    ) -> T {
        let _present = Present::enter(&self.waits, wait.clone());
        let mut report = wait.since + REPORT_INTERVAL;
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                () = sleep_until(report) => {
                    if is_idle() {
                        self.waits.report(&wait);
                    }
                    report += REPORT_INTERVAL;
                }
            }
        }
    }

    /// Returns after the end, and the time to record it, with the error of a command that did not end by itself.
    pub async fn overrun(&self) -> Error {
        match self.deadline() {
            Some(end) => sleep_until(end + GRACE + GRACE / 2).await,
            None => std::future::pending().await,
        }
        self.out_of_time()
    }

    /// Says what the time was spent on, if one wait took much of it.
    pub fn spent_on(&self) -> String {
        match &*lock(&self.waits.longest) {
            Some((what, took)) if *took * 4 > self.spent() => {
                format!(": {} of it went by waiting for {what}", Seconds(*took))
            }
            _ => String::new(),
        }
    }

    /// Returns the error of an ended budget. It names what is waited for.
    pub fn out_of_time(&self) -> Error {
        let present = lock(&self.waits.present);
        let longest = present.iter().min_by_key(|wait| wait.since).cloned();
        drop(present);
        self.expired(longest.as_ref())
    }

    fn expired(&self, wait: Option<&Wait>) -> Error {
        let waited = wait.map_or_else(String::new, |wait| {
            let time = Seconds(wait.since.elapsed());
            format!(", after {time} of waiting for {}", wait.what)
        });
        let message = format!("the deadline of {} has passed{waited}", Seconds(self.total));
        Error::new(ErrorKind::Unreachable, message).hint("allow more time with --deadline")
    }
}

impl Waits {
    /// Reports a wait, unless another was reported a moment ago.
    fn report(&self, wait: &Wait) {
        let now = Instant::now();
        let mut last = lock(&self.last_report);
        if last.is_some_and(|last| now - last < REPORT_INTERVAL * 9 / 10) {
            return;
        }
        *last = Some(now);
        drop(last);
        if let Some(listener) = self.listener.get() {
            let seconds = wait.since.elapsed().as_secs();
            listener(&format!("waiting for {}: {seconds} s", wait.what));
        }
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let present = lock(&self.present);
        out.debug_list()
            .entries(present.iter().map(|wait| &wait.what))
            .finish()
    }
}

/// A wait in the list of what is waited for; it leaves the list when dropped.
struct Present<'a> {
    waits: &'a Waits,
    wait: Wait,
}

impl<'a> Present<'a> {
    fn enter(waits: &'a Waits, wait: Wait) -> Self {
        lock(&waits.present).push(wait.clone());
        Self { waits, wait }
    }
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        let mut present = lock(&self.waits.present);
        let took = self.wait.since.elapsed();
        let mut longest = lock(&self.waits.longest);
        if longest.as_ref().is_none_or(|(_, longest)| took > *longest) {
            *longest = Some((Arc::clone(&self.wait.what), took));
        }
        drop(longest);
        let same =
            |one: &Wait| Arc::ptr_eq(&one.what, &self.wait.what) && one.since == self.wait.since;
        if let Some(place) = present.iter().position(same) {
            present.swap_remove(place);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_is_reported_every_ten_seconds_and_its_error_names_it() {
        let budget = Budget::start(Duration::from_secs(35));
        let reports: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&reports);
        budget.report_to(Box::new(move |text| lock(&heard).push(text.to_owned())));
        let never = std::future::pending::<Result<()>>();
        // The wait within the wait is not reported a second time.
        let nested = budget.watch("its answer", || true, never);
        let error = budget.wait("the state store", nested).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the deadline of 35 s has passed, after 35 s of waiting for the state store"
        );
        let said = lock(&reports).clone();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[2].ends_with(": 30 s"), "{said:?}");
        assert!(lock(&budget.waits.present).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_without_an_end_limits_each_step() {
        let budget = Budget::open(Duration::from_secs(10));
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(budget.left(), Duration::from_secs(10));
        assert_eq!(budget.deadline(), None);
        let step = budget.step(Duration::MAX);
        tokio::time::sleep(Duration::from_secs(4)).await;
        assert_eq!(step.left(), Duration::from_secs(6));
        assert!(step.deadline().is_some());
    }
}
