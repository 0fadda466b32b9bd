//! Settings of the automation files.

use std::path::PathBuf;

use clap::ValueHint;

use crate::error::Result;

use super::environment::Environment;
use super::file::ConfigFile;
use super::resolver::Resolver;
use super::setting::{Flags, Setting};

/// The settings of the automation files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AutomationSettings {
    /// The directory of the `*.toml` files. It need not exist.
    pub directory: PathBuf,
}

/// `--automations`.
pub static DIRECTORY: Setting = Setting::new("automations", "Directory of the automation files")
    .flag("--automations", "DIR")
    .hint(ValueHint::DirPath)
    .variables(&["PUSHCTL_AUTOMATIONS"])
    .default("automations");

impl AutomationSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        Ok(Self {
            directory: settings.path(&DIRECTORY)?.unwrap_or_default(),
        })
    }

    /// Resolves these settings alone, for completion: other settings may be invalid.
    pub fn ahead(
        flags: &Flags,
        environment: &Environment,
        file: Option<&ConfigFile>,
    ) -> Result<Self> {
        Self::resolve(&mut Resolver::new(flags, environment, file))
    }
}
