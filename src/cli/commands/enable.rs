//! `pushctl resume NAME --enable`: ends the pause of an automation.

use crate::exit::ExitStatus;
use serde_json::json;

use crate::error::Result;
use crate::ui::Document;

use crate::cli::context::CommandContext;
use crate::cli::time_limit::bounded;
use crate::cli::{run_selector, services};

/// Ends the pause of an automation. One that is not paused is told apart from one that nobody has heard of.
pub(crate) async fn enable(context: &CommandContext, name: &str) -> Result<ExitStatus> {
    bounded(context, end_pause(context, name)).await
}

async fn end_pause(context: &CommandContext, name: &str) -> Result<ExitStatus> {
    let store = services::store(context).await?;
    let was_paused = store.unpause(name).await?;
    if was_paused {
        context
            .ui
            .say(format_args!("{name} goes on with its next occurrence"));
    } else {
        let names = run_selector::names(context, &store).await?;
        if !names.iter().any(|known| known == name) {
            return Err(run_selector::unknown(name, &names));
        }
        context.ui.say(format_args!("{name} was not paused"));
    }
    if context.ui.document() == Document::Json {
        context
            .ui
            .json(&json!({ "automation": name, "paused": false, "was_paused": was_paused }))?;
    }
    Ok(ExitStatus::Done)
}
