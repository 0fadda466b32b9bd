//! What the tests stand on: a real PostgreSQL with TLS, a pooler, a network that fails on request, and
//! pushctl in a sealed environment.

pub(crate) mod campaign;
pub(crate) mod certificates;
pub(crate) mod cli;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod proxy;
