//! Hands the list of dead tokens to a command of the user: pushctl writes nothing to the source, so its owner decides
//! what becomes of them. A failure is a note; the list stays in its file.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::budget::Budget;
use crate::clock::text::Seconds;

/// The longest time that the command may take.
const LIMIT: Duration = Duration::from_secs(60);
/// The maximum of its last error message in a note, in characters.
const SHOWN: usize = 300;

/// Runs the command with the list on its standard input. Returns the note about a failure.
pub(super) async fn run(command: &str, list: &Path, run: &str, budget: &Budget) -> Option<String> {
    let limit = LIMIT.min(budget.left() / 2);
    let failure = match start(command, list, run) {
        Ok(child) => outcome(child, limit).await.err(),
        Err(error) => Some(format!("cannot be started: {error}")),
    };
    failure.map(|why| {
        format!(
            "dead_tokens.command {why}; the dead tokens are in {}",
            list.display()
        )
    })
}

/// Its own process group, so that a time-out ends what it has started, too.
fn start(command: &str, list: &Path, run: &str) -> std::io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", command])
        .env("PUSHCTL_RUN", run)
        .stdin(File::open(list)?)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

async fn outcome(child: Child, limit: Duration) -> Result<(), String> {
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let Ok(ended) = timeout(limit, child.wait_with_output()).await else {
        if let Some(group) = group {
            let _ = kill_process_group(group, Signal::KILL);
        }
        return Err(format!("did not end within {}", Seconds(limit)));
    };
    let output = ended.map_err(|error| format!("failed: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    let last =
        last.map(|line| format!(": {}", line.trim().chars().take(SHOWN).collect::<String>()));
    Err(format!(
        "{}{}",
        described(output.status),
        last.unwrap_or_default()
    ))
}

fn described(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (None, signal) => format!("was ended by signal {}", signal.unwrap_or_default()),
    }
}
