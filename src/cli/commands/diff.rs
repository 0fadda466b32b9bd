//! `pushctl diff`: compares two CSV files.

use crate::exit::ExitStatus;
use std::path::PathBuf;

use clap::ValueHint;

use crate::csv_diff::{self, Options, Renamed};
use crate::error::Result;
use crate::report;
use crate::ui::{Document, Loudness};

use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::{help, runtime};

/// Compare two CSV files row by row
///
/// Matches rows by key and columns by name; the order of both does not count. Without a key a row is the same if all
/// its compared columns are equal, as often as it occurs; a changed row then is one that was removed and one that was
/// added. Memory grows with the rows of A, by 40 bytes each.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl diff old.csv new.csv --key user_id", "added, removed and changed rows"),
        ("pushctl diff old.csv new.csv --key user_id --ignore lastActive", "without a column that always changes"),
        ("pushctl diff old.csv new.csv --ignore user_id,username --rename size=usersize", "without a key, with a renamed column"),
        ("pushctl diff old.csv new.csv --key user_id,variantID --json", "with a key of two columns, for programs"),
    ]),
    after_help = help::statuses_saying(
        &[
            ExitStatus::Done,
            ExitStatus::Failed,
            ExitStatus::Usage,
            ExitStatus::Bug,
            ExitStatus::Interrupted,
            ExitStatus::Terminated,
        ],
        &[
            (ExitStatus::Failed, "the files differ"),
            (ExitStatus::Usage, "usage or configuration, or a file that cannot be compared"),
        ],
    ),
)]
pub struct Args {
    /// Old file
    #[arg(value_name = "A.csv", value_hint = ValueHint::FilePath)]
    a: PathBuf,
    /// New file
    #[arg(value_name = "B.csv", value_hint = ValueHint::FilePath)]
    b: PathBuf,
    /// Columns that identify a row [default: none, equal rows are counted]
    #[arg(long, value_name = "COL", value_delimiter = ',')]
    key: Vec<String>,
    /// Columns to ignore
    #[arg(long, value_name = "COL", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Column of A that has another name in B; --key and --ignore take the name in B
    #[arg(long, value_name = "OLD=NEW", value_delimiter = ',', value_parser = renamed)]
    rename: Vec<Renamed>,
    /// Number of rows shown of each kind
    #[arg(long, value_name = "N", default_value_t = 5)]
    examples: usize,
}

/// Parses `OLD=NEW`.
fn renamed(given: &str) -> std::result::Result<Renamed, String> {
    match given.split_once('=') {
        Some((a, b)) if !a.is_empty() && !b.is_empty() => Ok(Renamed {
            a: a.to_owned(),
            b: b.to_owned(),
        }),
        _ => Err("expected two names of a column, like usersize=size".to_owned()),
    }
}

impl Subcommand for Args {
    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        let options = Options {
            key: self.key,
            ignore: self.ignore,
            rename: self.rename,
            examples: self.examples,
        };
        let (a, b) = (self.a, self.b);
        let stage = format!("comparing {} and {}", a.display(), b.display());
        let diff =
            runtime::run_blocking(&context, &stage, move || csv_diff::diff(&a, &b, &options))?;
        let ui = &context.ui;
        if ui.document() == Document::Json {
            ui.json(&diff)?;
        } else if ui.loudness() > Loudness::Quiet || !diff.is_same() {
            ui.print(report::csv_diff::text(&diff).trim_end())?;
        }
        Ok(if diff.is_same() {
            ExitStatus::Done
        } else {
            ExitStatus::Failed
        })
    }
}
