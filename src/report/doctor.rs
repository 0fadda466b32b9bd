//! The steps of `pushctl doctor` in words: a table for a terminal, a line a step for everything else.

use crate::count::counted;
use crate::doctor::report::{Report, Status, Step};
use crate::snippet::visible;
use crate::ui::{Painter, Style, Table};

/// Which steps are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    All,
    /// Only those that failed.
    Failures,
}

impl Shown {
    fn includes(self, step: &Step) -> bool {
        self == Self::All || step.status == Status::Failed
    }
}

/// Returns a table: symbol and step, time, what was seen, and below it what to do next.
pub fn table(
    report: &Report,
    before: Option<&Report>,
    shown: Shown,
    pen: Painter,
    width: Option<usize>,
) -> String {
    let mut table = Table::new(["  STEP", "TIME", "SEEN"]);
    for (section, step) in report.steps().filter(|(_, step)| shown.includes(step)) {
        let symbol = symbol(step.status);
        let mut seen = step.seen.clone();
        if let Some(was) = change(before, section, step) {
            seen = format!("{seen} {was}");
        }
        table.row([
            format!("{symbol} {section} {}", step.name),
            time(step),
            seen,
        ]);
        for hint in &step.hints {
            table.row([String::new(), String::new(), format!("→ {hint}")]);
        }
    }
    let text = table.render(pen, width);
    let mut section = "";
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let of = line.split(' ').nth(1).filter(|_| line.starts_with(SYMBOLS));
        if let Some(of) = of.filter(|of| *of != section) {
            section = of;
            lines.push(String::new());
        }
        lines.push(painted(line, pen));
    }
    lines.join("\n")
}

/// Returns a line for each step, its hints at the end.
pub fn lines(report: &Report, before: Option<&Report>, shown: Shown) -> Vec<String> {
    let line = |(section, step): (&str, &Step)| {
        let time = match time(step) {
            time if time.is_empty() => time,
            time => format!(" ({time})"),
        };
        let change =
            change(before, section, step).map_or_else(String::new, |was| format!(" {was}"));
        let next = if step.hints.is_empty() {
            ""
        } else {
            "; next: "
        };
        let hints = step.hints.join("; ");
        let (word, name) = (word(step.status), &step.name);
        visible(&format!(
            "{word}: {section} {name}{time}: {}{change}{next}{hints}",
            step.seen
        ))
    };
    report
        .steps()
        .filter(|(_, step)| shown.includes(step))
        .map(line)
        .collect()
}

/// Returns the counts in one sentence.
pub fn counts(report: &Report) -> String {
    let counts = report.counts;
    let named = [
        (counts.ok, "ok"),
        (counts.warning, "with a warning"),
        (counts.failed, "failed"),
        (counts.skipped, "skipped"),
    ];
    let total: usize = named.iter().map(|(count, _)| count).sum();
    let parts = named.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = parts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let seconds = report.ms / 1000.0;
    let steps = counted(total as u64, "steps");
    format!("{steps} in {seconds:.1} s: {}", parts.join(", "))
}

const SYMBOLS: [char; 4] = ['✓', '!', '✗', '-'];

fn symbol(status: Status) -> char {
    match status {
        Status::Ok => SYMBOLS[0],
        Status::Warning => SYMBOLS[1],
        Status::Failed => SYMBOLS[2],
        Status::Skipped => SYMBOLS[3],
    }
}

fn word(status: Status) -> &'static str {
    match status {
        Status::Ok => "ok",
        Status::Warning => "warning",
        Status::Failed => "failed",
        Status::Skipped => "skipped",
    }
}

/// Returns the status of the round before, if it was another.
fn change(before: Option<&Report>, section: &str, step: &Step) -> Option<String> {
    let mut steps = before?.steps();
    let same = |(of, old): &(&str, &Step)| *of == section && old.name == step.name;
    match steps.find(same) {
        Some((_, old)) if old.status == step.status => None,
        Some((_, old)) => Some(format!("(changed: was {})", word(old.status))),
        None => Some("(changed: new)".to_owned()),
    }
}

fn painted(line: &str, pen: Painter) -> String {
    let mut rest = line.chars();
    let style = match rest.next() {
        Some('✓') => Style::Good,
        Some('!') => Style::Doubtful,
        Some('✗') => Style::Bad,
        Some('-') => return pen.write(Style::Faint, line),
        _ => {
            let Some((before, hint)) = line.split_once('→') else {
                return line.to_owned();
            };
            return format!("{before}{}", pen.write(Style::Advice, &format!("→{hint}")));
        }
    };
    let symbol = &line[..line.len() - rest.as_str().len()];
    format!("{}{}", pen.write(style, symbol), rest.as_str())
}

fn time(step: &Step) -> String {
    match step.ms {
        None => String::new(),
        Some(ms) if ms < 1000.0 => format!("{ms:.1} ms"),
        Some(ms) => format!("{:.1} s", ms / 1000.0),
    }
}
