//! `pushctl generate`: an audience becomes CSV files.

use crate::error::{Error, Result};
use crate::exit::{self, Kind};
use crate::settings::Flags;
use crate::ui::Stdout;

use super::context::Context;
use super::help;
use super::offer::Chosen;

/// Write an audience as CSV files
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

    pub(super) fn stdout(&self) -> Stdout {
        let Self { chosen: _ } = self;
        Stdout::Free
    }

    pub(super) async fn run(self, context: &Context) -> Result<Kind> {
        let _ = context;
        Err(Error::new(Kind::Bug, "not there yet"))
    }
}
