//! Delivery: sends each recipient of an audience file one push.
//!
//! An [`Order`] names the audience and the message. [`SendPlan::prepare`] reads the file once and reports every problem
//! that can be found before a send; [`TokenLookup::look_up`] reads the tokens from the source, and closes it again;
//! [`send::send_all`] claims, sends and records, group by group, and returns the summary. Each of them streams the
//! file: memory grows by eight bytes a row while it is checked, and the tokens are in an unnamed temporary file.
//!
//! | module | subject |
//! | --- | --- |
//! | `audience_reader` | the columns and rows of a file, and their errors |
//! | `plan` | the checks of a file before a send |
//! | `input_checks` | the checks of a file against its manifest and the commit marker |
//! | `token_lookup` | the tokens of each recipient, or the reason why there is none |
//! | `token_query` | the questions to the source about them |
//! | `eligibility` | the eligible recipients of a batch, and the reasons for the others |
//! | `preflight` | the steps before the first claim |
//! | `user_ids` | the check of user ids for the notification history |
//! | `row_loop` | the loop over the file, and its end |
//! | `feeder` | the loop's own state: room for claims, stop checks, its part of the rate |
//! | `send_pass` | what the loop and the recorder share |
//! | `claim_window` | the room for claims without an outcome |
//! | `claim_batch` | claims a batch group by group, and submits it |
//! | `while_sending` | the reasons for an early end; quiet hours and the latest instant during a send |
//! | `file_rows` | the rows of one user in the files of a send |
//! | `preview` | samples of the messages |
//! | `phone` | a message as phones show it |
//! | `dry_run` | a dry run |
//! | `recorder` | records outcomes in the ledger |
//! | `shared_queue` | the queue of a send that several processes share |
//! | `outcome_files` | the files of a finished send |
//! | `outcomes_directory` | the checks of their directory before the first claim |
//! | `token_lists` | the lists of dead and invalid tokens |
//! | `dead_tokens_command` | the command that gets the dead ones |
//! | `suppressed_tokens` | the tokens that are not tried, because they were dead lately |
//! | `overlap` | the recipients who had the push lately, under another occurrence |
//! | `groups` | the control group, and the variants of a push |
//! | `conclusion` | the result of a send, and its error |
//! | `summary` | the counts, which add up to the rows of the file |
//! | `send_context` | the services and limits of a send |
//! | `send` | one send from beginning to end, also after a crash |
//!
//! A send is resumed after a crash by the same steps: recipients who are claimed in the ledger are not claimed again.

mod audience_reader;
mod claim_batch;
mod claim_window;
mod conclusion;
mod dead_tokens_command;
pub mod dry_run;
mod eligibility;
mod feeder;
pub mod file_rows;
pub mod groups;
mod input_checks;
mod lead;
pub mod outcome_files;
mod outcomes_directory;
pub mod overlap;
pub mod phone;
mod plan;
mod preflight;
pub mod preview;
mod recorder;
mod row_loop;
pub mod send;
mod send_context;
mod send_pass;
mod shared_queue;
mod summary;
mod suppressed_tokens;
mod token_lists;
mod token_lookup;
mod token_query;
mod user_ids;
mod while_sending;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

pub use audience_reader::{AudienceReader, USER_COLUMNS};
pub use conclusion::partial_error;
pub use outcome_files::OutcomeFiles;

pub(crate) use outcomes_directory::{LEAST, check_store, is_unwritable};
pub use plan::SendPlan;
pub use preflight::check_texts;
pub use summary::{SendResult, Summary, VariantOutcome};
pub use suppressed_tokens::SuppressedTokens;
pub use token_lookup::{TokenCounts, TokenLookup};
pub use token_query::SourceReader;
pub(crate) use token_query::reads;
pub use while_sending::{Quiet, WhileSending};

use self::overlap::OverlapLimit;
use crate::automation::AutomationFile;
use crate::csv_writer::hex;
use crate::error::{Context as _, ErrorKind, Result};
use crate::fcm::CollapseIds;
use crate::state::Run;
use crate::template::message_options::Collapse;
use crate::template::push::Wording;

/// The automation name of sends without an automation.
pub const AD_HOC: &str = "send";
/// The end of the occurrence name of test pushes.
pub const TEST_SUFFIX: &str = "#test";

/// The layer of pushes that are tests.
pub const TEST_LAYER: u32 = 4;

/// Returns the name of the lease that the sending process holds on an occurrence.
pub fn lease_name(automation: &str, occurrence: &str) -> String {
    // The occurrence of an automation begins with the name of the automation.
    if occurrence.starts_with(&format!("{automation}@")) {
        return format!("occurrence/{occurrence}");
    }
    format!("occurrence/{automation}@{occurrence}")
}

/// A push and its audience: everything that a send needs to begin and to resume after a crash. No secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// The automation, or `send` for one without.
    pub automation: String,
    /// The occasion of the push: a recipient gets each push of an occurrence once.
    pub occurrence: String,
    /// The push's place in its occurrence, from 1.
    pub number: u32,
    /// 1 to 5.
    pub layer: u32,
    /// The audience.
    pub input: Input,
    /// The maximum of rows, from the first.
    pub limit: Option<u64>,
    /// The texts of the message.
    pub wording: Wording,
    /// The devices of a recipient that are sent to.
    pub devices: Devices,
    /// Whether messages reach phones.
    pub reach: Reach,
    /// Whether messages in doubt are sent again.
    pub in_doubt: InDoubt,
    /// Whether to send if the notification history does not answer.
    pub cadence_failure: CadenceFailure,
    /// The control group, in percent of the recipients.
    pub holdout_percent: f64,
    /// The share of failures above which a send stops.
    pub max_failure_rate: Option<f64>,
    /// How many of the recipients may have had the push lately. Earlier versions did not ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<OverlapLimit>,
    /// Whether other processes may join.
    #[serde(default)]
    pub shared: bool,
    /// The maximum of messages a second, if it is the order's own.
    pub rate: Option<u32>,
}

/// The plan of a run of `send`, as it is recorded. A resume may change its rate.
#[derive(Debug, Serialize, Deserialize)]
pub struct SendRunPlan {
    /// The order.
    pub order: Order,
    /// The automation of `send --automation`, as its file was when the send began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automation: Option<AutomationFile>,
    /// Everything else of the plan, so that a changed plan keeps it.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl SendRunPlan {
    /// Returns the plan of a recorded run of `send`.
    pub fn of(run: &Run) -> Result<Self> {
        let plan = Self::deserialize(&run.plan);
        plan.kind(ErrorKind::Usage, || format!("run {} is not a send", run.id))
    }
}

/// The audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A CSV file.
    File {
        /// The path.
        path: PathBuf,
        /// The SHA-256 of its content, in hexadecimal, once it is known: a file that changed is refused.
        sha256: Option<String>,
    },
    /// User ids from the command line.
    Users(Vec<String>),
}

/// Which devices of a recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Devices {
    /// The device used last.
    Latest,
    /// All devices.
    All,
}

/// The reach of a send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Messages reach phones.
    Live,
    /// The push service checks each message and delivers none.
    ValidateOnly,
}

/// The treatment of messages in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum InDoubt {
    /// They stay as they are: counted, listed, never sent again.
    Keep,
    /// They are sent again; a phone that has the first copy shows one.
    Retry,
}

/// The behaviour of a send if the notification history does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum CadenceFailure {
    /// No message is sent.
    Abort,
    /// Messages are sent without asking, and a note says so.
    Send,
}

impl Input {
    /// Returns its name in messages.
    pub fn name(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Users(_) => "--users".to_owned(),
        }
    }

    /// Returns the file name without directory and ending: the name of the audience in the notification history.
    pub fn stem(&self) -> Option<String> {
        match self {
            Self::File { path, .. } => Some(path.file_stem()?.to_string_lossy().into_owned()),
            Self::Users(_) => None,
        }
    }
}

impl Order {
    /// Returns an order without an automation that reaches the latest device of each recipient, with no limits of its
    /// own. Its occurrence is still empty.
    pub fn ad_hoc(input: Input, wording: Wording, layer: u32) -> Self {
        Self {
            automation: AD_HOC.to_owned(),
            occurrence: String::new(),
            number: 1,
            layer,
            input,
            limit: None,
            wording,
            devices: Devices::Latest,
            reach: Reach::Live,
            in_doubt: InDoubt::Keep,
            cadence_failure: CadenceFailure::Abort,
            holdout_percent: 0.0,
            max_failure_rate: None,
            overlap: None,
            shared: false,
            rate: None,
        }
    }

    /// Returns the beginning of the names of its outcome files: a run may have several pushes, and test pushes.
    pub fn file_stem(&self, run: &str) -> String {
        file_stem((&self.automation, &self.occurrence, self.number), run)
    }

    /// Returns the ids by which a phone shows only one of several copies of this push, and by which a message replaces
    /// undelivered ones.
    pub fn collapse(&self) -> CollapseIds {
        let text = format!("{}@{}#{}", self.automation, self.occurrence, self.number);
        let copies = format!("pushctl-{}", &hex(&Sha256::digest(text))[..16]);
        let undelivered = match self.wording.options.collapse {
            None | Some(Collapse::Push) => Some(copies.clone()),
            Some(Collapse::Layer) => Some(format!("pushctl-layer-{}", self.layer)),
            Some(Collapse::None) => None,
        };
        CollapseIds {
            copies,
            undelivered,
        }
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

/// Returns the occurrence of a send without an automation. The same texts to the same recipients are the same push, so
/// that a repeated command sends nothing.
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
