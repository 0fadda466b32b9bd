//! One binary for all tests.

mod support;

mod audiences;
mod completions;
mod config;
mod connection;
mod help;
mod output;
