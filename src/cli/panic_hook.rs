//! The panic hook: reports a panic as a bug, with exit status 70 and without text that may be secret.

use crate::exit::ExitStatus;
use std::io::Write as _;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::atomic::{AtomicBool, Ordering};

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// Runs `work`; a panic in it, or in any thread or task meanwhile, makes it [`ExitStatus::Bug`].
pub(super) fn guarded(work: impl FnOnce() -> ExitStatus) -> ExitStatus {
    panic::set_hook(Box::new(|panic| {
        HAPPENED.store(true, Ordering::SeqCst);
        let _ = writeln!(std::io::stderr(), "{}", describe(panic));
    }));
    let kind = panic::catch_unwind(AssertUnwindSafe(work));
    if HAPPENED.load(Ordering::SeqCst) {
        ExitStatus::Bug
    } else {
        kind.unwrap_or(ExitStatus::Bug)
    }
}

/// Returns the message of a panic. A message built at run time may contain secrets and is left out.
fn describe(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map_or_else(String::new, |place| {
        format!(" at {}:{}", place.file(), place.line())
    });
    let message = panic
        .payload()
        .downcast_ref::<&'static str>()
        .map_or_else(String::new, |message| format!(": {message}"));
    format!(
        "error: pushctl reached a state that should not exist{place}{message}\nhint: this is a bug in pushctl; please report it with the version ({}) and the command line",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_with_its_place_but_not_with_text_made_at_run_time() {
        use std::sync::Mutex;
        static MESSAGES: Mutex<Vec<String>> = Mutex::new(Vec::new());
        let before = panic::take_hook();
        panic::set_hook(Box::new(|panic| {
            if let Ok(mut message) = MESSAGES.lock() {
                message.push(describe(panic));
            }
        }));
        let secret = String::from("hunter2");
        let with_secret = panic::catch_unwind(|| panic!("cannot use {secret}"));
        let literal = panic::catch_unwind(|| panic!("no such state"));
        panic::set_hook(before);
        assert!(with_secret.is_err() && literal.is_err());
        let message = MESSAGES.lock().expect("not poisoned").join("\n");
        assert!(
            message.contains("src/cli/panic_hook.rs:") && message.contains(": no such state\n"),
            "{message}"
        );
        assert!(
            !message.contains("hunter2") && !message.contains("cannot use"),
            "{message}"
        );
    }
}
