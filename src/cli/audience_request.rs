//! The flags of every command that reads the source by an audience, and what they ask for.

use jiff::Timestamp;

use crate::audience::history::HistorySource;
use crate::audience::query_context::QueryContext;
use crate::audience::{Definition, Values, file_names};
use crate::clock::text::instant;
use crate::error::{Error, Result};
use crate::settings::{generate, source};

use super::audience_args::Chosen;
use super::context::CommandContext;
use super::services::{LogWatch, catalogue, history};
use super::setting_args;

/// The flags of every command that reads the source by an audience.
#[derive(Debug, Clone, clap::Args)]
#[command(args = setting_args::global_flags(&[&generate::QUERIES, &source::CONNECT_TIMEOUT, &source::RETRIES]))]
pub(super) struct SourceFlags {
    /// Reference time of all time windows [default: the database's clock]
    #[arg(long, global = true, value_name = "TIME")]
    as_of: Option<String>,
}

impl SourceFlags {
    /// Returns whether `--as-of` was given.
    pub(super) fn has_as_of(&self) -> bool {
        self.as_of.is_some()
    }
}

/// An audience with its parameters and its reference time.
pub(super) struct AudienceRequest {
    pub(super) definition: Definition,
    pub(super) values: Values,
    as_of: Option<Timestamp>,
    history: HistorySource,
    watch: LogWatch,
}

impl AudienceRequest {
    /// Resolves the audience and checks its parameters, before anything is read.
    pub(super) fn of(
        context: &CommandContext,
        chosen: &Chosen,
        flags: &SourceFlags,
        command: &'static str,
    ) -> Result<Self> {
        let definition = catalogue(context)?.get(&chosen.audience)?;
        let values = file_names::values(&definition, &chosen.parameters)?;
        let instant = |text: &String| instant(text, context.clock.now());
        let as_of = flags.as_of.as_ref().map(instant).transpose();
        Ok(Self {
            definition,
            values,
            as_of: as_of.map_err(|why| Error::usage(format!("--as-of: {why}")))?,
            history: history(context, command)?,
            watch: LogWatch(context.ui.clone()),
        })
    }

    /// Returns the request as the library takes it.
    pub(super) fn question<'a>(&'a self, context: &'a CommandContext) -> QueryContext<'a> {
        QueryContext {
            definition: &self.definition,
            values: &self.values,
            as_of: self.as_of,
            history: &self.history,
            interrupt: &context.interrupt,
            watch: &self.watch,
        }
    }
}
