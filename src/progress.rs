//! The interface through which the library reports progress.
//!
//! The terminal's progress bar, progress in the log and the answer to SIGUSR1 all come from these calls (see `ui`).
//! Diagnostics do not use it: they go to `tracing`.

/// A receiver of progress reports. Every method returns at once and never fails.
pub trait Progress: Send + Sync {
    /// Begins a stage and ends the previous one. The count and the total start over.
    fn stage(&self, name: &str);

    /// Sets the number of units in the present stage; `None` while it is unknown.
    fn total(&self, units: Option<u64>);

    /// Adds completed units (rows, pushes) of the present stage. Cheap enough to call for each unit.
    fn advance(&self, units: u64);

    /// Reports an event during the stage, such as a failed attempt, or a wait and its reason.
    fn note(&self, text: &str);

    /// Sets a short text beside the count of the present stage.
    fn detail(&self, text: &str) {
        let _ = text;
    }

    /// Ends the last stage.
    fn finish(&self);
}

/// Ignores all progress.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _name: &str) {}
    fn total(&self, _units: Option<u64>) {}
    fn advance(&self, _units: u64) {}
    fn note(&self, _text: &str) {}
    fn finish(&self) {}
}
