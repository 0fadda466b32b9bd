//! Asks for a confirmation before what cannot be undone, with a phrase that is not typed by accident.

use std::io::{BufRead as _, IsTerminal as _};

use crate::delivery::Reach;
use crate::delivery::groups::VariantSplit;
use crate::delivery::preview::render;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::report::{counted, number};
use crate::run::gates::{Override, Overrides};
use crate::run::send::PreparedSend;
use crate::template::push::{Problem, PushTemplate};

use super::context::{CommandContext, Confirmation};
use super::message_args::hosts;
use super::services;

/// Returns whether a terminal is there to ask a question on.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Returns whether a send is refused because it is not confirmed, and there is no terminal to ask on.
pub(super) fn is_refused(context: &CommandContext, reach: Reach) -> bool {
    reach == Reach::Live && context.confirmation != Confirmation::Given && !can_ask()
}

/// Shows what is about to happen and waits for `phrase`. Without a terminal, `--yes` is required.
pub(super) fn confirm(context: &CommandContext, what: &str, phrase: &str) -> Result<()> {
    if context.confirmation == Confirmation::Given {
        return Ok(());
    }
    if !can_ask() {
        return Err(Error::usage(format!(
            "{what}: not confirmed, and there is no terminal to ask on"
        ))
        .hint("confirm with --yes"));
    }
    context
        .ui
        .say(format_args!("{what}.\nType \"{phrase}\" to continue:"));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .kind(ErrorKind::Failed, || "cannot read the answer")?;
    if answer.trim().eq_ignore_ascii_case(phrase) {
        Ok(())
    } else {
        Err(Error::new(
            ErrorKind::Refused,
            "not confirmed: nothing was done",
        ))
    }
}

/// Asks before a send, and shows the number of recipients, the layer, the link, a rendered message, the recipients that
/// the notification history holds back, and the overridden guards.
pub(super) async fn confirm_send(
    context: &CommandContext,
    sending: &mut PreparedSend,
    overrides: &Overrides,
) -> Result<()> {
    if sending.order.reach == Reach::ValidateOnly || context.confirmation == Confirmation::Given {
        return Ok(());
    }
    let count = sending.count();
    let mut facts = vec![format!(
        "\"{}\" will be sent to up to {} ({})",
        sending.order.wording.title,
        counted(count, "recipients"),
        counted(sending.plan.rows, "rows")
    )];
    facts.extend(described(context, sending)?);
    // Without a terminal the question is an error, and needs no store.
    if can_ask() {
        facts.push(held_back(context, sending).await?);
    }
    facts.extend(switched_off(overrides));
    confirm(context, &facts.join("\n  "), &format!("send {count}"))
}

fn described(context: &CommandContext, sending: &PreparedSend) -> Result<Vec<String>> {
    let order = &sending.order;
    let push = PushTemplate::parse(&order.wording, &hosts(context)?)
        .map_err(|all| Problem::error(&all))?;
    let link = order.wording.deep_link.as_deref().unwrap_or("none");
    let mut facts = vec![format!("layer {}, link {link}", order.layer)];
    let rendered = render(&order.input, &push, &VariantSplit::of(order), 1)?;
    if let Some(sample) = rendered.samples.first() {
        facts.push(format!(
            "the shortest message reads \"{}\" / \"{}\"",
            sample.title, sample.body
        ));
    }
    Ok(facts)
}

async fn held_back(context: &CommandContext, sending: &mut PreparedSend) -> Result<String> {
    let run_context = services::run_context(context, "send");
    let store = services::store_of_dry_run(context).await?;
    Ok(match sending.count_excluded(&run_context, &store).await {
        Ok(0) => "the notification history holds back no recipient".to_owned(),
        Ok(count) => format!(
            "the notification history holds back {} of them",
            number(count)
        ),
        Err(error) => {
            format!("recipients held back by the notification history: unknown ({error:#})")
        }
    })
}

/// Returns a line for each overridden guard of this run.
pub(super) fn switched_off(overrides: &Overrides) -> Vec<String> {
    let of = |one: &Override| format!("overridden guards: {one}");
    overrides.0.iter().map(of).collect()
}
