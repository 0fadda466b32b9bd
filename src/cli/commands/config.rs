//! `pushctl config`: the settings and the origin of each.

use crate::exit::ExitStatus;
use serde_json::json;

use crate::error::Result;
use crate::settings::setting::Visibility;
use crate::settings::{Origin, Resolved};
use crate::ui::{Document, Table};

use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::help;

/// Show the configuration
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[("pushctl config show", "every setting and its origin")]),
    after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Usage, ExitStatus::Bug]),
    subcommand_required = true,
    arg_required_else_help = true,
)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show every setting and its origin
    ///
    /// The first origin with a value wins: flag, environment, .env, configuration file, default. Overridden values are
    /// shown beside it. Passwords are masked.
    #[command(
        before_help = help::examples(&[
            ("pushctl config show", "as a table"),
            ("pushctl config show --deadline 90s", "the effect of a flag"),
            ("pushctl config show --json", "for programs"),
        ]),
        after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Usage, ExitStatus::Bug]),
    )]
    Show,
}

impl Subcommand for Args {
    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        let Action::Show = self.action;
        let resolved = &context.settings.resolved;
        match context.ui.document() {
            Document::Json => context.ui.json(&document(resolved))?,
            Document::Text => context.ui.table(&table(resolved))?,
        }
        Ok(ExitStatus::Done)
    }
}

fn document(resolved: &[Resolved]) -> serde_json::Value {
    let setting = |each: &Resolved| {
        let overridden: Vec<_> = each
            .overridden
            .iter()
            .map(|(origin, value)| json!({ "origin": origin.to_string(), "value": value }))
            .collect();
        json!({
            "name": each.key.name,
            "flag": Some(each.key.flag).filter(|flag| !flag.is_empty()),
            "variables": each.key.variables,
            "value": each.shown,
            "origin": each.shown.as_ref().map(|_| each.origin.to_string()),
            "overridden": overridden,
            "masked": each.key.visibility != Visibility::Plain,
            "about": each.key.about,
        })
    };
    json!({ "settings": resolved.iter().map(setting).collect::<Vec<_>>() })
}

fn table(resolved: &[Resolved]) -> Table {
    let mut table = Table::new(["SETTING", "VALUE", "FROM", "OVERRIDES"]);
    for each in resolved {
        let said = each
            .overridden
            .iter()
            .filter(|(origin, _)| *origin != Origin::Default);
        let overridden: Vec<String> = said
            .map(|(origin, value)| format!("{value} ({origin})"))
            .collect();
        let origin = each
            .shown
            .as_ref()
            .map_or_else(String::new, |_| each.origin.to_string());
        table.row([
            each.key.name.to_owned(),
            each.shown.clone().unwrap_or_default(),
            origin,
            overridden.join(", "),
        ]);
    }
    table
}
