//! Progress as a bar on a terminal, as a line at the end of each stage elsewhere, and as a line when SIGUSR1 asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use tracing::Level;

use crate::count::{SHORTEST, counted, per_second, rate, unit};
use crate::progress::Progress;

use super::log::{Fields, Log};
use super::output_mode::{Bars, Loudness};

/// The progress of one piece of work.
pub(super) struct ProgressDisplay {
    lines: Arc<Log>,
    loudness: Loudness,
    unit: &'static str,
    /// Whether the end of a stage is logged where no bar is drawn.
    ends: Ends,
    stage: Mutex<Option<ProgressStage>>,
}

/// The log at the end of a stage, where no bar is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// A line with its count and its time.
    Logged,
    /// Nothing.
    Silent,
}

/// The current stage. Its bar counts even if it is not drawn.
struct ProgressStage {
    name: String,
    bar: ProgressBar,
    /// Text after the numbers: `3 failed, 2 in doubt`.
    detail: String,
}

impl ProgressDisplay {
    pub(super) fn new(lines: Arc<Log>, loudness: Loudness, unit: &'static str, ends: Ends) -> Self {
        Self {
            lines,
            loudness,
            unit,
            ends,
            stage: Mutex::new(None),
        }
    }

    /// Logs the progress; returns false if no stage is in progress.
    pub(super) fn report(&self) -> bool {
        let stage = self.stage();
        if let Some(stage) = stage.as_ref() {
            self.lines
                .event(Level::INFO, &self.sentence(stage), self.fields(stage));
        }
        stage.is_some()
    }

    /// Shows a wait beside the bar, until the next detail; returns false if no bar is drawn.
    pub(super) fn show_wait(&self, text: &str) -> bool {
        let stage = self.stage();
        let drawn = stage
            .as_ref()
            .filter(|_| self.lines.look().bars == Bars::Allowed);
        if let Some(stage) = drawn {
            stage.bar.set_prefix(format!(", {text}"));
        }
        drawn.is_some()
    }

    fn stage(&self) -> MutexGuard<'_, Option<ProgressStage>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, stage: Option<ProgressStage>) {
        let Some(stage) = stage else { return };
        // Before the bar ends, because a finished bar counts as full.
        let (sentence, fields) = (self.sentence(&stage), self.fields(&stage));
        stage.bar.finish_and_clear();
        self.lines.bars().remove(&stage.bar);
        let is_logged = self.ends == Ends::Logged && self.loudness > Loudness::Quiet;
        if self.lines.look().bars == Bars::Off && is_logged {
            self.lines.event(Level::INFO, &sentence, fields);
        }
    }

    /// Returns the progress in a sentence: `sending: 120,000 of 1,000,000 rows, 4,500/s, 26.7s, 3 failed`.
    fn sentence(&self, stage: &ProgressStage) -> String {
        let elapsed = stage.bar.elapsed();
        let done = stage.bar.position();
        let mut parts = Vec::new();
        match stage.bar.length() {
            Some(total) => parts.push(format!(
                "{} of {}",
                HumanCount(done),
                counted(total, self.unit)
            )),
            None if done > 0 => parts.push(counted(done, self.unit)),
            None => {}
        }
        parts.extend(per_second(done, elapsed).map(|each| format!("{}/s", rate(each))));
        parts.push(seconds(elapsed));
        if !stage.detail.is_empty() {
            parts.push(stage.detail.clone());
        }
        format!("{}: {}", stage.name, parts.join(", "))
    }

    fn fields(&self, stage: &ProgressStage) -> Fields {
        // Programs get the numbers as fields.
        let mut fields = Fields::new();
        if self.lines.look().line_format == super::output_mode::LineFormat::Json {
            fields.insert("stage".to_owned(), stage.name.clone().into());
            fields.insert(self.unit.to_owned(), stage.bar.position().into());
            if let Some(total) = stage.bar.length() {
                fields.insert("total".to_owned(), total.into());
            }
            fields.insert(
                "elapsed_ms".to_owned(),
                whole_millis(stage.bar.elapsed()).into(),
            );
        }
        fields
    }

    fn style(&self, total: Option<u64>) -> ProgressStyle {
        let units = self.unit;
        let template = match total {
            Some(_) => {
                "{spinner} {msg} [{bar:24}] {human_pos}/{human_len} {unit}{rate} {elapsed}{left}{prefix}"
            }
            None => "{spinner} {msg}{count}{rate} {elapsed}{prefix}",
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        style
            .progress_chars("=> ")
            .with_key(
                "unit",
                move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = out.write_str(unit(state.len().unwrap_or_default(), units));
                },
            )
            .with_key(
                "rate",
                |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    if let Some(each) = per_second(state.pos(), state.elapsed()) {
                        let _ = write!(out, " {}/s", rate(each));
                    }
                },
            )
            .with_key(
                "left",
                |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    // Before the first unit the time left is unknown, and "0s" would be wrong.
                    if state.pos() > 0 && state.elapsed() >= SHORTEST {
                        let _ = write!(out, " left {:#}", HumanDuration(state.eta()));
                    }
                },
            )
            .with_key(
                "count",
                move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    if state.pos() > 0 {
                        let _ = write!(out, " {}", counted(state.pos(), units));
                    }
                },
            )
    }
}

impl Progress for ProgressDisplay {
    fn stage(&self, name: &str) {
        let bar = ProgressBar::no_length()
            .with_style(self.style(None))
            .with_message(name.to_owned());
        let bar = self.lines.bars().add(bar);
        if self.lines.look().bars == Bars::Allowed {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        let name = name.to_owned();
        let detail = String::new();
        let before = self.stage().replace(ProgressStage { name, bar, detail });
        self.end(before);
    }

    fn total(&self, units: Option<u64>) {
        if let Some(stage) = self.stage().as_ref() {
            stage.bar.set_style(self.style(units));
            match units {
                Some(units) => stage.bar.set_length(units),
                None => stage.bar.unset_length(),
            }
        }
    }

    fn advance(&self, units: u64) {
        if let Some(stage) = self.stage().as_ref() {
            stage.bar.inc(units);
        }
    }

    fn note(&self, text: &str) {
        if self.loudness > Loudness::Quiet {
            self.lines.event(Level::INFO, text, Fields::new());
        }
    }

    fn detail(&self, text: &str) {
        if let Some(stage) = self.stage().as_mut() {
            text.clone_into(&mut stage.detail);
            let shown = match text {
                "" => String::new(),
                text => format!(", {text}"),
            };
            stage.bar.set_prefix(shown);
        }
    }

    fn finish(&self) {
        let last = self.stage().take();
        self.end(last);
    }
}

/// Removes the bar of work that ends in an error.
impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        if let Some(stage) = self.stage().take() {
            stage.bar.finish_and_clear();
        }
    }
}

fn whole_millis(elapsed: Duration) -> u64 {
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

fn seconds(elapsed: Duration) -> String {
    format!("{:.1}s", elapsed.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::settings::logging::Color;
    use crate::ui::output_mode::{OutputArgs, OutputMode, Terminal};

    #[test]
    fn a_stage_is_logged_in_one_sentence_with_its_count_its_total_and_its_time() {
        let facts = Terminal {
            stdout_is_terminal: false,
            stderr_is_terminal: false,
            dumb: false,
            color: Color::Never,
            width: None,
        };
        let lines = Arc::new(Log::new(
            OutputMode::decide(OutputArgs::default(), &facts),
            Uuid::nil(),
        ));
        let meter = ProgressDisplay::new(lines, Loudness::Quiet, "rows", Ends::Logged);
        let sentence = || {
            let stage = meter.stage();
            let sentence = meter.sentence(stage.as_ref().expect("a stage"));
            // The parts that depend on the clock are not compared.
            sentence
                .split(", ")
                .next()
                .unwrap_or_default()
                .split(": ")
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        Progress::stage(&meter, "connecting");
        assert_eq!(sentence()[0], "connecting");
        assert!(sentence()[1].ends_with('s'), "{:?}", sentence());
        Progress::stage(&meter, "reading");
        meter.advance(1);
        assert_eq!(sentence(), ["reading", "1 row"]);
        meter.advance(999);
        assert_eq!(sentence(), ["reading", "1,000 rows"]);
        meter.total(Some(2000));
        assert_eq!(sentence(), ["reading", "1,000 of 2,000 rows"]);
        meter.detail("3 failed");
        let whole = meter.sentence(meter.stage().as_ref().expect("a stage"));
        assert!(whole.ends_with("s, 3 failed"), "{whole}");
        // Within milliseconds there is no rate.
        assert!(!whole.contains("/s"), "{whole}");
        assert!(meter.stage().is_some());
        meter.finish();
        assert!(meter.stage().is_none());
    }
}
