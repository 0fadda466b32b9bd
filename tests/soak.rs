//! The soak: commands at random, one or two at a time, under random faults of every peer, the process and the disk.
//!
//! `make soak MINUTES=10` plays rounds until the time is over; a test run plays one round on each store. Every round
//! prints its seed, and `PUSHCTL_SOAK_SEED` plays that round alone: the same commands and faults in the same order.
//! What depends on time, such as where a kill hits, can differ.

mod commands;
mod invariants;
mod world;

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use world::World;

use crate::support::campaign::Random;
use crate::support::store::Place;

/// Commands, or pairs of them, in a round of a soak, and of a test run.
const STEPS: u32 = 20;
const FEW_STEPS: u32 = 8;

/// One round: a new world, some steps, and the end of everything that they began.
#[expect(clippy::print_stderr, reason = "a soak reports on the terminal")]
fn round(seed: u64, steps: u32) {
    eprintln!("soak: PUSHCTL_SOAK_SEED={seed}");
    let mut random = Random::from(seed);
    // The lowest bit chooses the store, so that two rounds in a row use both.
    let place = [Place::sqlite as fn() -> Place, Place::postgres][(seed % 2) as usize]();
    let mut world = World::new(place, &mut random);
    for step in 0..steps {
        eprintln!("  {step}: {}", commands::step(&mut world, &mut random));
        invariants::hold(&world);
    }
    world.heal();
    invariants::hold_at_the_end(&world);
}

#[test]
fn soak() {
    let number = |name: &str| {
        let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
        Some(value.parse::<u64>().expect("a number"))
    };
    if let Some(seed) = number("PUSHCTL_SOAK_SEED") {
        return round(seed, STEPS);
    }
    let first = RandomState::new().hash_one("soak") >> 16;
    let minutes = number("PUSHCTL_SOAK_MINUTES");
    let until = Instant::now() + Duration::from_secs(60 * minutes.unwrap_or(0));
    let steps = minutes.map_or(FEW_STEPS, |_| STEPS);
    let mut rounds = 0;
    while rounds < 2 || Instant::now() < until {
        round(first + rounds, steps);
        rounds += 1;
    }
    eprintln!("soak: {rounds} rounds");
}
