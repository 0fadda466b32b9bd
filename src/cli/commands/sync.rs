//! `pushctl sync`: delivers accepted pushes to the notification history that it does not have yet.

use crate::exit::ExitStatus;
use serde_json::json;

use crate::cadence::Synced;
use crate::error::{Error, ErrorKind, Result};
use crate::report::{counted, number};
use crate::settings::cadence::HISTORY;
use crate::ui::Document;

use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::CommandContext;
use crate::cli::time_limit::bounded;
use crate::cli::{help, services, setting_args};

/// Record accepted pushes that the notification history is missing
///
/// A send records its pushes itself. Pushes that could not be recorded stay in the state store, and count for the
/// cadence rules until they are delivered. The command can be repeated.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl sync", "deliver the missing pushes"),
        ("pushctl sync -q", "for cron: silent unless it fails"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Partial, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Locked, ExitStatus::Bug,
        ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
    args = setting_args::flags(&[&HISTORY]),
)]
pub struct Args {}

impl AsyncSubcommand for Args {
    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        let store = bounded(context, services::store(context)).await?;
        let cadence = services::cadence(context, &store)?;
        let synced = bounded(context, cadence.sync(&services::holder(context))).await?;
        print_result(context, synced)
    }
}

fn print_result(context: &CommandContext, synced: Synced) -> Result<ExitStatus> {
    let ui = &context.ui;
    let Synced {
        delivered,
        unrecordable,
        left,
        set_aside,
        failure,
    } = synced;
    if ui.document() == Document::Json {
        let failure = failure.as_ref().map(|error| format!("{error:#}"));
        ui.json(&json!({
            "delivered": delivered, "unrecordable": unrecordable, "left": left,
            "set_aside": set_aside.iter().map(|(reason, count)| json!({ "reason": reason, "count": count })).collect::<Vec<_>>(),
            "failure": failure,
        }))?;
    }
    if delivered > 0 || left == 0 {
        ui.say(match delivered {
            0 => "no pushes are missing in the notification history".to_owned(),
            some => format!(
                "{} recorded in the notification history",
                counted(some, "pushes")
            ),
        });
    }
    if unrecordable > 0 {
        ui.warn(format_args!(
            "{} to users without a UUID cannot be recorded there, and were dropped",
            counted(unrecordable, "pushes")
        ));
    }
    for (reason, count) in &set_aside {
        ui.warn(format_args!(
            "{} set aside: {reason}",
            counted(*count, "pushes")
        ));
    }
    let owed = match left {
        0 => return Ok(ExitStatus::Done),
        1 => "1 push is still missing in the notification history".to_owned(),
        many => format!(
            "{} pushes are still missing in the notification history",
            number(many)
        ),
    };
    if failure.is_none() && left == set_aside.values().sum::<u64>() {
        return Err(Error::new(
            ErrorKind::Partial,
            format!("{owed}: the history refuses them"),
        )
        .hint("they count for the cadence rules; the next `pushctl sync` tries them again"));
    }
    Err(match failure {
        Some(error) => error
            .context(owed)
            .hint("they count for the cadence rules; repeat `pushctl sync`"),
        None => Error::usage(format!(
            "{owed}: the configured history is not the one of their send"
        ))
        .hint("set PUSH_CADENCE_DATABASE_URL or CADENCE_SERVICE_URL as at the time of the send"),
    })
}
