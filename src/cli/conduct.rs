//! What came of a pipeline's runs, as it is printed.

use serde_json::Value;

use crate::error::Result;
use crate::report::pipeline as report;
use crate::settings::logging::LogFormat;
use crate::ui::{Document, Loudness};

use super::context::CommandContext;

/// What came of each run. As JSON an array for `--all`, however many there are.
pub(super) fn show(context: &CommandContext, documents: &[Value], all: bool) -> Result<()> {
    if context.ui.document() == Document::Json {
        return match documents {
            [one] if !all => context.ui.json(one),
            several => context.ui.json(&several),
        };
    }
    if context.ui.loudness() == Loudness::Quiet {
        return Ok(());
    }
    let with_pushes = |document: &&Value| document.get("pushes").is_some();
    for document in documents.iter().filter(with_pushes) {
        // Where logs are collected as JSON lines, a line is all there may be.
        if context.settings.talk.log_format == LogFormat::Json {
            context.ui.say(report::line(document));
        } else {
            let text = report::text(document, context.ui.stdout_pen());
            context.ui.print(text)?;
        }
    }
    Ok(())
}
