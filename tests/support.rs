//! What the tests stand on: a sealed environment for pushctl, a real PostgreSQL with TLS, a pooler, and a network
//! that fails on request.

pub(crate) mod certificates;
pub(crate) mod cli;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod proxy;
