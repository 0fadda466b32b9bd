//! Asking a person before something that cannot be taken back, in words that are not typed by accident.

use std::io::{BufRead as _, IsTerminal as _};

use crate::error::{Context as _, Error, ErrorKind, Result};

use super::context::{CommandContext, Confirmation};

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
