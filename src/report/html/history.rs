//! Small charts of an automation's runs, oldest first: a column a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::SignedDuration;

use super::text;
use crate::report::number;
use crate::report::run::{Outcome, RunReport, span};

/// Columns of a chart; older runs are only in the table.
const COLUMNS: usize = 120;
/// The widest column.
const WIDEST: f64 = 24.0;

const WIDTH: f64 = 320.0;
const HEIGHT: f64 = 96.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 18.0;

/// What a chart shows: its title, its colour, a run's value, and a value as text.
struct Measure {
    title: &'static str,
    color: &'static str,
    value: fn(&RunReport) -> Option<u64>,
    words: fn(u64) -> String,
}

const MEASURES: [Measure; 5] = [
    Measure {
        title: "audience",
        color: "blue",
        value: |report| Some(report.audience()),
        words: number,
    },
    Measure {
        title: "accepted",
        color: "accepted",
        value: |report| Some(total(report, Outcome::Accepted)),
        words: number,
    },
    Measure {
        title: "dead tokens",
        color: "dead",
        value: |report| Some(total(report, Outcome::Dead)),
        words: number,
    },
    Measure {
        title: "excluded by cadence",
        color: "excluded",
        value: |report| Some(total(report, Outcome::Excluded)),
        words: number,
    },
    Measure {
        title: "duration",
        color: "no_token",
        value: |report| u64::try_from(report.took()?.as_secs()).ok(),
        words: seconds,
    },
];

/// Returns charts for each automation that has several runs. `reports` is newest first.
pub(super) fn charts(reports: &[&RunReport]) -> String {
    let mut automations: BTreeMap<&str, Vec<&RunReport>> = BTreeMap::new();
    for report in reports {
        let runs = automations.entry(&report.automation).or_default();
        if runs.len() < COLUMNS {
            runs.push(report);
        }
    }
    let mut out = String::new();
    for (name, mut runs) in automations.into_iter().filter(|(_, runs)| runs.len() > 1) {
        runs.reverse();
        let charts: String = MEASURES
            .iter()
            .map(|measure| measure.chart(&runs))
            .collect();
        let legend = if runs.iter().any(|run| !is_live(run)) {
            "<p class=\"quiet\">Paler columns are runs that were not live.</p>\n"
        } else {
            ""
        };
        let _ = write!(
            out,
            "<section>\n<h2><bdi>{}</bdi></h2>\n<div class=\"charts\">\n{charts}</div>\n{legend}</section>\n",
            text(name)
        );
    }
    out
}

impl Measure {
    #[expect(clippy::cast_precision_loss, reason = "the height of a column")]
    fn chart(&self, runs: &[&RunReport]) -> String {
        let mut values = runs.iter().filter_map(|run| (self.value)(run));
        let most = values.clone().max().unwrap_or_default();
        let top = most.max(1) as f64;
        let step = (WIDTH / runs.len() as f64).min(WIDEST);
        let mut columns = String::new();
        for (place, run) in runs.iter().enumerate() {
            let Some(value) = (self.value)(run) else {
                continue;
            };
            let height = (HEIGHT - TOP - BOTTOM) * value as f64 / top;
            let _ = writeln!(
                columns,
                "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"{}><title>{}: {}</title></rect>",
                place as f64 * step,
                HEIGHT - BOTTOM - height,
                step * 0.8,
                if is_live(run) { "" } else { " opacity=\"0.4\"" },
                text(&day(run)),
                (self.words)(value),
            );
        }
        let latest = values
            .next_back()
            .map_or_else(|| "none".to_owned(), self.words);
        let spoken = format!(
            "{}: latest {latest}, at most {}",
            self.title,
            (self.words)(most)
        );
        let floor = HEIGHT - BOTTOM + 0.5;
        format!(
            "<figure>\n<figcaption>{}<b>{latest}</b></figcaption>\n\
             <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{spoken}\" fill=\"var(--{})\">\n{columns}\
             <line x1=\"0\" x2=\"{WIDTH}\" y1=\"{floor}\" y2=\"{floor}\"/>\n\
             <text x=\"{WIDTH}\" y=\"12\" text-anchor=\"end\">at most {}</text>\n\
             <text x=\"0\" y=\"{}\">{} – {}</text>\n</svg>\n</figure>\n",
            self.title,
            self.color,
            (self.words)(most),
            HEIGHT - 4.0,
            runs.first().map(|run| day(run)).unwrap_or_default(),
            runs.last().map(|run| day(run)).unwrap_or_default(),
        )
    }
}

fn total(report: &RunReport, outcome: Outcome) -> u64 {
    report.totals().get(&outcome).copied().unwrap_or_default()
}

fn seconds(seconds: u64) -> String {
    span(SignedDuration::from_secs(
        seconds.try_into().unwrap_or(i64::MAX),
    ))
}

fn day(report: &RunReport) -> String {
    let begun = report.local(report.begun_at);
    begun.strftime("%-d %b %H:%M").to_string()
}

fn is_live(report: &RunReport) -> bool {
    report.mode == "live-send"
}
