//! One binary for all tests.

mod schedule;
