//! What the tests talk to: a real PostgreSQL with TLS, a pooler, and a network that fails on request.

pub(crate) mod certificates;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod store;
