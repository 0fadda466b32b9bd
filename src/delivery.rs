//! Delivery: from a CSV to phones, once.
//!
//! An [`Order`] says what is to be sent to whom. [`SendPlan::prepare`] reads its file once and finds everything that can be
//! found wrong before anything is sent; [`TokenLookup::look_up`] asks for tokens, and closes the source again;
//! [`send::send_all`] claims, sends and records, group by group, and sums up. Every one of them streams the file: what
//! grows with it is eight bytes a row while it is checked, and a temporary file without a name for the tokens.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `audience_reader` | a file's columns and rows, and how both may be wrong |
//! | `plan` | what can be told before anything is sent |
//! | `input_checks` | whether a file is what its publication made of it |
//! | `token_lookup` | which tokens a recipient has, and why they have none |
//! | `eligibility` | who of a batch may be sent to, and why the others may not |
//! | `preflight` | what stands before the first claim |
//! | `user_ids` | whether the ids are valid for the notification history |
//! | `row_loop` | the loop over the file, and its end |
//! | `feeder` | the loop's own state: room for claims, stop checks, its part of the rate |
//! | `send_pass` | what the loop and the recorder share |
//! | `claim_window` | the room for claims without an outcome |
//! | `claim_batch` | a batch: claimed group by group, and submitted |
//! | `stop_reason` | why a send ends early, and how it hears of that |
//! | `while_sending` | quiet hours and lateness while it goes |
//! | `preview` | samples of the messages |
//! | `dry_run` | a dry run |
//! | `recorder` | what came back, into the ledger |
//! | `shared_queue` | the queue of a send that several processes share |
//! | `outcome_files` | the files of a finished send |
//! | `outcomes_directory` | their directory, before the first claim |
//! | `dead_tokens` | the tokens that are registered no more |
//! | `summary` | the sums, which add up to the file's rows |
//! | `send_context` | the services and limits of a send |
//! | `send` | one send from beginning to end, and again after a crash |
//!
//! Going on after a crash is the same work again: who was claimed before is left alone, because the ledger says so.

mod audience_reader;
mod claim_batch;
mod claim_window;
mod dead_tokens;
pub mod dry_run;
mod eligibility;
mod feeder;
mod input_checks;
mod lead;
pub mod outcome_files;
mod outcomes_directory;
mod plan;
mod preflight;
pub mod preview;
mod recorder;
mod row_loop;
pub mod send;
mod send_context;
mod send_pass;
mod shared_queue;
mod stop_reason;
mod summary;
mod token_lookup;
mod user_ids;
mod while_sending;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use audience_reader::{AudienceReader, USER_COLUMNS};
pub use outcome_files::OutcomeFiles;
pub(crate) use outcomes_directory::is_unwritable;
pub use plan::SendPlan;
pub use preflight::fits;
pub use summary::{SendResult, Summary};
pub use token_lookup::{SourceReader, TokenCounts, TokenLookup};
pub use while_sending::{Quiet, WhileSending};

use crate::csv_writer::hex;
use crate::template::push::Wording;

/// What sends without an automation are recorded under.
pub const AD_HOC: &str = "send";
/// The occurrence of test pushes is the run's with this at its end.
pub const TEST_SUFFIX: &str = "#test";

/// The name of the lease under which an occurrence is held by the process that sends it.
pub fn lease_name(automation: &str, occurrence: &str) -> String {
    // The occurrence of an automation names it already.
    if occurrence.starts_with(&format!("{automation}@")) {
        return format!("occurrence/{occurrence}");
    }
    format!("occurrence/{automation}@{occurrence}")
}

/// What is to be sent to whom: everything that is needed to begin, and to go on after a crash. No secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The automation, or `send` for one without.
    pub automation: String,
    /// What the push is for: somebody gets one push of an occurrence once.
    pub occurrence: String,
    /// The push's place in its occurrence, from 1.
    pub number: u32,
    /// 1 to 5.
    pub layer: u32,
    /// To whom.
    pub input: Input,
    /// Only the first so many rows.
    pub limit: Option<u64>,
    /// The words.
    pub wording: Wording,
    /// Which of somebody's devices.
    pub devices: Devices,
    /// Whether it reaches phones.
    pub reach: Reach,
    /// What becomes of messages whose answer was never seen.
    pub in_doubt: InDoubt,
    /// What happens if the history cannot be asked.
    pub cadence_failure: CadenceFailure,
    /// The share of people, in percent, who are left out for comparison.
    pub holdout_percent: f64,
    /// The share of failures above which a send stops itself.
    pub max_failure_rate: Option<f64>,
    /// Whether other processes may join.
    #[serde(default)]
    pub shared: bool,
    /// Messages a second at most, if the order says so itself.
    pub rate: Option<u32>,
}

/// Where the people are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A CSV file.
    File {
        /// Where.
        path: PathBuf,
        /// The SHA-256 of its content, in hexadecimal, once it is known: a file that changed is refused.
        sha256: Option<String>,
    },
    /// A handful of ids.
    Users(Vec<String>),
}

/// Which devices of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Devices {
    /// The one that was used last.
    Latest,
    /// Every one.
    All,
}

/// How far a send goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// To phones.
    Live,
    /// To the push service, which checks each message and goes no further.
    ValidateOnly,
}

/// What becomes of messages in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// They stay as they are: counted, listed, never sent again.
    Keep,
    /// They are sent again; a phone that has the first copy shows one.
    Retry,
}

/// What happens if the notification history cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum CadenceFailure {
    /// Nobody is sent to.
    Abort,
    /// Everybody is, and it is said.
    Send,
}

impl Input {
    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Users(_) => "--users".to_owned(),
        }
    }

    /// The name of the file without directory and ending: what the history is told of the audience.
    pub fn stem(&self) -> Option<String> {
        match self {
            Self::File { path, .. } => Some(path.file_stem()?.to_string_lossy().into_owned()),
            Self::Users(_) => None,
        }
    }
}

impl Order {
    /// What the names of its outcome files begin with: a run may have several pushes, and tests of them.
    pub fn file_stem(&self, run: &str) -> String {
        file_stem((&self.automation, &self.occurrence, self.number), run)
    }

    /// What makes a phone show one of several copies of this push.
    pub fn collapse_id(&self) -> String {
        let text = format!("{}@{}#{}", self.automation, self.occurrence, self.number);
        format!("pushctl-{}", &hex(&Sha256::digest(text))[..16])
    }
}

fn file_stem((automation, occurrence, number): (&str, &str, u32), run: &str) -> String {
    if automation == AD_HOC {
        return run.to_owned();
    }
    let phase = if occurrence.ends_with(TEST_SUFFIX) {
        "test"
    } else {
        "push"
    };
    format!("{run}.{phase}-{number}")
}

/// The occurrence of a send without an automation: the same words to the same people are the same push, so that an
/// impatient second call sends nothing.
pub fn occurrence_of(content: &str, layer: u32, wording: &Wording) -> String {
    let mut digest = Sha256::new();
    let link = wording.deep_link.as_deref().unwrap_or_default();
    for part in [
        content,
        &layer.to_string(),
        &wording.title,
        &wording.body,
        link,
    ] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    for (key, value) in &wording.data {
        digest.update(format!("{key}={value}\n"));
    }
    hex(&digest.finalize())[..16].to_owned()
}
