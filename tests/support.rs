//! What the tests talk to, the data in it, and what must come of that data.

pub(crate) mod certificates;
pub(crate) mod market;
pub(crate) mod oracle;
pub(crate) mod postgres;
