//! Typed settings: flags > environment > `.env` > configuration file > default, resolved once, each value with its
//! origin.
//!
//! A module with settings of its own adds one file here: its [`setting::Setting`]s, a struct, and a `resolve` that
//! reads the keys into the struct; and one line in [`Settings::resolve`]. `pushctl config show`, the messages about
//! unknown names and the masking follow from that, and so do the flag and its help: a command only lists the settings
//! that it takes as flags.

pub mod actor;
pub mod automation;
pub mod cadence;
pub mod dead_tokens;
mod dotenv;
pub mod environment;
pub mod file;
pub mod generate;
pub mod logging;
pub mod message;
pub mod notify;
pub mod parse;
pub mod push;
mod resolver;
pub mod retention;
pub mod schema;
pub mod secret;
pub mod setting;
pub mod source;
pub mod state;
mod trust;

pub use actor::Actor;
pub use automation::AutomationSettings;
pub use cadence::{CadenceSettings, HistoryKind};
pub use dead_tokens::DeadTokenSettings;
pub use environment::Environment;
pub use file::ConfigFile;
pub use generate::GenerateSettings;
pub use logging::Logging;
pub use message::MessageSettings;
pub use notify::NotifySettings;
pub use push::PushSettings;
pub use retention::RetentionSettings;
pub use setting::{Flags, Origin, Resolved};
pub use source::SourceSettings;
pub use state::StateSettings;

use file::CONFIG;
use resolver::Resolver;
use setting::Setting;

use std::time::Duration;

use crate::error::Result;
use crate::suggest::typo_of;

/// Returns every declared setting, in the order of [`Settings`].
pub fn declared() -> Result<Vec<&'static Setting>> {
    let nothing = Environment::new(Vec::<(String, String)>::new(), ".");
    let Settings { resolved, .. } = Settings::resolve(&Flags::default(), &nothing, None)?;
    Ok(resolved.into_iter().map(|each| each.key).collect())
}

/// Every setting and its origin.
#[derive(Debug, Clone)]
pub struct Settings {
    pub source: SourceSettings,
    pub generate: GenerateSettings,
    pub cadence: CadenceSettings,
    pub automations: AutomationSettings,
    pub push: PushSettings,
    /// Tokens that are no longer registered.
    pub dead_tokens: DeadTokenSettings,
    /// The options of messages.
    pub message: MessageSettings,
    /// How long things are kept.
    pub retention: RetentionSettings,
    pub state: StateSettings,
    /// What watches pushctl.
    pub notify: NotifySettings,
    /// Who is at work.
    pub actor: Actor,
    /// How long a lease lasts without a renewal.
    pub lease: Duration,
    /// Log format and colour.
    pub talk: Logging,
    /// One entry a setting, in the order of this struct, for `pushctl config show`.
    pub resolved: Vec<Resolved>,
}

impl Settings {
    /// Resolves every setting. The first invalid one is a usage error that names its place.
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
        let dead_tokens = DeadTokenSettings::resolve(&mut settings)?;
        let message = MessageSettings::resolve(&mut settings)?;
        let retention = RetentionSettings::resolve(&mut settings)?;
        let state = StateSettings::resolve(&mut settings)?;
        let notify = NotifySettings::resolve(&mut settings)?;
        let actor = Actor::resolve(&mut settings)?;
        let lease = state::lease(&mut settings)?;
        let talk = Logging::resolve(&mut settings)?;
        Ok(Self {
            source,
            generate,
            cadence,
            automations,
            push,
            dead_tokens,
            message,
            retention,
            state,
            notify,
            actor,
            lease,
            talk,
            resolved: settings.finish()?,
        })
    }

    /// Returns a warning for each variable whose name is nearly that of a setting's.
    pub fn misspelt_variables(&self, environment: &Environment) -> Vec<String> {
        let declared = self.resolved.iter().map(|each| each.key).chain([&CONFIG]);
        let known: Vec<&str> = declared
            .flat_map(|key| key.variables.iter().copied())
            .collect();
        let meant = |name: &str| {
            let is_known = known.contains(&name);
            // An automation may name a variable that is only similar.
            let near = typo_of(name, known.iter().copied()).filter(|_| !is_known)?;
            Some(format!(
                "{name} is not a variable that pushctl reads; did you mean {near}?"
            ))
        };
        environment.own_names().filter_map(meant).collect()
    }
}
