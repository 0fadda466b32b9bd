//! From settings to the databases: what every command that reads them shares.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueHint;
use jiff::Timestamp;

use crate::audience::history::HistorySource;
use crate::audience::query_context::QueryContext;
use crate::audience::{Catalogue, Definition, Values, parameters};
use crate::clock::text::{instant, show_duration};
use crate::error::{Error, Result};
use crate::postgres::address::Inputs;
use crate::postgres::{Address, RetryLimits};
use crate::settings::secret::Secret;
use crate::settings::{self, Flags, generate};
use crate::source::{Purpose, Source, Watch};
use crate::ui::Ui;

use super::audience_args::Chosen;
use super::context::CommandContext;

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
        command: &str,
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
    match &context.settings.generate.queries {
        Some(directory) => Catalogue::with_directory(directory),
        None => Ok(Catalogue::built_in()),
    }
}

/// The source database, if any address is configured.
pub(super) fn source_if_any(context: &CommandContext, command: &str) -> Result<Option<Source>> {
    let is_configured = with_inputs(context, Address::is_configured)?;
    is_configured.then(|| source(context, command)).transpose()
}

/// The source database, not connected to yet. What is worth knowing about its address is said.
pub(super) fn source(context: &CommandContext, command: &str) -> Result<Source> {
    let address = with_inputs(context, Address::resolve)?;
    for note in address.notes() {
        tracing::info!(target: "pushctl::source", "{note}");
    }
    if let Some(advice) = address.advice() {
        context.ui.say(advice);
    }
    let source = to(context, address, command);
    source.plan(context.budget.total())?;
    Ok(source)
}

/// Hands over everything that may say where the source is.
fn with_inputs<T>(
    context: &CommandContext,
    resolve: impl FnOnce(&Inputs<'_>) -> Result<T>,
) -> Result<T> {
    let settings = &context.settings.source;
    let config: BTreeMap<String, String> = settings
        .keywords
        .iter()
        .map(|(name, value)| (name.clone(), value.reveal().to_owned()))
        .collect();
    let home = settings.environment.home();
    resolve(&Inputs {
        url: settings.url.as_ref(),
        environment: &|name| settings.variable(name),
        home: home.as_deref(),
        config: &config,
    })
}

/// Where the notification history is, if it is configured.
pub(super) fn history(context: &CommandContext, command: &str) -> Result<HistorySource> {
    let Some(url) = &context.settings.cadence.database_url else {
        return Ok(HistorySource::None);
    };
    let address = address_of(url)
        .map_err(|error| error.context("the address of the notification history is wrong"))?;
    Ok(HistorySource::Postgres(Box::new(to(
        context, address, command,
    ))))
}

/// The address in one URL, and nothing else.
pub(super) fn address_of(url: &Secret) -> Result<Address> {
    Address::resolve(&Inputs {
        url: Some(url),
        environment: &|_| None,
        home: None,
        config: &BTreeMap::new(),
    })
}

fn to(context: &CommandContext, address: Address, command: &str) -> Source {
    let settings = &context.settings.source;
    let patience = RetryLimits {
        connect_timeout: settings.connect_timeout,
        usual_timeout: None,
        attempts: settings.retries,
    };
    let purpose = Purpose {
        command: command.into(),
        run: context.run_id.to_string(),
    };
    Source::new(address, patience, purpose)
}

/// Tells a person how the connecting goes.
pub(super) struct LogWatch(pub(super) Ui);

impl Watch for LogWatch {
    fn waiting(&self, wait: Duration, cause: &Error) {
        let wait = show_duration(Duration::from_millis(
            u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
        ));
        self.0
            .say(format_args!("{cause:#}; trying again in {wait}"));
    }

    fn connected(&self, host: &str, server_version: &str) {
        tracing::info!(target: "pushctl::source", "connected to {host}, PostgreSQL {server_version}");
    }
}
