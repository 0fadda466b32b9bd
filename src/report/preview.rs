//! The text report of `preview`: each sample as phones show it.

use unicode_width::UnicodeWidthStr as _;

use super::{counted, number};
use crate::delivery::phone::{Cut, Phone};
use crate::delivery::preview::Sample;
use crate::template::push::MAX_PAYLOAD;
use crate::ui::{Painter, Style};

/// Stands for the name that the phone shows, which a message does not contain.
const APP: &str = "YOUR APP";

/// Renders a sample: its texts whole, and its notification on each platform.
pub fn sample(sample: &Sample, pen: Painter) -> String {
    let Sample {
        line,
        offset: _,
        user_id,
        variant,
        kind,
        title,
        body,
        deep_link,
        image,
        bytes,
        phones,
    } = sample;
    let variant = variant.as_ref().map(|name| format!(", variant {name}"));
    let head = format!(
        "{kind}: line {line}, {user_id}{}, {bytes} of {MAX_PAYLOAD} bytes",
        variant.unwrap_or_default()
    );
    let mut lines = vec![
        pen.write(Style::Faint, &head),
        format!("  {}", pen.write(Style::Strong, title)),
        format!("  {body}"),
    ];
    lines.extend(deep_link.iter().map(|link| format!("  {link}")));
    lines.extend(image.iter().map(|image| format!("  image: {image}")));
    for phone in phones {
        lines.extend(notification(phone, pen));
    }
    lines.join("\n")
}

/// Draws a collapsed notification, with the lengths below it.
fn notification(phone: &Phone, pen: Painter) -> Vec<String> {
    let name = phone.platform;
    let rule = |columns: usize| "─".repeat(columns);
    let mut lines = vec![format!(
        "  ┌─ {name} {}┐",
        rule((phone.width - 1).saturating_sub(name.width()))
    )];
    let mut add = |text: &str, style| {
        let blanks = " ".repeat(phone.width.saturating_sub(text.width()));
        let text = match style {
            Some(style) => pen.write(style, text),
            None => text.to_owned(),
        };
        lines.push(format!("  │ {text}{blanks} │"));
    };
    add(APP, Some(Style::Faint));
    for line in &phone.title.shown {
        add(line, Some(Style::Strong));
    }
    for line in &phone.body.shown {
        add(line, None);
    }
    lines.push(format!("  └{}┘", rule(phone.width + 2)));
    lines.push(format!("    title: {}", length(&phone.title)));
    lines.push(format!("    body: {}", length(&phone.body)));
    lines
}

/// Returns the length of a text, and the one from which the platform cuts it.
fn length(cut: &Cut) -> String {
    let wide = match cut.columns {
        columns if columns > cut.characters => format!(" ({} wide)", number(columns as u64)),
        _ => String::new(),
    };
    let verb = if cut.is_cut { "cut" } else { "whole; cut" };
    let expanded = cut.expanded_limit.map_or_else(String::new, |limit| {
        format!(", expanded after about {limit}")
    });
    format!(
        "{}{wide}, {verb} after about {}{expanded}",
        counted(cut.characters as u64, "characters"),
        cut.limit
    )
}
