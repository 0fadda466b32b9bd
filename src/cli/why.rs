//! `pushctl why`: which conditions hold for one person.

use crate::error::{Error, Result};
use crate::exit::{self, Kind};
use crate::settings::Flags;

use super::context::Context;
use super::help;
use super::offer::Chosen;

/// Say which conditions hold for one person
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[("pushctl generate layer2", "into ./generated")]),
    after_help = exit::help(&[Kind::Done]),
)]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
}

impl Args {
    pub(super) fn flags(&self, _flags: &mut Flags) {
        let Self { chosen: _ } = self;
    }

    pub(super) async fn run(self, context: &Context) -> Result<Kind> {
        let _ = context;
        Err(Error::new(Kind::Bug, "not there yet"))
    }
}
