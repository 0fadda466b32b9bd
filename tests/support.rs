//! What the tests talk to: a real PostgreSQL with TLS, a pooler, and a network that fails on request; a marketplace to
//! put into it, and what must come of that marketplace.

pub(crate) mod certificates;
pub(crate) mod market;
pub(crate) mod oracle;
pub(crate) mod pgbouncer;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod superuser;
