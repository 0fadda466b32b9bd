//! One binary for all tests.

mod audiences;
mod completions;
mod config;
mod connection;
mod help;
mod output;
mod publication;
mod support;
