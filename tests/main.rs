//! One binary for all tests.
#![expect(clippy::unwrap_used, reason = "in a test, what cannot be had fails it")]

mod access;
mod audiences;
mod cadence;
mod check;
mod completions;
mod config;
mod connection;
mod deploy;
mod diff;
mod doctor;
mod documents;
mod faults;
mod fcm;
mod gates;
mod help;
mod input;
mod limits;
mod login;
mod notify;
mod outages;
mod output;
mod own_audiences;
mod page;
mod pipeline;
mod publication;
mod records;
mod schedule;
mod send;
mod signals;
mod soak;
mod state;
mod support;
mod template;
mod timetable;
mod why_run;
