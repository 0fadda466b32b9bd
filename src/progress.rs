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

/// Counts units and passes them on in blocks. What is left of the last block is passed on when the counter goes, so that
/// the count of a stage is exact at its end, however it ends.
pub struct Counter<'a> {
    progress: &'a dyn Progress,
    pending: u64,
}

impl<'a> Counter<'a> {
    /// Units to a block.
    pub const BLOCK: u64 = 4_096;

    /// Counts for the present stage.
    pub fn of(progress: &'a dyn Progress) -> Self {
        Self {
            progress,
            pending: 0,
        }
    }

    /// Counts one unit; true where a block is full.
    pub fn one(&mut self) -> bool {
        self.pending += 1;
        let is_full = self.pending == Self::BLOCK;
        if is_full {
            self.pass_on();
        }
        is_full
    }

    fn pass_on(&mut self) {
        if self.pending > 0 {
            self.progress.advance(self.pending);
            self.pending = 0;
        }
    }
}

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        self.pass_on();
    }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Sum(AtomicU64);

    impl Progress for Sum {
        fn stage(&self, _name: &str) {}
        fn total(&self, _units: Option<u64>) {}
        fn advance(&self, units: u64) {
            self.0.fetch_add(units, Ordering::Relaxed);
        }
        fn note(&self, _text: &str) {}
        fn finish(&self) {}
    }

    #[test]
    fn a_counter_forgets_no_unit_of_the_last_block() {
        for units in [0, 1, 4_095, 4_096, 4_097, 4_813, 8_192] {
            let sum = Sum::default();
            let mut counter = Counter::of(&sum);
            let blocks = (0..units).filter(|_| counter.one()).count() as u64;
            assert_eq!(blocks, units / Counter::BLOCK);
            drop(counter);
            assert_eq!(sum.0.load(Ordering::Relaxed), units);
        }
    }
}
