//! Runs: one lifecycle and one table of guards, for every way to start a push.
//!
//! | module | contents |
//! | --- | --- |
//! | `gates` | the table: which guard applies on which road |
//! | `session` | the lifecycle of a run: lease, record, work while the lease is held, release |
//! | `send` | one send, begun, resumed or joined |
//! | `pipeline` | one pipeline's run, begun or resumed |
//! | `automation_order` | the order of `send --automation`, and whether a file is the automation's |
//! | `services` | from settings to source, history and push service |
//! | `source_access` | whether and when a command may connect to the source |
//! | `open_stores` | the state stores that a command has opened |
//! | `context` | the settings and services that all of them use |
//!
//! Deliberately absent: flags, questions to a person, and output. They belong to `cli`, which calls this module and is
//! never imported by it.

pub mod automation_order;
pub mod context;
pub mod gates;
pub mod open_stores;
pub mod pipeline;
pub mod send;
pub mod services;
pub mod session;
mod source_access;
