//! One binary for all tests.

mod audiences;
mod connection;
mod support;
