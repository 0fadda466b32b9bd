//! Typed settings: flags > environment > `.env` > configuration file > default, resolved once, each value with where
//! it came from.
//!
//! A room that has settings of its own adds one file here: its [`setting::Setting`]s, a struct, and a `resolve` that
//! reads the one into the other; and one line in [`Settings::resolve`]. `pushctl config show`, the messages about
//! unknown names and the masking follow from that. A flag reaches its key in the command's own `flags` function,
//! which takes its arguments apart without `..`, so that a flag nobody maps does not compile.

pub mod automation;
pub mod cadence;
mod dotenv;
pub mod environment;
pub mod file;
pub mod generate;
pub mod logging;
pub mod parse;
pub mod push;
mod resolver;
pub mod retention;
pub mod schema;
pub mod secret;
pub mod setting;
pub mod source;
pub mod state;

pub use automation::AutomationSettings;
pub use cadence::{CadenceSettings, HistoryKind};
pub use environment::Environment;
pub use file::ConfigFile;
pub use generate::GenerateSettings;
pub use logging::Logging;
pub use push::PushSettings;
pub use retention::RetentionSettings;
pub use setting::{Flags, Origin, Resolved};
pub use source::SourceSettings;
pub use state::StateSettings;

use resolver::Resolver;

use std::time::Duration;

use crate::error::Result;

/// Every setting, and where each came from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The source database.
    pub source: SourceSettings,
    /// Audience files.
    pub generate: GenerateSettings,
    /// Notification history.
    pub cadence: CadenceSettings,
    /// Automation files.
    pub automations: AutomationSettings,
    /// The push service.
    pub push: PushSettings,
    /// How long things are kept.
    pub retention: RetentionSettings,
    /// The state store.
    pub state: StateSettings,
    /// How long a lease lasts without a renewal.
    pub lease: Duration,
    /// Log format and colour.
    pub talk: Logging,
    /// One entry a setting, in the order of this struct, for `pushctl config show`.
    pub resolved: Vec<Resolved>,
}

impl Settings {
    /// Resolves every setting; the first that is wrong ends it, as a usage error that names its place.
    pub fn resolve(
        flags: &Flags,
        environment: &Environment,
        file: Option<&ConfigFile>,
    ) -> Result<Self> {
        let mut settings = Resolver::new(flags, environment, file);
        let source = SourceSettings::resolve(&mut settings)?;
        let generate = GenerateSettings::resolve(&mut settings)?;
        let cadence = CadenceSettings::resolve(&mut settings)?;
        let automations = AutomationSettings::resolve(&mut settings)?;
        let push = PushSettings::resolve(&mut settings)?;
        let retention = RetentionSettings::resolve(&mut settings)?;
        let state = StateSettings::resolve(&mut settings)?;
        let lease = state::lease(&mut settings)?;
        let talk = Logging::resolve(&mut settings)?;
        Ok(Self {
            source,
            generate,
            cadence,
            automations,
            push,
            retention,
            state,
            lease,
            talk,
            resolved: settings.finish()?,
        })
    }
}
