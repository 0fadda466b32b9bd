//! `pushctl why`: which conditions hold for one person.

use crate::error::{Error, Result};
use crate::exit::Kind;
use crate::settings::Flags;

use super::context::Context;
use super::help;
use super::offer::Chosen;

/// Stands for a person in the examples.
pub(super) const EXAMPLE_USER: &str = "0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11";

/// Say which conditions hold for one person
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[("pushctl why layer2 --user 0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11", "whether this person is in it")]),
    after_help = help::statuses(&[Kind::Done]),
)]
pub struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// The person's id
    #[arg(long, global = true, value_name = "ID")]
    user: Option<String>,
}

impl Args {
    pub(super) fn flags(&self, _flags: &mut Flags) {
        let Self { chosen: _, user: _ } = self;
    }

    pub(super) async fn run(self, context: &Context) -> Result<Kind> {
        let _ = (self, context);
        std::future::ready(()).await;
        Err(Error::new(Kind::Bug, "not there yet"))
    }
}
