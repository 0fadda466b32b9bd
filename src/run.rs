//! Runs: one lifecycle and one table of guards for every road to a phone.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `gates` | which guard applies on which road, and what may be overridden: the table |
//!
//! Deliberately absent: flags, questions to a person, and anything that is printed. Those are `cli`'s, which calls this
//! room and is never imported by it.

pub mod gates;
