//! Gathers the metrics of all automations from the state store: those of other processes are among them.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::metrics::Metric;
use super::records::Records;
use crate::delivery::Summary;
use crate::error::Result;
use crate::exit::ExitStatus;
use crate::pipeline::Mode;
use crate::state::{Run, RunFilter, RunStatus, Store};

/// Runs that are read to find the last one, and the last successful one, of an automation.
const RECENT: u32 = 50;

/// The metrics of one file.
struct Metrics {
    runs: Metric,
    open: Metric,
    phases: Metric,
    outcomes: Metric,
    rate: Metric,
    audience: Metric,
    last_run: Metric,
    last_success: Metric,
}

/// Returns the metrics of the state store, and the exit status of a command.
pub async fn metrics(
    store: &Store,
    (command, status): (&str, ExitStatus),
    now: Timestamp,
) -> Result<Vec<Metric>> {
    let mut metrics = Metrics::new();
    for ((automation, status), count) in store.live_run_counts().await? {
        let name = ("automation", &*automation);
        match status {
            RunStatus::Open => metrics.open.add(&[name], float(count)),
            ended => {
                let labels = [name, ("status", ended.as_str())];
                metrics.runs.add(&labels, float(count));
            }
        }
    }
    for automation in store.automations().await? {
        metrics.add_last_run(store, &automation).await?;
        metrics.add_last_success(store, &automation).await?;
    }
    let mut undelivered = Metric::gauge(
        "pushctl_undelivered_notices",
        "Notices and heartbeats that wait in the state store for another attempt",
    );
    undelivered.add(&[], float(store.queued_notice_count().await?));
    let mut exit = Metric::gauge("pushctl_exit_status", "Exit status of the command");
    exit.add(&[("command", command)], f64::from(status.code()));
    let mut end = Metric::gauge(
        "pushctl_end_timestamp_seconds",
        "When the command ended, in seconds since 1970",
    );
    end.add(&[("command", command)], seconds(now));
    let mut all = metrics.into_list();
    all.extend([undelivered, exit, end]);
    Ok(all)
}

impl Metrics {
    fn new() -> Self {
        Self {
            runs: Metric::gauge(
                "pushctl_runs",
                "Live runs in the state store that are over, by their final status",
            ),
            open: Metric::gauge(
                "pushctl_open_runs",
                "Live runs that are under way, wait or were interrupted",
            ),
            phases: Metric::gauge(
                "pushctl_last_run_phase_duration_seconds",
                "Time in each phase of the last live run that is over, all attempts together",
            ),
            outcomes: Metric::gauge(
                "pushctl_last_run_recipients",
                "Rows of the last live run that is over, by push and outcome",
            ),
            rate: Metric::gauge(
                "pushctl_last_run_messages_per_second",
                "Answers a second of the last live run that is over, by push",
            ),
            audience: Metric::gauge(
                "pushctl_last_run_audience_rows",
                "Rows of each audience file of the last live run that is over",
            ),
            last_run: Metric::gauge(
                "pushctl_last_run_timestamp_seconds",
                "When the last live run ended, in seconds since 1970",
            ),
            last_success: Metric::gauge(
                "pushctl_last_success_timestamp_seconds",
                "When the last live run ended that completed and reached a recipient, in seconds since 1970",
            ),
        }
    }

    fn into_list(self) -> Vec<Metric> {
        vec![
            self.runs,
            self.open,
            self.phases,
            self.outcomes,
            self.rate,
            self.audience,
            self.last_run,
            self.last_success,
        ]
    }

    async fn add_last_run(&mut self, store: &Store, automation: &str) -> Result<()> {
        let filter = filter(automation, None);
        let runs = store.runs(&filter).await?.into_iter();
        let ended = runs.filter_map(|run| Some((live_end(&run)?, run)));
        let Some((ended_at, run)) = ended.max_by_key(|(at, _)| *at) else {
            return Ok(());
        };
        let name = ("automation", automation);
        self.last_run.add(&[name], seconds(ended_at));
        let phases = store.phases(&run.id).await?;
        let mut durations: BTreeMap<&str, f64> = BTreeMap::new();
        for phase in &phases {
            if let Some(end) = phase.ended_at {
                let took = end.duration_since(phase.begun_at).as_secs_f64();
                *durations.entry(&phase.phase).or_default() += took;
            }
        }
        for (phase, took) in durations {
            self.phases.add(&[name, ("phase", phase)], took);
        }
        let records = Records::of(&run, &phases);
        for push in records.push_summaries() {
            let number = push.push.to_string();
            let number = ("push", &*number);
            for (outcome, count) in Summary::OUTCOMES {
                let labels = [name, number, ("outcome", outcome)];
                self.outcomes.add(&labels, float(count(&push)));
            }
            self.rate.add(&[name, number], push.messages_per_second);
        }
        let mut rows: BTreeMap<String, u64> = BTreeMap::new();
        for file in records.files() {
            rows.insert(file.stem, file.rows.unwrap_or_default());
        }
        for (file, rows) in rows {
            self.audience.add(&[name, ("file", &file)], float(rows));
        }
        Ok(())
    }

    async fn add_last_success(&mut self, store: &Store, automation: &str) -> Result<()> {
        let mut last = None;
        for status in [RunStatus::Done, RunStatus::Partial] {
            let filter = filter(automation, Some(status));
            for run in store.runs(&filter).await? {
                let records = Records::of(&run, &[]);
                let reached = records
                    .push_summaries()
                    .iter()
                    .any(|push| push.accepted > 0);
                last = last.max(live_end(&run).filter(|_| reached));
            }
        }
        if let Some(at) = last {
            let name = ("automation", automation);
            self.last_success.add(&[name], seconds(at));
        }
        Ok(())
    }
}

fn filter(automation: &str, status: Option<RunStatus>) -> RunFilter {
    RunFilter {
        automation: Some(automation.to_owned()),
        status,
        limit: RECENT,
        ..RunFilter::default()
    }
}

/// Returns when a live run ended.
fn live_end(run: &Run) -> Option<Timestamp> {
    run.ended_at.filter(|_| run.mode == Mode::LiveSend.as_str())
}

fn seconds(at: Timestamp) -> f64 {
    at.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64()
}

/// Counts are far below the integers that a floating-point number cannot hold.
fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}
