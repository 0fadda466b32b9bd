//! Asking a person before something that cannot be taken back, in words that are not typed by accident.

use std::io::{BufRead as _, IsTerminal as _};

use crate::delivery::Reach;
use crate::delivery::preview::render;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::report::{counted, number};
use crate::run::gates::{Override, Overrides};
use crate::run::send::Sending;
use crate::template::push::{Problem, PushTemplate};

use super::context::{CommandContext, Confirmation};
use super::message_args::hosts;
use super::services;

/// Whether a person is there who can be asked.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Says `what` is about to happen and wants `phrase` typed. Where nobody can be asked, `--yes` must have been given.
pub(super) fn confirm(context: &CommandContext, what: &str, phrase: &str) -> Result<()> {
    if context.confirmation == Confirmation::Given {
        return Ok(());
    }
    if !can_ask() {
        return Err(
            Error::usage(format!("{what}, and there is nobody here to confirm it"))
                .hint("add --yes if that is what you want"),
        );
    }
    context
        .ui
        .say(format_args!("{what}.\nType \"{phrase}\" to go on:"));
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
            "not confirmed, so nothing was done",
        ))
    }
}

/// What `send` asks a person, and what they should know: how many, the layer, the link, how it reads on a phone, whom the
/// history holds back, which guards are off.
pub(super) async fn confirm_send(
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
    if can_ask() {
        facts.push(held_back(context, sending).await?);
    }
    facts.extend(switched_off(overrides));
    confirm(context, &facts.join("\n  "), &format!("send {count}"))
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
