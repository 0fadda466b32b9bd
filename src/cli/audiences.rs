//! `pushctl audiences`: what there is.

use crate::error::{Error, Result};
use crate::exit::Kind;
use crate::settings::Flags;

use super::context::Context;
use super::help;

/// List the audiences
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[("pushctl audiences", "what there is")]),
    after_help = help::statuses(&[Kind::Done]),
)]
pub struct Args {}

impl Args {
    pub(super) fn flags(&self, _flags: &mut Flags) {
        let Self {} = self;
    }

    pub(super) fn run(&self, context: &Context) -> Result<Kind> {
        let _ = (self, context);
        Err(Error::new(Kind::Bug, "not there yet"))
    }
}
