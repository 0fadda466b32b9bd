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

/// Counts units and reports them in blocks. Dropping the counter reports the rest of the last block, so that the count
/// of a stage is exact at its end, also after an error.
pub struct Counter<'a> {
    progress: &'a dyn Progress,
    pending: u64,
}

impl<'a> Counter<'a> {
    /// Units in a block.
    pub const BLOCK: u64 = 4_096;

    /// Makes a counter for the present stage.
    pub fn of(progress: &'a dyn Progress) -> Self {
        Self {
            progress,
            pending: 0,
        }
    }

    /// Counts one unit. Returns true when a block is full.
    pub fn one(&mut self) -> bool {
        self.pending += 1;
        let is_full = self.pending == Self::BLOCK;
        if is_full {
            self.report();
        }
        is_full
    }

    fn report(&mut self) {
        if self.pending > 0 {
            self.progress.advance(self.pending);
            self.pending = 0;
        }
    }
}

impl Drop for Counter<'_> {
    fn drop(&mut self) {
        self.report();
    }
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
