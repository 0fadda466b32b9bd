//! One binary for all tests.

mod check;
mod schedule;
