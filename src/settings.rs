//! Typed settings: flags > environment > `.env` > configuration file > default, resolved once, each value with where
//! it came from.
//!
//! A room that has settings of its own adds one file here: its [`setting::Key`]s, a struct, and a `resolve` that
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

pub use automation::Automations;
pub use cadence::{Cadence, HistoryKind};
pub use environment::Environment;
pub use file::ConfigFile;
pub use generate::Generate;
pub use logging::Talk;
pub use push::Push;
pub use retention::Retention;
pub use setting::{Flags, Origin, Resolved};
pub use source::Source;
pub use state::State;

use resolver::Resolver;

use crate::error::Result;

/// Every setting, and where each came from.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The source database.
    pub source: Source,
    /// Audience files.
    pub generate: Generate,
    /// Notification history.
    pub cadence: Cadence,
    /// Automation files.
    pub automations: Automations,
    /// The push service.
    pub push: Push,
    /// How long things are kept.
    pub retention: Retention,
    /// The state store.
    pub state: State,
    /// Log format and colour.
    pub talk: Talk,
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
        let source = Source::resolve(&mut settings)?;
        let generate = Generate::resolve(&mut settings)?;
        let cadence = Cadence::resolve(&mut settings)?;
        let automations = Automations::resolve(&mut settings)?;
        let push = Push::resolve(&mut settings)?;
        let retention = Retention::resolve(&mut settings)?;
        let state = State::resolve(&mut settings)?;
        let talk = Talk::resolve(&mut settings)?;
        Ok(Self {
            source,
            generate,
            cadence,
            automations,
            push,
            retention,
            state,
            talk,
            resolved: settings.finish()?,
        })
    }
}
