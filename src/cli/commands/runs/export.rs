//! `pushctl runs export`: the outcome of each recipient as CSV, page by page.

use crate::exit::ExitStatus;
use std::io::Write;
use std::path::PathBuf;

use clap::ValueHint;

use crate::atomic_file::WholeFile;
use crate::cli::context::CommandContext;
use crate::cli::{help, run_selector, services};
use crate::error::{Context as _, ErrorKind, Result};
use crate::report::counted;
use crate::state::ledger::{LedgerPush, Recipient};
use crate::state::{Run, Store};
use crate::ui::Stdout;

use super::STATUSES;

const HEADER: [&str; 7] = [
    "user_id",
    "push",
    "outcome",
    "code",
    "message_name",
    "attempts",
    "ms",
];

/// Export the outcome of each recipient of a run as CSV
///
/// One row per device, and one row per recipient without a message, with the reason. Runs of the same occurrence share
/// their pushes.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl runs export last outcomes.csv", "a file that appears only once it is complete"),
        ("pushctl runs export 0198b2a4 > outcomes.csv", "to standard output"),
    ]),
    after_help = help::statuses(&STATUSES),
)]
pub(crate) struct Args {
    /// Run id, a prefix of it, or `last`
    #[arg(value_name = "RUN")]
    run: String,
    /// File; - for standard output
    #[arg(default_value = "-", hide_default_value = true, value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

impl Args {
    pub(crate) fn stdout(&self) -> Stdout {
        if self.is_stream() {
            Stdout::Data
        } else {
            Stdout::Free
        }
    }

    pub(crate) async fn run(&self, context: &CommandContext) -> Result<ExitStatus> {
        let store = services::store(context).await?;
        let run = run_selector::run(context, &store, &self.run).await?;
        if self.is_stream() {
            write(&store, &run, context.ui.stdout()).await?;
            return Ok(ExitStatus::Done);
        }
        let mut file = WholeFile::begin(&self.file)?;
        let rows = write(&store, &run, &mut file).await?;
        file.finish()?;
        context.ui.say(format_args!(
            "{} ({})",
            self.file.display(),
            counted(rows, "rows")
        ));
        Ok(ExitStatus::Done)
    }

    fn is_stream(&self) -> bool {
        self.file.as_os_str() == "-"
    }
}

/// Writes the recipients of every push in the order of their claims; returns the number of rows.
async fn write(store: &Store, run: &Run, out: impl Write) -> Result<u64> {
    let failed = || "cannot write the outcomes";
    let mut out = csv::WriterBuilder::new()
        .terminator(csv::Terminator::CRLF)
        .buffer_capacity(256 * 1024)
        .from_writer(out);
    out.write_record(HEADER).kind(ErrorKind::Failed, failed)?;
    let mut rows = 0;
    for push in store.pushes(&run.automation, &run.occurrence).await? {
        rows += store
            .each_recipient(&push, |recipient| {
                out.write_record(record(&push, recipient))
                    .kind(ErrorKind::Failed, failed)
            })
            .await?;
    }
    out.flush().kind(ErrorKind::Failed, failed)?;
    Ok(rows)
}

fn record(push: &LedgerPush, recipient: &Recipient) -> [String; 7] {
    [
        recipient.user.to_string(),
        push.number.to_string(),
        recipient.standing.as_str().to_owned(),
        recipient.code.clone().unwrap_or_default(),
        recipient.message_name.clone().unwrap_or_default(),
        recipient.attempts.to_string(),
        recipient.elapsed.as_millis().to_string(),
    ]
}
