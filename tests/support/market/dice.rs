//! Reproducible random numbers: the same seed gives the same market on every machine.

use uuid::Uuid;

use super::{AS_OF, DAY, HOUR, MICROSECOND};

/// Distances from `as_of` at which some window of some audience begins or ends.
const EDGES: [i64; 13] = [
    0,
    6 * HOUR,
    12 * HOUR,
    DAY,
    36 * HOUR,
    2 * DAY,
    3 * DAY,
    7 * DAY,
    10 * DAY,
    14 * DAY,
    30 * DAY,
    60 * DAY,
    90 * DAY,
];

/// A `SplitMix64` generator.
#[derive(Debug, Clone)]
pub(crate) struct Dice {
    state: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to but not including `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `n` throws on average.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    fn index(&mut self, len: usize) -> usize {
        let len = u64::try_from(len).expect("a short list");
        usize::try_from(self.below(len)).expect("an index below a length")
    }

    pub(crate) fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.next(), self.next())
    }

    /// Returns an instant on a window's edge, one microsecond to either side of it, or, half the time, anywhere from a
    /// little after `as_of` to a hundred days before, most often recent.
    pub(crate) fn instant(&mut self) -> i64 {
        if self.one_in(2) {
            let edge = self.pick(&EDGES);
            return AS_OF - edge + self.pick(&[-MICROSECOND, 0, 0, MICROSECOND]);
        }
        let span = self.pick(&[DAY, 3 * DAY, 10 * DAY, 40 * DAY, 100 * DAY]);
        let back = self.below(span.unsigned_abs()).cast_signed();
        AS_OF + HOUR - back
    }

    /// Returns a value that means deleted once in `one_in` times, and 0 otherwise.
    pub(crate) fn deleted_at(&mut self, one_in: u64) -> i32 {
        if self.one_in(one_in) {
            self.pick(&super::DELETED)
        } else {
            0
        }
    }
}
