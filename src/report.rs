//! What was found and done, in words and pictures: pure functions from results to text, and [`gather`], which collects
//! what is told about a run.

pub mod csv_diff;
pub mod funnel;
pub mod gather;
pub mod html;
pub mod pipeline;
pub mod run;
pub mod send;
pub mod why;

/// A count as people read it: `1,234,567`.
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
