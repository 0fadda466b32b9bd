//! The asynchronous runtime of a command, and its signals.
//!
//! SIGINT, SIGTERM and SIGHUP (a closed terminal) ask the command to end. A second SIGINT or SIGTERM ends the process
//! immediately, and says what it leaves in doubt. SIGUSR1 prints the progress.
//! The runtime is left with `shutdown_background`: a name lookup that hangs must not delay the exit.

use std::future;
use std::sync::mpsc;
use std::time::Duration;

use crate::exit::ExitStatus;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::count::counted;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::interrupt::{self, Interrupt, Trigger};
use crate::limits;
use crate::ui::Ui;

use super::context::CommandContext;

/// How long the last message of a process may take that ends immediately.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs `command` to its end.
pub(super) fn run<T>(
    mut context: CommandContext,
    command: impl AsyncFnOnce(CommandContext) -> Result<T>,
) -> Result<T> {
    limits::check_open_files()?;
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .kind(ErrorKind::Failed, || "cannot start the runtime")?;
    let (trigger, interrupt) = interrupt::channel();
    context.interrupt = interrupt;
    let ui = context.ui.clone();
    let (open_stores, budget) = (context.open_stores.clone(), context.budget.clone());
    let result = runtime.block_on(async {
        let signals = Signals::catch()?;
        tokio::spawn(signals.listen(trigger, ui));
        let result = tokio::select! {
            result = Box::pin(command(context)) => result,
            error = budget.overrun() => Err(error),
        };
        // The process would end before the stores' threads notice that they are unused.
        open_stores.close(&budget).await;
        result
    });
    runtime.shutdown_background();
    result
}

/// Runs work on files that may take long: a signal ends it at once, and SIGUSR1 shows `stage`.
pub(super) fn run_blocking<T: Send + 'static>(
    context: &CommandContext,
    stage: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    run(context.clone(), async |context| {
        let progress = context.ui.waiting();
        progress.stage(stage);
        let working = tokio::task::spawn_blocking(work);
        let done = tokio::select! {
            kind = context.interrupt.wait() => Err(Interrupt::error(kind)),
            done = working => done.kind(ErrorKind::Bug, || "the work ended without a result")?,
        };
        progress.finish();
        done
    })
}

/// Makes a write beyond the limit of file sizes an error; by default SIGXFSZ ends the process.
pub(super) fn survive_file_limit() {
    let kind = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // Where a runtime cannot start, the command ends with an error of its own.
    if limits::check_open_files().is_err() {
        return;
    }
    if let Ok(runtime) = Builder::new_current_thread().enable_all().build() {
        // The handler stays when the listener and the runtime are gone.
        runtime.block_on(async { drop(signal(kind)) });
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// `None` if it is ignored, as under `nohup`: it stays ignored.
    hang_up: Option<Signal>,
    progress: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        let catch = |kind| signal(kind).kind(ErrorKind::Failed, || "cannot listen for signals");
        let hang_up = SignalKind::hangup();
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            hang_up: (!is_ignored(hang_up)).then(|| catch(hang_up)).transpose()?,
            progress: catch(SignalKind::user_defined1())?,
        })
    }

    async fn listen(mut self, trigger: Trigger, ui: Ui) {
        let mut is_ending = false;
        loop {
            let hung_up = async {
                match &mut self.hang_up {
                    Some(signal) => signal.recv().await,
                    None => future::pending().await,
                }
            };
            let (kind, is_final) = tokio::select! {
                Some(()) = self.interrupt.recv() => (ErrorKind::Interrupted, true),
                Some(()) = self.terminate.recv() => (ErrorKind::Terminated, true),
                // A closed terminal often sends two: one of the shell, one of the kernel.
                Some(()) = hung_up => (ErrorKind::Terminated, false),
                Some(()) = self.progress.recv() => {
                    ui.report_progress();
                    continue;
                }
                else => return,
            };
            if is_ending && is_final {
                exit_at_once(kind, trigger.unanswered(), ui);
            }
            if !is_ending {
                is_ending = true;
                let after = match trigger.unanswered() {
                    Some(_) => " after the messages in flight",
                    None => "",
                };
                ui.say(format_args!(
                    "stopping{after}; press Ctrl-C again to stop immediately"
                ));
                trigger.fire(kind);
            }
        }
    }
}

/// Returns whether the process began with a signal ignored. Linux says so; elsewhere it counts as not ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

/// Says what is in doubt and ends the process, also if the terminal or pipe takes no text.
#[expect(clippy::exit, reason = "a second signal ends the process immediately")]
fn exit_at_once(kind: ErrorKind, unanswered: Option<(String, usize)>, ui: Ui) -> ! {
    let error = stopped(kind, unanswered);
    let (said, done) = mpsc::channel();
    std::thread::spawn(move || {
        ui.error(&error);
        let _ = said.send(());
    });
    let _ = done.recv_timeout(LAST_WORDS);
    std::process::exit(i32::from(ExitStatus::from(kind).code()))
}

fn stopped(kind: ErrorKind, unanswered: Option<(String, usize)>) -> Error {
    let Some((run, count)) = unanswered else {
        return Error::new(kind, "stopped immediately");
    };
    if count == 0 {
        return Error::new(kind, "stopped immediately; no message is in doubt")
            .hint(format!("`pushctl resume {run}` sends the rest"));
    }
    let messages = counted(count as u64, "messages");
    Error::new(
        kind,
        format!("stopped immediately: {messages} of run {run} had no answer yet and may be in doubt"),
    )
    .hint(format!(
        "`pushctl resume {run}` sends the rest and lists what is in doubt; with `--in-doubt retry` it sends that again"
    ))
}
