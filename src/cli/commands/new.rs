//! `pushctl new`: writes the first version of an audience or an automation.

mod audience;
mod automation;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::exit::ExitStatus;
use crate::settings::Origin;
use crate::settings::setting::Setting;

use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::help;

const STATUSES: [ExitStatus; 4] = [
    ExitStatus::Done,
    ExitStatus::Failed,
    ExitStatus::Usage,
    ExitStatus::Bug,
];

/// Write a new audience or automation file
///
/// The file passes `pushctl check`, sends nothing as it is, and says what to change. An existing file is never
/// replaced.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl new audience collectors --from layer2", "a copy of a built-in audience, to change"),
        ("pushctl new automation hello --audience layer3", "an automation for an audience"),
        ("pushctl new automation friday --from old/friday.json", "convert a JSON automation"),
    ]),
    after_help = help::statuses(&STATUSES),
    subcommand_required = true,
    arg_required_else_help = true,
)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Audience(audience::Args),
    Automation(automation::Args),
}

impl Subcommand for Args {
    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        match self.what {
            What::Audience(args) => args.run(&context),
            What::Automation(args) => args.run(&context),
        }
    }
}

/// Writes a file that must not exist yet, and the directories above it. `shown` is its path in messages.
fn write_new(path: &Path, shown: &str, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).kind(ErrorKind::Failed, || {
            format!("cannot create the directory of {shown}")
        })?;
    }
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(shown),
        _ => Error::from_cause(ErrorKind::Failed, error).context(format!("cannot create {shown}")),
    })?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // A part of it would look like the whole file.
        let _ = std::fs::remove_file(path);
    }
    written.kind(ErrorKind::Failed, || format!("cannot write {shown}"))
}

fn exists(shown: &str) -> Error {
    Error::usage(format!("{shown} already exists"))
        .hint("choose another name, or move the file away")
}

/// Returns whether a setting has its value from this command line, so that the next command needs the flag, too.
fn is_flag(context: &CommandContext, setting: &Setting) -> bool {
    let mut resolved = context.settings.resolved.iter();
    resolved.any(|one| one.key.name == setting.name && matches!(one.origin, Origin::Flag(_)))
}

/// Says what was written, and which commands come next.
fn say_next(context: &CommandContext, shown: &str, next: &[String]) {
    context.ui.say(format_args!("{shown} is written"));
    for command in next {
        context.ui.say(format_args!("next: {command}"));
    }
}
