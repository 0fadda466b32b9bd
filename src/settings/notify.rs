//! Settings of what watches pushctl: the heartbeat of the tick and the metrics file.

use std::path::PathBuf;

use clap::ValueHint;

use crate::error::Result;
use crate::notify::HeartbeatKind;

use super::parse::{choice, text};
use super::resolver::Resolver;
use super::secret::Secret;
use super::setting::{Setting, Visibility};

/// The settings of what watches pushctl.
#[derive(Debug, Clone)]
pub struct NotifySettings {
    /// The heartbeat that `run-pipeline --all --tick` calls at its end.
    pub tick_heartbeat: Option<Secret>,
    /// Its requests, if they are to have an id.
    pub tick_heartbeat_kind: Option<HeartbeatKind>,
    /// The file of metrics, in Prometheus' text format.
    pub metrics_file: Option<PathBuf>,
}

static TICK_HEARTBEAT: Setting = Setting::new(
    "notify.tick_heartbeat",
    "Heartbeat address of `run-pipeline --all --tick`",
)
.variables(&["PUSHCTL_TICK_HEARTBEAT_URL"])
.visibility(Visibility::Secret);
static TICK_HEARTBEAT_KIND: Setting = Setting::new(
    "notify.tick_heartbeat_kind",
    "Requests of the tick's heartbeat, where they have an id: healthchecks or sentry",
)
.choice::<HeartbeatKind>()
.variables(&["PUSHCTL_TICK_HEARTBEAT_KIND"]);
/// `--metrics-file`.
pub static METRICS_FILE: Setting = Setting::new(
    "metrics_file",
    "File that the command writes metrics to at its end, in Prometheus' text format",
)
.flag("--metrics-file", "FILE")
.hint(ValueHint::FilePath)
.variables(&["PUSHCTL_METRICS"]);

impl NotifySettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        let address = settings.optional(&TICK_HEARTBEAT, text)?;
        Ok(Self {
            tick_heartbeat: address.filter(|text| !text.is_empty()).map(Secret::new),
            tick_heartbeat_kind: settings.optional(&TICK_HEARTBEAT_KIND, choice)?,
            metrics_file: settings.path(&METRICS_FILE)?,
        })
    }
}
