//! The send rate over time: a chart for each stretch of sending.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::report::number;
use crate::report::run::{RatePoint, RunReport};

/// Seconds without an answer after which another stretch begins: the delay before the next push.
const PAUSE: i64 = 60;

/// Columns of a chart; a longer stretch shows the mean of several seconds in each.
const COLUMNS: usize = 240;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 180.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;

/// Charts of all stretches.
pub(super) fn rate(report: &RunReport) -> String {
    if report.rate.is_empty() {
        return String::new();
    }
    let mut points = report.rate.clone();
    points.sort_by_key(|point| point.at);
    let mut out = "<section>\n<h2>Send rate</h2>\n".to_owned();
    for stretch in points.chunk_by(|one, next| next.at.as_second() - one.at.as_second() <= PAUSE) {
        out.push_str(&Chart::of(stretch).figure(report));
    }
    out + "</section>\n"
}

/// One stretch: means a second, in columns of so many seconds.
struct Chart {
    from: Timestamp,
    seconds: usize,
    step: usize,
    columns: Vec<(f64, f64)>,
    sums: (u64, u64),
    peak: RatePoint,
}

impl Chart {
    #[expect(clippy::cast_precision_loss, reason = "the height of a column")]
    fn of(stretch: &[RatePoint]) -> Self {
        let from = stretch[0].at;
        let second = |point: &RatePoint| {
            usize::try_from(point.at.as_second() - from.as_second()).unwrap_or_default()
        };
        let seconds = second(&stretch[stretch.len() - 1]) + 1;
        let step = seconds.div_ceil(COLUMNS);
        let mut columns = vec![(0.0, 0.0); seconds.div_ceil(step)];
        for point in stretch {
            let index = second(point) / step;
            // The last column may have fewer seconds than the others.
            let length = step.min(seconds - index * step) as f64;
            columns[index].0 += point.accepted as f64 / length;
            columns[index].1 += point.other as f64 / length;
        }
        let all = |point: &RatePoint| point.accepted + point.other;
        let peak = stretch
            .iter()
            .max_by_key(|point| all(point))
            .unwrap_or(&stretch[0]);
        Self {
            from,
            seconds,
            step,
            columns,
            sums: stretch.iter().fold((0, 0), |sums, point| {
                (sums.0 + point.accepted, sums.1 + point.other)
            }),
            peak: *peak,
        }
    }

    fn figure(&self, report: &RunReport) -> String {
        let clock = |at: Timestamp| report.local(at).strftime("%H:%M:%S").to_string();
        let peak = self.peak.accepted + self.peak.other;
        let (accepted, other) = self.sums;
        let caption = format!(
            "From {}, {} pushes accepted and {} other answers; at most {} in a second, at {}.{}",
            clock(self.from),
            number(accepted),
            number(other),
            number(peak),
            clock(self.peak.at),
            if self.step > 1 {
                format!(" Each column is the mean of {} seconds.", self.step)
            } else {
                String::new()
            },
        );
        format!(
            "<figure>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{caption}\">\n{}{}</svg>\n<figcaption>{caption}\n\
             <br><i class=\"swatch\" style=\"background: var(--accepted)\"></i>accepted \
             <i class=\"swatch\" style=\"background: var(--failed)\"></i>other answers</figcaption>\n</figure>\n",
            self.axes(report),
            self.areas(),
        )
    }

    fn top(&self) -> f64 {
        let highest = self
            .columns
            .iter()
            .map(|(accepted, other)| accepted + other);
        round_up(highest.fold(1.0, f64::max))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a round number of pushes"
    )]
    #[expect(clippy::cast_precision_loss, reason = "the place of a tick")]
    fn axes(&self, report: &RunReport) -> String {
        let mut out = String::new();
        for quarter in [0.0, 0.5, 1.0] {
            let y = TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - quarter);
            let value = number((self.top() * quarter).round() as u64);
            let _ = writeln!(
                out,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                y + 4.0,
            );
        }
        let last = self.seconds;
        let ticks = if last > 2 {
            vec![(0, "start"), (last / 2, "middle"), (last, "end")]
        } else {
            vec![(0, "start")]
        };
        for (second, anchor) in ticks {
            let x = LEFT + (WIDTH - LEFT - RIGHT) * second as f64 / last as f64;
            let at = Timestamp::from_second(
                self.from.as_second() + i64::try_from(second).unwrap_or_default(),
            )
            .unwrap_or(self.from);
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                HEIGHT - 8.0,
                report.local(at).strftime("%H:%M:%S"),
            );
        }
        out
    }

    /// Draws two stepped areas: accepted from the bottom, the other answers on top of it.
    #[expect(clippy::cast_precision_loss, reason = "the place of a column")]
    fn areas(&self) -> String {
        let (top, floor) = (self.top(), HEIGHT - BOTTOM);
        let height = floor - TOP;
        let x = |second: usize| {
            LEFT + (WIDTH - LEFT - RIGHT) * second.min(self.seconds) as f64 / self.seconds as f64
        };
        let (mut lower, mut upper) = (format!("M{LEFT} {floor}"), String::new());
        for (index, (accepted, other)) in self.columns.iter().enumerate() {
            let (from, to) = (x(index * self.step), x((index + 1) * self.step));
            let y = floor - height * accepted / top;
            let _ = write!(lower, "L{from:.1} {y:.1}L{to:.1} {y:.1}");
            if *other > 0.0 {
                let above = y - height * other / top;
                let _ = write!(upper, "M{from:.1} {y:.1}V{above:.1}H{to:.1}V{y:.1}Z");
            }
        }
        let _ = write!(lower, "L{:.1} {floor}Z", x(self.seconds));
        format!(
            "<path d=\"{lower}\" fill=\"var(--accepted)\"/>\n<path d=\"{upper}\" fill=\"var(--failed)\"/>\n"
        )
    }
}

/// Returns a round number that is not below `value`, and whose half is whole.
fn round_up(value: f64) -> f64 {
    if value <= 10.0 {
        return ((value / 2.0).ceil() * 2.0).max(2.0);
    }
    let magnitude = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0].map(|step| step * magnitude);
    steps
        .into_iter()
        .find(|step| *step >= value)
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::round_up;

    #[test]
    fn the_axis_ends_at_a_round_number_with_a_whole_half() {
        for (value, top) in [
            (0.2, 2.0),
            (1.0, 2.0),
            (3.0, 4.0),
            (10.0, 10.0),
            (10.5, 20.0),
            (227.0, 300.0),
            (999.0, 1000.0),
        ] {
            assert!(
                (round_up(value) - top).abs() < 1e-9,
                "{value}: {}",
                round_up(value)
            );
        }
    }
}
