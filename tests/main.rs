//! One binary for all tests.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be had fails it")]

mod audiences;
mod cadence;
mod completions;
mod config;
mod connection;
mod fcm;
mod help;
mod outages;
mod output;
mod own_audiences;
mod publication;
mod signals;
mod state;
mod support;
mod template;
