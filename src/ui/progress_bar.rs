//! Progress as a bar on a terminal, as a line at the end of each stage elsewhere, and as a line when SIGUSR1 asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};
use tracing::Level;

use crate::progress::Progress;

use super::log::{Fields, Log};
use super::output_mode::{Bars, Loudness};

/// The progress of one piece of work.
pub(super) struct ProgressDisplay {
    lines: Arc<Log>,
    loudness: Loudness,
    unit: &'static str,
    stage: Mutex<Option<ProgressStage>>,
}

/// The stage that is going on. Its bar counts, whether it is drawn or not.
struct ProgressStage {
    name: String,
    bar: ProgressBar,
}

impl ProgressDisplay {
    pub(super) fn new(lines: Arc<Log>, loudness: Loudness, unit: &'static str) -> Self {
        Self {
            lines,
            loudness,
            unit,
            stage: Mutex::new(None),
        }
    }

    /// Says where it stands, to somebody who asked; false if nothing is going on.
    pub(super) fn report(&self) -> bool {
        let stage = self.stage();
        if let Some(stage) = stage.as_ref() {
            self.lines
                .event(Level::INFO, &self.sentence(stage), self.fields(stage));
        }
        stage.is_some()
    }

    fn stage(&self) -> MutexGuard<'_, Option<ProgressStage>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, stage: Option<ProgressStage>) {
        let Some(stage) = stage else { return };
        stage.bar.finish_and_clear();
        self.lines.bars().remove(&stage.bar);
        if self.lines.look().bars == Bars::Off && self.loudness > Loudness::Quiet {
            self.lines
                .event(Level::INFO, &self.sentence(&stage), self.fields(&stage));
        }
    }

    /// `reading layer2: 120,000 of 1,000,000 rows, 45,000/s, 2.7s`.
    fn sentence(&self, stage: &ProgressStage) -> String {
        let elapsed = stage.bar.elapsed();
        let done = stage.bar.position();
        let time = seconds(elapsed);
        if done == 0 && stage.bar.length().is_none() {
            return format!("{}: {time}", stage.name);
        }
        let of = stage
            .bar
            .length()
            .map_or_else(String::new, |total| format!(" of {}", HumanCount(total)));
        let rate = HumanCount(per_second(done, elapsed));
        format!(
            "{}: {}{of} {}, {rate}/s, {time}",
            stage.name,
            HumanCount(done),
            self.unit
        )
    }

    fn fields(&self, stage: &ProgressStage) -> Fields {
        // A person has read it in the sentence; a machine should not have to.
        let mut fields = Fields::new();
        if self.lines.look().line_format == super::output_mode::LineFormat::Json {
            fields.insert("stage".to_owned(), stage.name.clone().into());
            fields.insert(self.unit.to_owned(), stage.bar.position().into());
            fields.insert(
                "elapsed_ms".to_owned(),
                whole_millis(stage.bar.elapsed()).into(),
            );
        }
        fields
    }

    fn style(&self, total: Option<u64>) -> ProgressStyle {
        let unit = self.unit;
        let template = match total {
            Some(_) => {
                "{spinner} {msg} [{bar:24}] {human_pos}/{human_len} {unit} {rate} {elapsed} left {eta}"
            }
            None => "{spinner} {msg}{count} {elapsed}",
        };
        let style = ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        style
            .progress_chars("=> ")
            .with_key(
                "unit",
                move |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = out.write_str(unit);
                },
            )
            .with_key(
                "rate",
                |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = write!(
                        out,
                        "{}/s",
                        HumanCount(per_second(state.pos(), state.elapsed()))
                    );
                },
            )
            .with_key(
                "count",
                move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    if state.pos() > 0 {
                        let rate = HumanCount(per_second(state.pos(), state.elapsed()));
                        let _ = write!(out, " {} {unit} {rate}/s", HumanCount(state.pos()));
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
        let before = self.stage().replace(ProgressStage { name, bar });
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

    fn finish(&self) {
        let last = self.stage().take();
        self.end(last);
    }
}

/// Work that ends in an error takes its bar along.
impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        if let Some(stage) = self.stage().take() {
            stage.bar.finish_and_clear();
        }
    }
}

fn per_second(units: u64, elapsed: Duration) -> u64 {
    let millis = u128::from(whole_millis(elapsed).max(1));
    u64::try_from(u128::from(units) * 1000 / millis).unwrap_or(u64::MAX)
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
    fn a_stage_is_told_in_one_sentence_with_its_count_its_total_and_its_time() {
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
        let meter = ProgressDisplay::new(lines, Loudness::Quiet, "rows");
        let sentence = || {
            let stage = meter.stage();
            let sentence = meter.sentence(stage.as_ref().expect("a stage"));
            // What depends on the clock is not looked at.
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
        meter.advance(999);
        meter.advance(1);
        assert_eq!(sentence(), ["reading", "1,000 rows"]);
        meter.total(Some(2000));
        assert_eq!(sentence(), ["reading", "1,000 of 2,000 rows"]);
        assert!(meter.stage().is_some());
        meter.finish();
        assert!(meter.stage().is_none());
    }
}
