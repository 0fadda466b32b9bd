//! `pushctl audiences`: what there is.

use crate::error::{Error, Result};
use crate::exit::{self, Kind};
use crate::settings::Flags;

use super::context::Context;
use super::help;

/// List the audiences
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[("pushctl generate layer2", "into ./generated")]),
    after_help = exit::help(&[Kind::Done]),
)]
pub struct Args {}

impl Args {
    pub(super) fn flags(&self, _flags: &mut Flags) {
        let Self {} = self;
    }

    pub(super) fn run(&self, context: &Context) -> Result<Kind> {
        let _ = context;
        Err(Error::new(Kind::Bug, "not there yet"))
    }
}
