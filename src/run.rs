//! Runs: one lifecycle and one table of guards for every road to a phone.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `gates` | which guard applies on which road, and what may be overridden: the table |
//! | `session` | the lifecycle: lease, record, work while the lease is held, release |
//! | `send` | one send, begun, resumed or joined |
//! | `pipeline` | one pipeline's run, begun or resumed |
//! | `automation_order` | the order of `send --automation`, and whether a file is the automation's |
//! | `services` | from settings to source, history and push service |
//! | `context` | what all of them are handed |
//!
//! Deliberately absent: flags, questions to a person, and anything that is printed. Those are `cli`'s, which calls this
//! room and is never imported by it.

pub mod automation_order;
pub mod context;
pub mod gates;
pub mod pipeline;
pub mod send;
pub mod services;
pub mod session;
