//! `password_command`: a program that prints a short-lived password.

use std::process::Stdio;

use tokio::process::Command;

use super::failure::{Failure, FailureCause};
use crate::settings::secret::Secret;

/// How much of what the command said on stderr an error repeats.
const LONGEST: usize = 200;

/// Runs the command through the shell and takes what it prints, without the last line break.
/// Dropping the future kills it.
pub(crate) async fn ask(command: &Secret) -> Result<Secret, Failure> {
    let (shell, flag) = if cfg!(windows) {
        ("cmd", "/C")
    } else {
        ("sh", "-c")
    };
    let output = Command::new(shell)
        .args([flag, command.reveal()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|cause| Failure::detailed(FailureCause::PasswordCommand, cause))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last: String = said
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or_default()
            .trim()
            .chars()
            .take(LONGEST)
            .collect();
        let colon = if last.is_empty() { "" } else { ": " };
        return Err(Failure::detailed(
            FailureCause::PasswordCommand,
            format!("{}{colon}{last}", output.status),
        ));
    }
    let password = String::from_utf8_lossy(&output.stdout);
    match password.trim_end_matches(['\r', '\n']) {
        "" => Err(Failure::detailed(
            FailureCause::PasswordCommand,
            "it printed nothing",
        )),
        password => Ok(Secret::new(password)),
    }
}
