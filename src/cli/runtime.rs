//! The asynchronous runtime of a command, and its signals.
//!
//! SIGINT and SIGTERM ask the command to end; a second one ends the process immediately. SIGUSR1 prints the progress.
//! The runtime is left with `shutdown_background`: a name lookup that hangs must not delay the exit.

use crate::exit::ExitStatus;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{Context as _, ErrorKind, Result};
use crate::interrupt::{self, Trigger};
use crate::ui::Ui;

use super::context::CommandContext;

/// Runs `command` to its end.
pub(super) fn run(
    mut context: CommandContext,
    command: impl AsyncFnOnce(CommandContext) -> Result<ExitStatus>,
) -> Result<ExitStatus> {
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

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    progress: Signal,
}

impl Signals {
    fn catch() -> Result<Self> {
        let catch = |kind| signal(kind).kind(ErrorKind::Failed, || "cannot listen for signals");
        Ok(Self {
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
            progress: catch(SignalKind::user_defined1())?,
        })
    }

    async fn listen(mut self, trigger: Trigger, ui: Ui) {
        let mut is_ending = false;
        loop {
            let kind = tokio::select! {
                Some(()) = self.interrupt.recv() => ErrorKind::Interrupted,
                Some(()) = self.terminate.recv() => ErrorKind::Terminated,
                Some(()) = self.progress.recv() => {
                    ui.report_progress();
                    continue;
                }
                else => return,
            };
            if is_ending {
                exit_at_once(kind);
            }
            is_ending = true;
            ui.say("stopping after the messages in flight; press Ctrl-C again to stop immediately");
            trigger.fire(kind);
        }
    }
}

#[expect(clippy::exit, reason = "a second signal ends the process immediately")]
fn exit_at_once(kind: ErrorKind) -> ! {
    std::process::exit(i32::from(ExitStatus::from(kind).code()))
}
