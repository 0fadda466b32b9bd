//! Long campaigns: shortened unless `PUSHCTL_CAMPAIGN=full`, and repeatable by `PUSHCTL_CAMPAIGN_SEED`.

#![expect(clippy::print_stderr, reason = "a campaign reports on the terminal")]

use std::hash::{BuildHasher as _, RandomState};

/// A test that repeats an action many times at random.
pub(crate) struct Campaign {
    name: &'static str,
    rounds: u32,
    seed: u64,
}

/// Uniform numbers from a seed (xorshift64*; statistics matter little here, repeating does).
pub(crate) struct Random(u64);

impl Campaign {
    /// `short` rounds, or `full` ones in a full campaign.
    pub(crate) fn start(name: &'static str, short: u32, full: u32) -> Self {
        // `make campaign` finds its tests by this word. A single test thread has no name of a test.
        let thread = std::thread::current();
        let test = thread.name().filter(|test| test.contains("::"));
        assert!(
            test.is_none_or(|test| test.contains("campaign")),
            "the name of a test that is a campaign has the word in it: {test:?}"
        );
        let is_full = std::env::var("PUSHCTL_CAMPAIGN").is_ok_and(|value| value == "full");
        let seed = match std::env::var("PUSHCTL_CAMPAIGN_SEED") {
            Ok(seed) => seed.parse().expect("PUSHCTL_CAMPAIGN_SEED is a number"),
            Err(_) => RandomState::new().hash_one(name) >> 16,
        };
        let rounds = if is_full { full } else { short };
        eprintln!("campaign {name}: {rounds} rounds, PUSHCTL_CAMPAIGN_SEED={seed}");
        Self { name, rounds, seed }
    }

    /// Returns how long servers stay away, in seconds: as long as a failover takes only in a full campaign.
    pub(crate) fn outages() -> &'static [u64] {
        let is_full = std::env::var("PUSHCTL_CAMPAIGN").is_ok_and(|value| value == "full");
        if is_full { &[30, 60, 120] } else { &[3] }
    }

    pub(crate) fn rounds(&self) -> u32 {
        self.rounds
    }

    pub(crate) fn random(&self) -> Random {
        Random::from(self.seed)
    }

    /// The seed for tests that draw their own numbers from one.
    pub(crate) fn seed(&self) -> u64 {
        self.seed
    }

    /// Prints the result.
    pub(crate) fn report(&self, outcome: &str) {
        eprintln!(
            "campaign {}: {} rounds, PUSHCTL_CAMPAIGN_SEED={}: {outcome}",
            self.name, self.rounds, self.seed
        );
    }
}

impl From<u64> for Random {
    fn from(seed: u64) -> Self {
        Self(seed.max(1))
    }
}

impl Random {
    /// A number from 0 up to but not including `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// True once in `n` throws on average.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// From 0 up to 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
    }
}
