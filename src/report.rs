//! What was found and done, in words and pictures: pure functions from results to text, and [`gather`], which collects
//! what is told about a run.

pub mod csv_diff;
pub mod doctor;
pub mod funnel;
pub mod gather;
pub mod html;
pub mod metrics;
pub mod pipeline;
pub mod preview;
pub mod run;
pub mod send;
pub mod why;
pub mod why_run;

pub use crate::count::{counted, number};
