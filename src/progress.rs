//! How the library says how far it is, without knowing who listens.
//!
//! The terminal's bar, the log's lines and the answer to SIGUSR1 are all made from these calls (see `ui`).
//! Diagnostics do not pass through here: those go to `tracing`.

/// Somebody who wants to know how far a piece of work is. Every method returns at once and never fails.
pub trait Progress: Send + Sync {
    /// A stage begins, and the one before it ends. The count and the total start over.
    fn stage(&self, name: &str);

    /// How many units the present stage has; `None` while nobody knows.
    fn total(&self, units: Option<u64>);

    /// So many more units (rows, pushes) of the present stage are done. Cheap enough to call for each one.
    fn advance(&self, units: u64);

    /// Something a person may want to know while it goes on: an attempt that failed, a wait and its reason.
    fn note(&self, text: &str);

    /// A few words beside the count of the present stage, in place of those before.
    fn detail(&self, text: &str) {
        let _ = text;
    }

    /// The last stage ends.
    fn finish(&self);
}

/// Nobody listens.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Progress for Silent {
    fn stage(&self, _name: &str) {}
    fn total(&self, _units: Option<u64>) {}
    fn advance(&self, _units: u64) {}
    fn note(&self, _text: &str) {}
    fn finish(&self) {}
}
