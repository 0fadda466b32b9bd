//! The pipeline: its timeline on a clock that the test moves, whole runs against a real source, state store and push
//! service, runs that are killed, and the commands.

mod campaign;
mod cancel;
mod commands;
mod drive;
mod dry_runs;
mod exposition;
mod kept;
mod last_good;
mod model;
mod notices;
pub(crate) mod office;
mod open;
mod property;
mod recipients;
mod safeguards;
mod shown;
mod side_files;
pub(crate) mod stage;
mod sums;
mod timeline;
mod variants;
mod watched;

use std::fmt::Write as _;

use jiff::SignedDuration;
use pushctl::audience::Catalogue;
use pushctl::automation::Automation;
use pushctl::automation::check::{Against, check};
use pushctl::automation::diagnostic::SourceText;
use pushctl::automation::render::Color;
use pushctl::template::link::AllowedHosts;

/// Sends are on this Saturday at 13:33 unless a test says otherwise.
const NOON: &str = "2026-11-21T12:00:00-06:00";

/// An automation with this `[schedule]`, the lines of `[safeguards]`, and a push after each delay.
fn automation(name: &str, schedule: &str, safeguards: &str, delays: &[u16]) -> Automation {
    let mut text = format!(
        "name = \"{name}\"\nenabled = true\n[schedule]\n{schedule}\n[audience]\nname = \"layer3\"\n[test]\nrequired = false\n[window]\ncancel_minutes = 0\n"
    );
    for delay in delays {
        let _ = write!(
            text,
            "[[push]]\naudience_file = \"recent-offer-creators\"\nlayer = 3\ntitle = \"t\"\nbody = \"b\"\ndelay_minutes = {delay}\n"
        );
    }
    let mut automation = checked(text, &Catalogue::built_in());
    // Set after the check, so that a test can combine limits that `check` would refuse.
    automation.file.safeguards = toml::from_str(safeguards).unwrap();
    let window = automation.schedule.lead.min(SignedDuration::from_mins(25));
    automation.schedule.window = window;
    automation
}

/// The automation of a file that has no errors.
fn checked(text: String, catalogue: &Catalogue) -> Automation {
    let path = "automations/a.toml".to_owned();
    let against = Against {
        catalogue,
        link_hosts: &AllowedHosts::default(),
        test_users: &[],
        now: NOON.parse().unwrap(),
        starts_late: false,
    };
    let checked = check(&[SourceText { path, text }], &against);
    let report = checked.report.human(Color::Plain);
    let automation = checked.automations.into_iter().next();
    automation.unwrap_or_else(|| panic!("{report}"))
}
