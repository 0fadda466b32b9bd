//! What a send asks a person, and what is printed of it.

use crate::delivery::preview::render;
use crate::delivery::{Reach, Summary};
use crate::error::{Error, ErrorKind, Result};
use crate::report::{counted, number, send as report};
use crate::run::gates::{Override, Overrides};
use crate::run::send::Sending;
use crate::settings::logging::LogFormat;
use crate::template::push::{Problem, PushTemplate};
use crate::ui::{Document, Loudness};

use super::context::{CommandContext, Confirmation};
use super::message_args::hosts;
use super::{confirm, services};

/// What `send` asks a person, and what they should know: how many, the layer, the link, how it reads on a phone, whom the
/// history holds back, which guards are off.
pub(super) async fn confirm(
    context: &CommandContext,
    sending: &mut Sending,
    overrides: &Overrides,
) -> Result<()> {
    if sending.order.reach == Reach::ValidateOnly || context.confirmation == Confirmation::Given {
        return Ok(());
    }
    let count = sending.count();
    let mut facts = vec![format!(
        "\"{}\" goes to the phones of up to {} ({})",
        sending.order.wording.title,
        counted(count, "people"),
        counted(sending.plan.rows, "rows")
    )];
    facts.extend(described(context, sending)?);
    // Where no person is asked, the question is an error, and no store is opened for it.
    if confirm::can_ask() {
        facts.push(held_back(context, sending).await?);
    }
    facts.extend(switched_off(overrides));
    confirm::confirm(context, &facts.join("\n  "), &format!("send {count}"))
}

fn described(context: &CommandContext, sending: &Sending) -> Result<Vec<String>> {
    let order = &sending.order;
    let push = PushTemplate::parse(&order.wording, &hosts(context)?)
        .map_err(|all| Problem::error(&all))?;
    let link = order.wording.deep_link.as_deref().unwrap_or("none");
    let mut facts = vec![format!("layer {}, link {link}", order.layer)];
    let rendered = render(&order.input, &push, 1)?;
    if let Some(sample) = rendered.samples.first() {
        facts.push(format!(
            "the shortest of them reads \"{}\" / \"{}\"",
            sample.title, sample.body
        ));
    }
    Ok(facts)
}

async fn held_back(context: &CommandContext, sending: &mut Sending) -> Result<String> {
    let run_context = services::run_context(context, "send");
    let store = services::store(context).await?;
    Ok(match sending.held_back(&run_context, &store).await {
        Ok(0) => "the notification history holds none of them back".to_owned(),
        Ok(count) => format!(
            "the notification history holds {} of them back",
            number(count)
        ),
        Err(error) => {
            format!("the notification history does not say whom it holds back: {error:#}")
        }
    })
}

/// The guards that a person has switched off for this run.
pub(super) fn switched_off(overrides: &Overrides) -> Vec<String> {
    let of = |one: &Override| format!("guards off: {one}");
    overrides.0.iter().map(of).collect()
}

/// The summary, as a document or for a person.
pub(super) fn tell(context: &CommandContext, summary: &Summary) -> Result<()> {
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
        context.ui.say(report::line(summary));
        return Ok(());
    }
    context
        .ui
        .print(report::text(summary, context.ui.stdout_pen()))
}
