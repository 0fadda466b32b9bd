//! The last runs as one page: how many ended in which way, charts of each automation, and a table.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Page, history, key, tables, text};
use crate::report::run::{Outcome, RunReport, span};
use crate::report::{counted, number};

/// A run in the list.
#[derive(Debug, Clone)]
pub struct ListedRun {
    pub report: RunReport,
    /// The name of its own page in the directory of the list.
    pub page: Option<String>,
}

/// Returns the page of runs, which are given newest first.
pub fn page(runs: &[ListedRun]) -> String {
    let reports: Vec<&RunReport> = runs.iter().map(|one| &one.report).collect();
    let page = Page {
        title: format!("pushctl: {}", counted(runs.len() as u64, "runs")),
        run: None,
        body: format!(
            "{}<main>\n{}{}{}</main>",
            head(&reports),
            statuses(&reports),
            history::charts(&reports),
            table(runs)
        ),
        zone: "those of each automation's time zone",
        data: ("runs", document(&reports)),
    };
    page.html()
}

fn document(reports: &[&RunReport]) -> Value {
    let one = |report: &&RunReport| {
        json!({
            "run": report.run, "automation": report.automation, "occurrence": report.occurrence, "mode": report.mode,
            "status": report.status, "state": report.standing(), "begun_at": report.begun_at,
            "ended_at": report.ended_at, "audience": report.audience(), "totals": report.totals(),
        })
    };
    json!({ "runs": reports.iter().map(one).collect::<Vec<Value>>() })
}

fn head(reports: &[&RunReport]) -> String {
    let day = |report: &RunReport| {
        let begun = report.local(report.begun_at);
        begun.strftime("%-d %B %Y").to_string()
    };
    let days = match (reports.last(), reports.first()) {
        (Some(oldest), Some(newest)) if day(oldest) != day(newest) => {
            format!("{} to {}", day(oldest), day(newest))
        }
        (Some(only), _) => day(only),
        _ => "There are no runs.".to_owned(),
    };
    format!("<header>\n<h1>Runs</h1>\n<p class=\"quiet\">{days}</p>\n</header>\n")
}

fn statuses(reports: &[&RunReport]) -> String {
    let mut counts: BTreeMap<&str, (&str, u64)> = BTreeMap::new();
    for report in reports {
        let counted = counts.entry(report.standing());
        counted.or_insert((&report.status, 0)).1 += 1;
    }
    let mut out = "<section>\n<dl class=\"numbers\">\n".to_owned();
    let all = number(reports.len() as u64);
    let _ = writeln!(
        out,
        "<div><dt>runs</dt><dd data-status=\"all\">{all}</dd></div>"
    );
    for (standing, (status, count)) in counts {
        let standing = text(standing);
        let _ = writeln!(
            out,
            "<div class=\"{}\"><dt>{standing}</dt><dd data-status=\"{standing}\">{}</dd></div>",
            text(status),
            number(count)
        );
    }
    out + "</dl>\n</section>\n"
}

/// The outcomes that have a column of their own; the bar shows all.
const COLUMNS: [(Outcome, &str); 4] = [
    (Outcome::Accepted, "accepted"),
    (Outcome::Failed, "failed"),
    (Outcome::Dead, "dead"),
    (Outcome::Excluded, "excluded"),
];

fn table(runs: &[ListedRun]) -> String {
    if runs.is_empty() {
        return String::new();
    }
    let heads = COLUMNS.map(|(_, head)| format!("<th class=\"n\">{head}</th>"));
    let mut out = format!(
        "<section>\n<h2>Newest first</h2>\n<div class=\"scroll\"><table class=\"runs\">\n<thead><tr><th>run</th>\
         <th>status</th><th class=\"n\">audience</th><th>outcomes</th>{}<th class=\"n\">took</th></tr></thead>\n<tbody>\n",
        heads.concat()
    );
    for one in runs {
        out.push_str(&row(one));
    }
    let known: Vec<Outcome> = Outcome::ALL
        .into_iter()
        .filter(|outcome| {
            runs.iter()
                .any(|one| one.report.totals().contains_key(outcome))
        })
        .collect();
    let legend = known
        .iter()
        .map(|outcome| format!("<li>{}{}</li>", tables::swatch(*outcome), outcome.words()));
    let legend: String = legend.collect();
    out + "</tbody>\n</table></div>\n<ul class=\"counts quiet\">" + &legend + "</ul>\n</section>\n"
}

fn row(one: &ListedRun) -> String {
    let report = &one.report;
    let id = text(&report.run);
    let begun = report
        .local(report.begun_at)
        .strftime("%Y-%m-%d %H:%M %Z")
        .to_string();
    let name = format!("<bdi>{}</bdi>", text(&report.automation));
    let name = match &one.page {
        Some(page) => format!("<a href=\"{}\">{name}</a>", address(page)),
        None => name,
    };
    let totals = report.totals();
    let count = |outcome: Outcome| totals.get(&outcome).copied().unwrap_or_default();
    let cells = COLUMNS.map(|(outcome, _)| {
        format!(
            "<td class=\"n\" data-run=\"{id}.{}\">{}</td>",
            key(outcome),
            number(count(outcome))
        )
    });
    format!(
        "<tr><th scope=\"row\">{name}<br><span class=\"quiet\">{}, {}</span></th><td class=\"t {}\">{}</td>\
         <td class=\"n\" data-run=\"{id}.audience\">{}</td><td class=\"bar\">{}</td>{}<td class=\"n\">{}</td></tr>\n",
        text(&begun),
        text(&report.mode),
        text(&report.status),
        text(report.standing()),
        number(report.audience()),
        tables::parts(
            totals.iter().map(|(outcome, count)| (*outcome, *count)),
            report.rows()
        ),
        cells.concat(),
        report.took().map_or_else(String::new, span),
    )
}

/// Returns the address of a file in the same directory; the `./` keeps a colon in the name from being a scheme.
fn address(file: &str) -> String {
    let encoded = percent_encoding::utf8_percent_encode(file, percent_encoding::NON_ALPHANUMERIC);
    format!("./{encoded}")
}
