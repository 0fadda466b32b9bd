//! One binary for all tests.

mod support;

mod completions;
mod config;
mod connection;
mod help;
mod output;
mod own_audiences;
mod signals;
