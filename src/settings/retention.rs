//! Settings of the retention periods.

use std::time::Duration;

use crate::clock::text::duration;
use crate::error::Result;

use super::resolver::Resolver;
use super::setting::Setting;

/// Retention periods; the cleanup phase of a pipeline removes older data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionSettings {
    /// Audience and outcome files.
    pub files: Duration,
    /// Runs, claims and outcomes in the state store.
    pub records: Duration,
}

static FILES: Setting = Setting::new("keep.files", "Retention of audience and outcome files")
    .variables(&["PUSHCTL_KEEP_FILES"])
    .default("30d");

static RECORDS: Setting = Setting::new(
    "keep.records",
    "Retention of runs and outcomes in the state store, at least two weeks",
)
.variables(&["PUSHCTL_KEEP_RECORDS"])
.default("180d");

/// Cadence looks back a week, and a repeated send must find the claims of the first.
const LEAST_RECORDS: Duration = Duration::from_secs(14 * 86_400);

impl RetentionSettings {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        Ok(Self {
            files: settings.value(&FILES, duration)?,
            records: settings.value(&RECORDS, |given| match duration(given)? {
                short if short < LEAST_RECORDS => Err("expected at least two weeks".to_owned()),
                long => Ok(long),
            })?,
        })
    }
}
