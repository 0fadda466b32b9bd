//! A run, or a list of runs, as one HTML page without scripts, network or fonts. Light or dark as the reader's system.
//!
//! A page's policy forbids every fetch. Every number in it is the JSON document's, which is embedded at its end.
//! Every colour stands beside its word.

mod charts;
mod history;
mod list;
mod tables;

use std::fmt::Write as _;

use serde_json::Value;

use super::number;
use super::run::{Outcome, RunReport, span};
use crate::snippet::visible;

pub use list::{ListedRun, page as list_page};

const STYLE: &str = include_str!("html/style.css");

pub fn page(report: &RunReport) -> String {
    let title = format!(
        "{} · {} · {}",
        report.automation,
        report.standing(),
        report.occurrence
    );
    let sections = [
        cancel(report),
        errors(report),
        numbers(report),
        tables::phases(report),
        tables::funnel(report),
        tables::pushes(report),
        tables::reasons(report),
        charts::rate(report),
    ];
    let document = Page {
        title,
        run: Some(&report.run),
        body: format!("{}<main>\n{}</main>", head(report), sections.concat()),
        zone: report.zone.as_deref().unwrap_or("UTC"),
        data: ("run", report.document()),
    };
    document.html()
}

/// The parts of a page that differ.
struct Page<'a> {
    title: String,
    /// The run that the page shows, if it shows one.
    run: Option<&'a str>,
    /// Header and main element, escaped.
    body: String,
    /// The time zone in the footer.
    zone: &'a str,
    /// The id and the content of the embedded JSON document.
    data: (&'static str, Value),
}

impl Page<'_> {
    fn html(self) -> String {
        let Self {
            title,
            run,
            body,
            zone,
            data: (id, data),
        } = self;
        let run = run.map_or_else(String::new, |run| format!("{RUN_MARK}{}\">\n", text(run)));
        // Inside a script element only `<` could end it.
        let data = data.to_string().replace('<', "\\u003c");
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{run}\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
             <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}\n\
             <footer><p>Made by pushctl {}. Times are {}.</p></footer>\n\
             <script type=\"application/json\" id=\"{id}\">{data}</script>\n</body>\n</html>\n",
            text(&title),
            env!("CARGO_PKG_VERSION"),
            text(zone),
        )
    }
}

/// What precedes the id of the run in the head of its page.
const RUN_MARK: &str = "<meta name=\"pushctl-run\" content=\"";

/// Returns the id of the run that a page shows, from the beginning of the page.
pub fn shown_run(beginning: &str) -> Option<&str> {
    let (_, rest) = beginning.split_once(RUN_MARK)?;
    rest.split_once('"').map(|(run, _)| run)
}

fn head(report: &RunReport) -> String {
    let mut out = format!(
        "<header>\n<h1><bdi>{}</bdi></h1>\n",
        text(&report.automation)
    );
    if let Some(description) = &report.description {
        let _ = writeln!(
            out,
            "<p class=\"quiet\"><bdi>{}</bdi></p>",
            text(description)
        );
    }
    let (status, standing) = (text(&report.status), text(report.standing()));
    let _ = writeln!(
        out,
        "<p class=\"status {status}\">{standing}</p>\n<dl class=\"about\">"
    );
    let mut row = |name: &str, value: &str| {
        let _ = writeln!(out, "<dt>{name}</dt><dd>{value}</dd>");
    };
    row(
        "Occurrence",
        &format!("<code>{}</code>", text(&report.occurrence)),
    );
    row("Run", &format!("<code>{}</code>", text(&report.run)));
    row("Mode", &text(&report.mode));
    for (purpose, command) in report.commands() {
        row(purpose, &format!("<code>{}</code>", text(&command)));
    }
    let begun = report
        .local(report.begun_at)
        .strftime("%A, %-d %B %Y, %H:%M:%S %Z")
        .to_string();
    row(
        "Begun",
        &format!("{} by {}", text(&begun), text(&report.begun_by)),
    );
    if let Some(took) = report.took() {
        row("Took", &span(took));
    }
    for one in &report.overrides.0 {
        row(
            "Overridden guards",
            &format!("<bdi>{}</bdi>", text(&one.to_string())),
        );
    }
    out + "</dl>\n</header>\n"
}

fn cancel(report: &RunReport) -> String {
    let Some(cancel) = &report.cancel else {
        return String::new();
    };
    let at = report.local(cancel.at).strftime("%H:%M:%S").to_string();
    let mut out = format!(
        "<section class=\"notice\">\n<h2>Cancelled by <bdi>{}</bdi> at {at}</h2>\n",
        text(&cancel.who)
    );
    if let Some(reason) = &cancel.reason {
        let _ = writeln!(out, "<p>“<bdi>{}</bdi>”</p>", text(reason));
    }
    let accepted = report
        .totals()
        .get(&Outcome::Accepted)
        .copied()
        .unwrap_or_default();
    let _ = writeln!(
        out,
        "<p>{} of {} pushes were accepted before.</p>",
        number(accepted),
        number(report.rows())
    );
    out + "</section>\n"
}

fn errors(report: &RunReport) -> String {
    if report.errors.is_empty() {
        return String::new();
    }
    let mut out = "<section class=\"errors\">\n<h2>Errors</h2>\n<ul>\n".to_owned();
    for error in &report.errors {
        let at = error
            .at
            .map(|at| report.local(at).strftime("%H:%M:%S").to_string());
        let place: Vec<String> = at
            .into_iter()
            .chain(error.phase.as_deref().map(text))
            .collect();
        let _ = writeln!(
            out,
            "<li><span class=\"quiet\">{}</span> <bdi>{}</bdi></li>",
            place.join(", "),
            text(&error.message)
        );
    }
    out + "</ul>\n</section>\n"
}

fn numbers(report: &RunReport) -> String {
    let totals = report.totals();
    let mut out = "<section>\n<h2>Pushes</h2>\n<dl class=\"numbers\">\n".to_owned();
    let _ = writeln!(
        out,
        "<div><dt>total</dt><dd data-total=\"rows\">{}</dd></div>",
        number(report.rows())
    );
    for outcome in Outcome::ALL {
        let Some(count) = totals.get(&outcome) else {
            continue;
        };
        let key = key(outcome);
        let _ = writeln!(
            out,
            "<div style=\"border-color: var(--{key})\"><dt>{}</dt><dd data-total=\"{key}\">{}</dd></div>",
            outcome.words(),
            number(*count),
        );
    }
    out.push_str("</dl>\n");
    if !report.adds_up() {
        out.push_str(
            "<p class=\"failed\">These numbers do not add up to the rows of the files.</p>\n",
        );
    }
    out + "</section>\n"
}

/// Returns the outcome's name in JSON and in the style sheet.
fn key(outcome: Outcome) -> String {
    let name = serde_json::to_value(outcome).unwrap_or_default();
    name.as_str().unwrap_or_default().to_owned()
}

/// Escapes a text for an element or a quoted attribute.
fn text(text: &str) -> String {
    visible(&text.replace(['\n', '\t'], " "))
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
