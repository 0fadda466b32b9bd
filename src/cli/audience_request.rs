//! The flags of every command that reads the source by an audience, and what they ask for.

use std::path::PathBuf;

use clap::ValueHint;
use jiff::Timestamp;

use crate::audience::history::HistorySource;
use crate::audience::query_context::QueryContext;
use crate::audience::{Definition, Values, file_names};
use crate::clock::text::instant;
use crate::error::{Error, Result};
use crate::settings::{self, Flags, generate};

use super::audience_args::Chosen;
use super::context::CommandContext;
use super::services::{LogWatch, catalogue, history};

/// The flags of every command that reads the source by an audience.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SourceFlags {
    /// Directory of your own query files, which replace built-in ones of the same name
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    queries: Option<PathBuf>,
    /// Reference time of all time windows [default: the database's clock]
    #[arg(long, global = true, value_name = "TIME")]
    as_of: Option<String>,
    /// Time limit of one connection attempt: name lookup, TCP, TLS and login [default: 10s]
    #[arg(long, global = true, value_name = "DURATION")]
    connect_timeout: Option<String>,
    /// Maximum connection attempts, the first included [default: 5]
    #[arg(long, global = true, value_name = "N")]
    retries: Option<String>,
}

impl SourceFlags {
    pub(super) fn flags(&self, flags: &mut Flags) {
        let Self {
            queries,
            as_of: _,
            connect_timeout,
            retries,
        } = self;
        flags.set(
            &generate::QUERIES,
            queries.as_ref().map(|path| path.display()),
        );
        flags.set(&settings::source::CONNECT_TIMEOUT, connect_timeout.as_ref());
        flags.set(&settings::source::RETRIES, retries.as_ref());
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
