//! Prints the results of sends and pipelines.

use crate::delivery::Summary;
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::{OpenRun, RunDocument};
use crate::report::{pipeline, send};
use crate::settings::logging::LogFormat;
use crate::ui::{Document, Loudness};

use super::context::CommandContext;

/// Prints the summary of a send.
pub(super) fn print_summary(context: &CommandContext, summary: &Summary) -> Result<()> {
    if !summary.adds_up() {
        context.ui.error(&Error::new(
            ErrorKind::Bug,
            "the sums do not add up to the rows",
        ));
    }
    if context.ui.document() == Document::Json {
        return context.ui.json(summary);
    }
    if context.ui.loudness() == Loudness::Quiet {
        return Ok(());
    }
    if context.settings.talk.log_format == LogFormat::Json {
        context.ui.say(send::line(summary));
        return Ok(());
    }
    context
        .ui
        .print(send::text(summary, context.ui.stdout_pen()))
}

/// Prints the result of each run; with `--json`, `--all` always gives an array.
pub(super) fn print_pipelines(
    context: &CommandContext,
    documents: &[RunDocument],
    all: bool,
) -> Result<()> {
    if context.ui.document() == Document::Json {
        return match documents {
            [one] if !all => context.ui.json(one),
            several => context.ui.json(&several),
        };
    }
    if context.ui.loudness() == Loudness::Quiet {
        return Ok(());
    }
    for document in documents {
        if let RunDocument::Open(OpenRun { pushes: None, .. }) = document {
            continue;
        }
        let run = document.summary();
        // Where logs are JSON lines, the result is one line.
        if context.settings.talk.log_format == LogFormat::Json {
            context.ui.say(pipeline::line(&run));
        } else {
            let text = pipeline::text(&run, context.ui.stdout_pen());
            context.ui.print(text)?;
        }
    }
    Ok(())
}
