//! Live completion: the scripts of `pushctl completions` ask here at each key press.
//!
//! Answers come from the command line's own definition, from query and automation files and from an embedded state store,
//! never from a network, and whatever is broken completes to less, silently.

use std::ffi::OsString;

use clap_complete::CompleteEnv;

use crate::exit::Kind;
use crate::settings::Environment;

use super::ahead::Ahead;
use super::{offer, remembered};

/// The variable by which a script says which shell asks.
pub(super) const VARIABLE: &str = "PUSHCTL_COMPLETE";

/// Whether a script asks.
pub(super) fn is_asked(environment: &Environment) -> bool {
    environment.process(VARIABLE).is_some()
}

/// Writes the candidates, or for a shell that asks for nothing its script.
pub(super) fn answer(arguments: Vec<OsString>) -> Kind {
    let asked: Vec<OsString> = arguments
        .iter()
        .skip_while(|argument| *argument != "--")
        .skip(1)
        .cloned()
        .collect();
    let environment = Environment::of_process();
    let factory = || {
        let ahead = Ahead::look(&asked);
        let command = super::command(&offer::ahead_of_parsing(&ahead, &environment).offers);
        remembered::extend(command, &ahead, &environment)
    };
    let answered = CompleteEnv::with_factory(factory)
        .var(VARIABLE)
        .bin("pushctl")
        .completer("pushctl")
        .try_complete(arguments, Some(environment.directory()));
    match answered {
        Ok(_) => Kind::Done,
        // The shell shows nothing but the lack of candidates; a message would end up in the command line.
        Err(_) => Kind::Usage,
    }
}
