//! `pushctl why`: which conditions of an audience hold for one person.

use crate::audience::parameters;
use crate::audience::question::Question;
use crate::audience::why;
use crate::clock::text::instant;
use crate::error::{Error, Result};
use crate::exit::Kind;
use crate::report::why as report;
use crate::settings::Flags;
use crate::ui::Document;

use super::connect::{self, SourceFlags, Told};
use super::context::Context;
use super::help;
use super::offer::Chosen;

/// Stands for a person in the examples.
pub(super) const EXAMPLE_USER: &str = "1a0c5b52-0f5e-4d0e-8a55-3f3c2a9d7b10";

/// Say which conditions of an audience hold for one person
///
/// Asks the same query file as `generate`, so the answer is what `generate` would do at the same instant.
#[derive(Debug, clap::Args)]
#[command(
    next_help_heading = "Options for every audience",
    before_help = help::examples(&[
        ("pushctl why layer2 --user 1a0c5b52-0f5e-4d0e-8a55-3f3c2a9d7b10", "every condition, and the values seen"),
        ("pushctl why layer2 --user 1a0c5b52-0f5e-4d0e-8a55-3f3c2a9d7b10 --min-open-offers 1", "and if a parameter were another"),
    ]),
    after_help = help::statuses(&[
        Kind::Done, Kind::Failed, Kind::Usage, Kind::Credentials, Kind::Unreachable, Kind::Bug,
        Kind::Interrupted, Kind::Terminated,
    ]),
)]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
    #[command(flatten)]
    source: SourceFlags,
    /// The person's id
    #[arg(long, global = true, value_name = "ID")]
    user: Option<String>,
    /// The instant from which all windows are measured [default: the database's clock]
    #[arg(long, global = true, value_name = "TIME")]
    as_of: Option<String>,
}

impl Args {
    pub(super) fn flags(&self, flags: &mut Flags) {
        let Self {
            chosen: _,
            source,
            user: _,
            as_of: _,
        } = self;
        source.flags(flags);
    }

    pub(super) async fn run(self, context: &Context) -> Result<Kind> {
        let definition = connect::catalogue(context)?.get(&self.chosen.audience)?;
        let values = parameters::resolve(
            &definition.name,
            &definition.parameters,
            &self.chosen.parameters,
        )?;
        let as_of = self
            .as_of
            .as_deref()
            .map(|text| instant(text, context.clock.now()))
            .transpose();
        let user = self
            .user
            .ok_or_else(|| Error::usage("whose? --user ID is missing"))?;
        let user = uuid::Uuid::try_parse(user.trim()).map_err(|_| {
            Error::usage(format!(
                "--user: {user:?} is not an id like 0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11"
            ))
        })?;
        let question = Question {
            definition: &definition,
            values: &values,
            as_of: as_of.map_err(|why| Error::usage(format!("--as-of: {why}")))?,
            history: &connect::history(context, "why")?,
            interrupt: &context.interrupt,
            watch: &Told(context.ui.clone()),
        };
        let source = connect::source(context, "why")?;
        let why = why::ask(&source, &context.budget, &question, &user.to_string()).await?;
        match context.ui.document() {
            Document::Json => context.ui.json(&why)?,
            Document::Text => context
                .ui
                .print(report::text(&why, context.ui.stdout_pen()).trim_end())?,
        }
        Ok(Kind::Done)
    }
}
