//! `pushctl resume`: goes on with a run that was not finished, or lets a paused automation go on.

use crate::delivery::InDoubt;
use crate::error::{Error, Result};
use crate::exit::Kind;
use crate::pipeline::driver::DriveOptions;
use crate::pipeline::step::Lateness;
use crate::settings::{Flags, push};
use crate::state::{Run, RunStatus, Store};

use super::enable::enable;
use crate::cli::context::CommandContext;
use crate::cli::sending;
use crate::cli::sending::Sending;
use crate::cli::{conduct, help, run_selector, services};

/// Go on with a run that was not finished, or with a paused automation
///
/// Whoever was sent to is left alone, everybody else gets their push. Messages whose answer was never seen are in doubt,
/// and stay so unless --in-doubt retry says otherwise.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl resume last", "finish what was interrupted"),
        ("pushctl resume 019351a2 --in-doubt retry", "and send again what may not have arrived"),
        ("pushctl resume layer3 --enable", "end a pause, from the next occurrence on"),
    ]),
    after_help = help::statuses(&[
        Kind::Done, Kind::Failed, Kind::Usage, Kind::Partial, Kind::Credentials, Kind::Unreachable, Kind::Nothing,
        Kind::Locked, Kind::Refused, Kind::Cancelled, Kind::Bug, Kind::Interrupted, Kind::Terminated,
    ]),
)]
pub struct Args {
    /// The run's id, the beginning of it, or `last`; with --enable an automation's name
    #[arg(value_name = "RUN|NAME")]
    what: String,
    /// End the pause of the automation of this name
    #[arg(long, conflicts_with_all = ["in_doubt", "rate"])]
    enable: bool,
    /// Messages whose answer was never seen: keep them as they are, or send them again
    #[arg(long, value_name = "WHAT", value_enum)]
    in_doubt: Option<InDoubt>,
    /// Messages a second at most [default: as the run was begun]
    #[arg(long, value_name = "N")]
    rate: Option<String>,
}

impl Args {
    pub(crate) fn flags(&self, flags: &mut Flags) {
        let Self {
            what: _,
            enable: _,
            in_doubt: _,
            rate,
        } = self;
        flags.set(&push::RATE, rate.as_ref());
    }

    pub(crate) async fn run(self, context: &CommandContext) -> Result<Kind> {
        if self.enable {
            return enable(context, &self.what).await;
        }
        let store = services::store(context).await?;
        let run = run_selector::run(context, &store, &self.what).await?;
        // A finished run may still have messages in doubt.
        let can_go_on = matches!(run.status, RunStatus::Open | RunStatus::Refused);
        if !can_go_on && self.in_doubt != Some(InDoubt::Retry) {
            return Err(Error::new(
                Kind::Nothing,
                format!(
                    "run {} is {}: nothing is left to do",
                    run.id,
                    run.status.as_str()
                ),
            ));
        }
        // What a safeguard stopped goes on when a person says so, and not by itself.
        if run.status == RunStatus::Refused && !store.reopen_run(&run.id).await? {
            return Err(Error::new(
                Kind::Locked,
                format!("another run has taken {} up", run.occurrence),
            ));
        }
        if run.plan.get("course").is_some() {
            return conduct::resume(context, &store, &run, HOW, self.in_doubt).await;
        }
        self.resume_send(context, &store, &run).await
    }

    async fn resume_send(
        &self,
        context: &CommandContext,
        store: &Store,
        run: &Run,
    ) -> Result<Kind> {
        let mut order = sending::order_of(run)?;
        if let Some(in_doubt) = self.in_doubt {
            order.in_doubt = in_doubt;
        }
        if self.rate.is_some() {
            order.rate = Some(context.settings.push.rate);
        }
        let sending = Sending::again(context, order).await?;
        let lease = sending.hold(context, store).await?;
        sending.conduct(context, store, &run.id, lease).await
    }
}

/// A person resumes: it is as late as it is, and what is due later is waited for.
const HOW: DriveOptions = DriveOptions {
    stay: true,
    until: None,
    lateness: Lateness::Waived,
};
