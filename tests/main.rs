//! One binary for all tests.

mod support;

mod completions;
mod config;
mod help;
mod output;
