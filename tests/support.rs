//! What several tests stand on: the servers they talk to, the data in them, and what must come of it.

pub(crate) mod market;
pub(crate) mod oracle;
