//! From settings to the databases: what every command that reads them shares.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueHint;
use jiff::Timestamp;

use crate::audience::history::HistorySource;
use crate::audience::query_context::QueryContext;
use crate::audience::{Catalogue, Definition, Values, parameters};
use crate::clock::text::{instant, show_duration};
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::run;
use crate::run::context::Reporter;
use crate::settings::{self, Flags, generate};
use crate::source::{Source, Watch};
use crate::ui::Ui;

use super::audience_args::Chosen;
use super::context::CommandContext;
use super::services::run_context;

/// The flags of every command that reads the source by an audience.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct SourceFlags {
    /// Query files of your own, which take the place of built-in ones of the same name
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::DirPath)]
    queries: Option<PathBuf>,
    /// The instant from which all windows are measured [default: the database's clock]
    #[arg(long, global = true, value_name = "TIME")]
    as_of: Option<String>,
    /// For one attempt to connect: name, TCP, TLS and log-in together [default: 10s]
    #[arg(long, global = true, value_name = "DURATION")]
    connect_timeout: Option<String>,
    /// Attempts to connect at most, the first included [default: 5]
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

/// What was asked of an audience, in the terms of the library.
pub(super) struct AudienceRequest {
    pub(super) definition: Definition,
    pub(super) values: Values,
    as_of: Option<Timestamp>,
    history: HistorySource,
    watch: LogWatch,
}

impl AudienceRequest {
    /// The audience with its parameters; everything that was typed is checked here, before anything is read.
    pub(super) fn of(
        context: &CommandContext,
        chosen: &Chosen,
        flags: &SourceFlags,
        command: &'static str,
    ) -> Result<Self> {
        let definition = catalogue(context)?.get(&chosen.audience)?;
        let values =
            parameters::resolve(&definition.name, &definition.parameters, &chosen.parameters)?;
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

    /// As the library takes it.
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

/// The audiences, with those of the configured directory.
pub(super) fn catalogue(context: &CommandContext) -> Result<Catalogue> {
    run::services::catalogue(&context.settings)
}

/// The source database, not connected to yet. What is worth knowing about its address is said.
pub(super) fn source(context: &CommandContext, command: &'static str) -> Result<Source> {
    run::services::source(&run_context(context, command))
}

/// Where the notification history is, if it is configured.
pub(super) fn history(context: &CommandContext, command: &'static str) -> Result<HistorySource> {
    run::services::history(&run_context(context, command))
}

/// Tells a person how the connecting goes.
pub(super) struct LogWatch(pub(super) Ui);

impl Watch for LogWatch {
    fn waiting(&self, wait: Duration, cause: &Error) {
        Watch::waiting(&self.0, wait, cause);
    }

    fn connected(&self, host: &str, server_version: &str) {
        Watch::connected(&self.0, host, server_version);
    }
}

impl Reporter for Ui {
    fn say(&self, text: &str) {
        Self::say(self, text);
    }

    fn warn(&self, text: &str) {
        Self::warn(self, text);
    }

    fn progress(&self) -> Arc<dyn Progress> {
        Self::progress(self, "rows")
    }
}

impl Watch for Ui {
    fn waiting(&self, wait: Duration, cause: &Error) {
        let wait = show_duration(Duration::from_millis(
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        ));
        Self::say(self, format_args!("{cause:#}; trying again in {wait}"));
    }

    fn connected(&self, host: &str, server_version: &str) {
        tracing::info!(target: "pushctl::source", "connected to {host}, PostgreSQL {server_version}");
    }
}
