//! `pushctl runs files`: writes the outcome files of a run again.

use crate::exit::ExitStatus;
use std::path::PathBuf;

use clap::ValueHint;

use crate::cli::context::CommandContext;
use crate::cli::{help, run_selector, services};
use crate::delivery::outcome_files::rewrite;
use crate::error::Result;

use super::STATUSES;

/// Write the outcome files of a run again
///
/// For a run whose files could not be written or were lost: outcomes, and dead tokens as a list and as SQL, per push,
/// from the state store. The store keeps hashes of tokens only: a token that is not in the files of the directory is in
/// the SQL file by its hash. Rows that repeat a recipient are left out.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl runs files last", "into the directory for outcome files"),
        ("pushctl runs files 0198b2a4 /tmp/outcomes", "into another directory"),
    ]),
    after_help = help::statuses(&STATUSES),
)]
pub(crate) struct Args {
    /// Run id, a prefix of it, or `last`
    #[arg(value_name = "RUN")]
    run: String,
    /// Directory [default: that of outcome files]
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    directory: Option<PathBuf>,
}

impl Args {
    pub(crate) async fn run(&self, context: &CommandContext) -> Result<ExitStatus> {
        let directory = self.directory.as_ref();
        let directory = directory.unwrap_or(&context.settings.push.outcomes);
        let store = services::store(context).await?;
        let run = run_selector::run(context, &store, &self.run).await?;
        for written in rewrite(directory, &store, &run).await? {
            let files = written.files;
            let paths = [
                Some(files.outcomes),
                files.dead_tokens,
                files.dead_tokens_sql,
                files.invalid_tokens,
            ];
            for path in paths.iter().flatten() {
                context.ui.say(path.display());
            }
            if written.by_hash > 0 {
                context.ui.say(format_args!(
                    "{} dead tokens are in the SQL file by their hash only",
                    written.by_hash
                ));
            }
        }
        Ok(ExitStatus::Done)
    }
}
