//! PostgreSQL: everything about reaching a server that the source, the state store and the notification history share.

pub mod address;
mod address_parser;
pub(crate) mod cancel_route;
pub(crate) mod connect;
mod conninfo;
pub mod failure;
pub(crate) mod inspect;
mod parameters;
mod passfile;
mod password;
pub mod retry_plan;
mod service;
pub(crate) mod session;
pub(crate) mod stream;
mod tcp;
mod tls;

pub use address::Address;
pub use failure::SqlError;
pub use retry_plan::{RetryLimits, RetryPlan, RetryStep};
