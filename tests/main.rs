//! One binary for all tests.

mod connection;
mod support;
