//! What the tests stand on: a sealed environment for pushctl, a real PostgreSQL with TLS, a pooler, and a network
//! that fails on request; a marketplace to put into the database, and what must come of that marketplace.

pub(crate) mod certificates;
pub(crate) mod cli;
pub(crate) mod market;
pub(crate) mod oracle;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod superuser;
