//! What the tests stand on: a real PostgreSQL with TLS, a pooler, a network that fails on request, pushctl in a sealed
//! environment; a state store on a clock that stands still, a cadence service with bad habits; a marketplace to put
//! into the database, and what must come of that marketplace.

pub(crate) mod cadence;
pub(crate) mod campaign;
pub(crate) mod certificates;
pub(crate) mod cli;
pub(crate) mod fcm;
pub(crate) mod http_proxy;
pub(crate) mod identity;
mod listener;
pub(crate) mod market;
pub(crate) mod oracle;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod store;
pub(crate) mod superuser;
