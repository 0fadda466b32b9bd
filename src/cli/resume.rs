//! `pushctl resume`: goes on with a run that was not finished.

use crate::delivery::{InDoubt, Order};
use crate::error::{Context as _, Error, Result};
use crate::exit::Kind;
use crate::settings::{Flags, push};
use crate::state::RunStatus;

use super::context::Context;
use super::help;
use super::sending::Sending;
use super::services;

/// Go on with a run that was not finished
///
/// Whoever was sent to is left alone, everybody else gets their push. Messages whose answer was never seen are in doubt,
/// and stay so unless --in-doubt retry says otherwise.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl resume 019351a2-8c1e-7d43-9b5e-0c1f2a3b4c5d", "finish what was interrupted"),
        ("pushctl resume 019351a2-8c1e-7d43-9b5e-0c1f2a3b4c5d --in-doubt retry", "and send again what may not have arrived"),
    ]),
    after_help = help::statuses(&[
        Kind::Done, Kind::Failed, Kind::Usage, Kind::Partial, Kind::Credentials, Kind::Unreachable, Kind::Nothing,
        Kind::Locked, Kind::Refused, Kind::Cancelled, Kind::Bug, Kind::Interrupted, Kind::Terminated,
    ]),
)]
pub struct Args {
    /// The run's id
    #[arg(value_name = "RUN")]
    run: String,
    /// Messages whose answer was never seen: keep them as they are, or send them again
    #[arg(long, value_name = "WHAT", value_enum)]
    in_doubt: Option<InDoubt>,
    /// Messages a second at most [default: as the run was begun]
    #[arg(long, value_name = "N")]
    rate: Option<String>,
}

impl Args {
    pub(super) fn flags(&self, flags: &mut Flags) {
        let Self {
            run: _,
            in_doubt: _,
            rate,
        } = self;
        flags.set(&push::RATE, rate.as_ref());
    }

    pub(super) async fn run(self, context: &Context) -> Result<Kind> {
        let store = services::store(context).await?;
        let run = store.run(&self.run).await?.ok_or_else(|| {
            Error::usage(format!("there is no run {}", self.run)).hint("`pushctl runs` lists them")
        })?;
        let order = run.plan.get("order").cloned().unwrap_or_default();
        let mut order: Order = serde_json::from_value(order)
            .kind(Kind::Usage, || format!("run {} is not a send", run.id))?;
        if let Some(in_doubt) = self.in_doubt {
            order.in_doubt = in_doubt;
        }
        if self.rate.is_some() {
            order.rate = Some(context.settings.push.rate);
        }
        // A finished run may still have messages in doubt.
        let can_go_on = matches!(run.status, RunStatus::Open | RunStatus::Refused);
        if !can_go_on && self.in_doubt != Some(InDoubt::Retry) {
            return Err(Error::new(
                Kind::Nothing,
                format!(
                    "run {} is {}: nothing is left to do",
                    run.id,
                    run.status.word()
                ),
            ));
        }
        let sending = Sending::again(context, order).await?;
        let lease = sending.hold(context, &store).await?;
        // What a safeguard stopped goes on when a person says so, and not by itself.
        if run.status == RunStatus::Refused && !store.reopen_run(&run.id).await? {
            return Err(Error::new(
                Kind::Locked,
                format!("another run has taken {} up", run.occurrence),
            ));
        }
        sending.conduct(context, &store, &run.id, lease).await
    }
}
