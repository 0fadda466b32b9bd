//! `pushctl completions`: prints the completion script of a shell.

use crate::exit::ExitStatus;
use std::io::Write as _;

use clap::ValueEnum;
use clap_complete::env::Shells;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::ui::Ui;

use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::{completion, help};

/// Print the completion script of a shell
///
/// The script calls pushctl for its candidates, so it also completes your own audiences.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl completions bash", "for ~/.local/share/bash-completion/completions/pushctl"),
        ("pushctl completions zsh", "for _pushctl in a directory of $fpath"),
        ("pushctl completions fish", "as ~/.config/fish/completions/pushctl.fish"),
    ]),
    after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Usage, ExitStatus::Bug]),
)]
pub struct Args {
    /// Shell
    shell: Shell,
}

/// Shells with a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    #[value(name = "powershell")]
    PowerShell,
    /// Elvish
    Elvish,
}

impl Shell {
    /// Returns the file in `completions/` that holds its script.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Bash => "pushctl.bash",
            Self::Zsh => "_pushctl",
            Self::Fish => "pushctl.fish",
            Self::PowerShell => "_pushctl.ps1",
            Self::Elvish => "pushctl.elv",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::PowerShell => "powershell",
            Self::Elvish => "elvish",
        }
    }
}

/// Returns the script of `shell`.
pub fn script(shell: Shell) -> Result<String> {
    let shells = Shells::builtins();
    let completer = shells.completer(shell.name()).ok_or_else(|| {
        Error::new(
            ErrorKind::Bug,
            format!("no completion for {}", shell.name()),
        )
    })?;
    let mut script = Vec::new();
    completer
        .write_registration(
            completion::VARIABLE,
            "pushctl",
            "pushctl",
            "pushctl",
            &mut script,
        )
        .kind(ErrorKind::Bug, || "cannot write the completion script")?;
    let script =
        String::from_utf8(script).kind(ErrorKind::Bug, || "the completion script is not UTF-8")?;
    Ok(format!("{}\n", script.trim()))
}

impl Subcommand for Args {
    fn run_without_settings(&self, ui: &Ui) -> Option<Result<ExitStatus>> {
        Some(self.print(ui))
    }

    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        self.print(&context.ui)
    }
}

impl Args {
    fn print(&self, ui: &Ui) -> Result<ExitStatus> {
        let script = script(self.shell)?;
        ui.stdout()
            .write_all(script.as_bytes())
            .kind(ErrorKind::Failed, || "cannot write to standard output")?;
        Ok(ExitStatus::Done)
    }
}
