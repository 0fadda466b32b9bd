//! One binary for all tests.

mod completions;
mod config;
mod connection;
mod help;
mod output;
mod own_audiences;
mod publication;
mod signals;
mod support;
