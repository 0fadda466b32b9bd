//! The funnel as a bar chart, for a terminal or a log.

use super::number;
use crate::audience::funnel::{Funnel, FunnelLine};

/// The width of the shortest bar.
const LEAST_BAR: usize = 10;
/// Eighths of a character cell.
const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

struct Row {
    label: String,
    count: u64,
    note: String,
}

/// Returns one line per stage: its name, the users that remain, a bar, the number that left and the reason. At most
/// `width` characters wide, unless the text alone is wider.
pub fn chart(funnel: &Funnel, width: usize) -> String {
    let rows: Vec<Row> = funnel.lines().into_iter().map(row).collect();
    let longest = |text: fn(&Row) -> usize| rows.iter().map(text).max().unwrap_or(0);
    let label = longest(|row| row.label.chars().count());
    let count = longest(|row| number(row.count).len());
    let note = longest(|row| row.note.chars().count());
    let bar = width
        .saturating_sub(label + count + note + 6)
        .clamp(LEAST_BAR, 40);
    let mut text = String::new();
    for row in &rows {
        let drawn = draw(row.count, funnel.considered, bar);
        let line = format!(
            "{:<label$}  {:>count$}  {drawn:<bar$}  {}",
            row.label,
            number(row.count),
            row.note
        );
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(line: FunnelLine) -> Row {
    let note = match (line.left, line.because) {
        // A stage that lost no user has no reason, unless it counts rows.
        (0, because) if because.starts_with("rows") => because,
        (0, _) => String::new(),
        (left, because) => format!("−{} {because}", number(left)),
    };
    Row {
        label: line.name,
        count: line.count,
        note,
    }
}

fn draw(users: u64, of: u64, cells: usize) -> String {
    if of == 0 {
        return String::new();
    }
    let eighths = u128::from(users) * (cells as u128 * 8) / u128::from(of);
    let eighths = usize::try_from(eighths)
        .unwrap_or(cells * 8)
        .max(usize::from(users > 0));
    let mut bar = "█".repeat(eighths / 8);
    if eighths % 8 > 0 {
        bar.push(EIGHTHS[eighths % 8]);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audience::funnel::StageCount;

    #[test]
    fn a_chart_shows_who_remains_and_why_the_others_left() {
        let funnel = Funnel {
            base: "every user".into(),
            considered: 2000,
            stages: vec![StageCount {
                name: "live".into(),
                because: "deleted account".into(),
                left: 500,
                remain: 1500,
            }],
            passed: 1500,
            in_no_file: 1499,
            in_a_file: 1,
            rows: 1,
            written: Some(1),
        };
        insta::assert_snapshot!(chart(&funnel, 70), @r"
        every user  2,000  █████████████████████████████
        live        1,500  █████████████████████▊         −500 deleted account
        in a file       1  ▏                              −1,499 in no file
        ");
    }
}
