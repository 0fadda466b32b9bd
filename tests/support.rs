//! What the tests stand on: a real PostgreSQL with TLS, a pooler, a network that fails on request, pushctl in a sealed
//! environment; a marketplace to put into the database, and what must come of that marketplace.

pub(crate) mod campaign;
pub(crate) mod certificates;
pub(crate) mod cli;
pub(crate) mod market;
pub(crate) mod oracle;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod programs;
pub(crate) mod proxy;
pub(crate) mod superuser;
