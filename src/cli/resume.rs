//! `pushctl resume`: lets a paused automation go on, or an interrupted run.

use crate::error::{Error, Result};
use crate::exit::Kind;
use crate::ui::Stdout;

use super::context::Context;
use super::enable::enable;
use super::help;

/// Go on with an automation that was paused
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl resume layer3-daily --enable", "end its pause, from its next occurrence on"),
    ]),
    after_help = help::statuses(&[
        Kind::Done, Kind::Failed, Kind::Usage, Kind::Credentials, Kind::Unreachable, Kind::Bug,
        Kind::Interrupted, Kind::Terminated,
    ]),
)]
pub struct Args {
    /// What is to go on
    #[arg(value_name = "NAME|RUN")]
    what: String,
    /// End the pause of the automation of this name
    #[arg(long)]
    enable: bool,
}

impl Args {
    pub(super) fn stdout() -> Stdout {
        Stdout::Free
    }

    pub(super) async fn run(self, context: &Context) -> Result<Kind> {
        if self.enable {
            return enable(context, &self.what).await;
        }
        Err(
            Error::usage("a run cannot be resumed by this version").hint(format!(
                "`pushctl resume {} --enable` ends a pause",
                self.what
            )),
        )
    }
}
