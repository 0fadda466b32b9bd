//! One binary for all tests.

mod connection;
mod state;
mod support;
