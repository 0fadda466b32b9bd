//! What one recipient got in a run, or why nothing: the answer of `why --run`, and its text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::run::FunnelStage;
use super::{counted, number};
use crate::cadence::AppliedRule;
use crate::ui::{Painter, Style};

/// What a run did for one recipient.
#[derive(Debug, Clone, Serialize)]
pub struct RecipientReport {
    pub run: String,
    pub automation: String,
    pub occurrence: String,
    pub mode: String,
    /// `open`, `done`, `partial`, `failed`, `refused`, `cancelled`.
    pub status: String,
    pub user_id: String,
    /// Test pushes that the user got, and then each push of the run.
    pub pushes: Vec<PushAnswer>,
    /// How the audience was made, where the user is not in it for one of the pushes.
    pub audience: Option<AudienceRecord>,
}

/// What a push did for the recipient.
#[derive(Debug, Clone, Serialize)]
pub struct PushAnswer {
    /// Its number, from 1.
    pub push: u32,
    /// Whether it is a test push.
    pub is_test: bool,
    pub layer: u32,
    /// The template of the title.
    pub title: String,
    pub audience_file: Option<PathBuf>,
    pub result: Verdict,
    /// The recipient's variant, if the push has some.
    pub variant: Option<String>,
    /// `no-token`, `l3Cooldown`, `UNREGISTERED`, …
    pub code: Option<String>,
    /// The result in words.
    pub because: String,
    /// When the result was recorded.
    pub at: Option<Timestamp>,
    /// The rule that excluded the recipient.
    pub rule: Option<RuleAnswer>,
    /// The devices that a message was for.
    pub devices: Vec<DeviceAnswer>,
    /// Rows of the file with this recipient, as far as they are known; only the first counts.
    pub rows: Option<u64>,
    /// Where the answer comes from, if it is not the ledger.
    pub note: Option<String>,
}

/// What became of the recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Accepted,
    InDoubt,
    Failed,
    Dead,
    Waiting,
    Cancelled,
    Excluded,
    Holdout,
    NoToken,
    Skipped,
    /// A run that sends nothing to its audience.
    DryRun,
    /// In the audience; the run ended before this recipient.
    NotReached,
    NotInAudience,
    /// The records that say it are gone.
    Unknown,
}

/// A message to a device.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceAnswer {
    /// From 1.
    pub device: u32,
    /// The beginning of the SHA-256 of its token.
    pub token_hash: Option<String>,
    pub result: Verdict,
    pub code: Option<String>,
    pub message_name: Option<String>,
    pub attempts: u32,
    pub milliseconds: u64,
    pub claimed_at: Option<Timestamp>,
    pub answered_at: Option<Timestamp>,
    /// The run that sent the message, where an earlier run of the occurrence did.
    pub sent_by_run: Option<String>,
}

/// The rule that excluded a recipient, with the pushes that it counted.
#[derive(Debug, Clone, Serialize)]
pub struct RuleAnswer {
    #[serde(flatten)]
    pub rule: AppliedRule,
    /// Pushes within its window that the state store knows of.
    pub counted: Vec<CountedPush>,
}

/// A push that counted.
#[derive(Debug, Clone, Serialize)]
pub struct CountedPush {
    pub layer: u32,
    pub at: Timestamp,
}

/// How the audience of a run was made.
#[derive(Debug, Clone, Serialize)]
pub struct AudienceRecord {
    pub name: String,
    pub as_of: String,
    pub parameters: BTreeMap<String, String>,
    /// The users stage by stage, the base first.
    pub funnel: Vec<FunnelStage>,
    /// The command that finds the stage which this user fails, from the source.
    pub command: String,
}

impl Verdict {
    fn words(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::InDoubt => "in doubt",
            Self::Failed => "failed",
            Self::Dead => "dead token",
            Self::Waiting => "waiting",
            Self::Cancelled => "cancelled",
            Self::Excluded => "excluded",
            Self::Holdout => "control group",
            Self::NoToken => "no token",
            Self::Skipped => "skipped",
            Self::DryRun => "dry run",
            Self::NotReached => "not reached",
            Self::NotInAudience => "not in the audience",
            Self::Unknown => "not known",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Accepted => Style::Good,
            Self::Failed | Self::Dead => Style::Bad,
            _ => Style::Doubtful,
        }
    }
}

impl AudienceRecord {
    /// Returns the record with its command. A parameter that is `true` is a switch.
    pub fn new(
        name: String,
        as_of: String,
        parameters: BTreeMap<String, String>,
        funnel: Vec<FunnelStage>,
        user: &str,
    ) -> Self {
        let mut command = format!("pushctl why {name} --user {}", quoted(user));
        if !as_of.is_empty() {
            let _ = write!(command, " --as-of {}", quoted(&as_of));
        }
        for (parameter, value) in &parameters {
            let flag = parameter.replace('_', "-");
            match value.as_str() {
                "false" => {}
                "true" => {
                    let _ = write!(command, " --{flag}");
                }
                value => {
                    let _ = write!(command, " --{flag} {}", quoted(value));
                }
            }
        }
        Self {
            name,
            as_of,
            parameters,
            funnel,
            command,
        }
    }
}

/// Returns the reason of a result that is no answer of the push service. `holdout` is the share of the control group.
pub fn reason(code: &str, holdout: Option<f64>) -> String {
    match code {
        "no-token" => "the source had no token for this user".to_owned(),
        "deleted" => "the account was deleted".to_owned(),
        "unknown-user" => "the source had no user with this id".to_owned(),
        "token-moved" => "another user had registered the token later".to_owned(),
        "token-taken" => "the token had got this push for another recipient already".to_owned(),
        "repeated" => "the recipient is in an earlier row".to_owned(),
        "holdout" => match holdout.filter(|share| *share > 0.0) {
            Some(share) => format!("in the control group of {share} percent, which gets no push"),
            None => "in the control group, which gets no push".to_owned(),
        },
        "invalidUuid" => "the user id is not a UUID, so no notification history has it".to_owned(),
        "cadence" => {
            "excluded by the cadence service, which does not report the rule for each recipient"
                .to_owned()
        }
        "image" => "the image of this row is no https URL".to_owned(),
        "deep-link" => "the link of this row is not allowed".to_owned(),
        "too-large" => "the message of this row is too large".to_owned(),
        "sender-died" => {
            "the process ended before an answer came: the message may have arrived".to_owned()
        }
        _ => match code.split_once(':') {
            Some(("empty", column)) => format!("the variable {column} was empty in this row"),
            Some(("null", column)) => {
                format!("the variable {column} was null or the like in this row")
            }
            Some(("not-a-number", column)) => {
                format!("the variable {column} was not a number in this row")
            }
            _ => code.to_owned(),
        },
    }
}

impl RuleAnswer {
    /// Returns the rule with its numbers: the limit, and the pushes that the state store knows of.
    pub fn words(&self) -> String {
        let AppliedRule {
            key: _,
            name,
            layers,
            hours,
            at_most,
        } = &self.rule;
        let layers: Vec<String> = layers.iter().map(u32::to_string).collect();
        let layers = match layers.as_slice() {
            [one] => format!("layer {one}"),
            several => format!("layers {}", several.join(" and ")),
        };
        let found = self.counted.len() as u64;
        let known: Vec<String> = self
            .counted
            .iter()
            .map(|push| format!("layer {} at {:.0}", push.layer, push.at))
            .collect();
        let known = if known.is_empty() {
            String::new()
        } else {
            format!(" ({})", known.join(", "))
        };
        let elsewhere = if found < u64::from(*at_most) {
            "; the state store has no record of the others: they are in the notification history, or deleted"
        } else {
            ""
        };
        format!(
            "{name}: {layers}: {} in the last {hours} h, limit {at_most}{known}{elsewhere}",
            counted(found, "pushes")
        )
    }
}

/// Renders the run, and a section for each push.
pub fn text(report: &RecipientReport, pen: Painter) -> String {
    let RecipientReport {
        run,
        automation,
        occurrence,
        mode,
        status,
        user_id,
        pushes,
        audience,
    } = report;
    let mut out = format!(
        "{}\n{}\n",
        pen.write(Style::Strong, &format!("{user_id} in run {run}")),
        pen.write(
            Style::Faint,
            &format!("{automation}, {occurrence}, {mode}, {status}")
        ),
    );
    for push in pushes {
        out.push('\n');
        push_text(&mut out, push, pen);
    }
    if pushes.is_empty() {
        out.push_str("\nthe run has no push\n");
    }
    if let Some(audience) = audience {
        out.push('\n');
        audience_text(&mut out, audience, pen);
    }
    out
}

fn push_text(out: &mut String, push: &PushAnswer, pen: Painter) {
    let kind = if push.is_test { "test push" } else { "push" };
    let head = format!(
        "{kind} {} (layer {}): {}",
        push.push, push.layer, push.title
    );
    let _ = writeln!(out, "{}", pen.write(Style::Strong, &head));
    let result = pen.write(push.result.style(), push.result.words());
    let at = push.at.map(|at| format!(" at {at:.0}")).unwrap_or_default();
    let because = match push.because.as_str() {
        "" => String::new(),
        because => format!(": {because}"),
    };
    let variant = push.variant.as_ref();
    let variant = variant.map(|name| format!(", variant {name}"));
    let _ = writeln!(
        out,
        "  {result}{}{at}{because}",
        variant.unwrap_or_default()
    );
    for device in &push.devices {
        let _ = writeln!(out, "  {}", device_text(device));
    }
    if let Some(rows) = push.rows.filter(|rows| *rows > 1) {
        let _ = writeln!(
            out,
            "  in {} of the file: only the first counts",
            counted(rows, "rows")
        );
    }
    if let Some(note) = &push.note {
        let _ = writeln!(out, "  {}", pen.write(Style::Faint, note));
    }
}

fn device_text(device: &DeviceAnswer) -> String {
    let mut parts = vec![device.result.words().to_owned()];
    parts.extend(device.code.clone());
    parts.extend(device.message_name.clone());
    if device.attempts > 0 {
        parts.push(counted(device.attempts.into(), "attempts"));
        parts.push(format!("{} ms", number(device.milliseconds)));
    }
    if let Some(at) = device.claimed_at {
        parts.push(format!("claimed {at:.3}"));
    }
    if let Some(at) = device.answered_at {
        parts.push(format!("answered {at:.3}"));
    }
    if let Some(hash) = &device.token_hash {
        parts.push(format!("token hash {}", &hash[..hash.len().min(12)]));
    }
    if let Some(run) = &device.sent_by_run {
        parts.push(format!("sent by run {run}"));
    }
    format!("device {}: {}", device.device, parts.join(", "))
}

fn audience_text(out: &mut String, audience: &AudienceRecord, pen: Painter) {
    let head = format!("audience {} as of {}", audience.name, audience.as_of);
    let _ = writeln!(out, "{}", pen.write(Style::Strong, &head));
    for stage in &audience.funnel {
        let left = stage
            .left
            .as_ref()
            .map(|left| format!("  (the others: {left})"))
            .unwrap_or_default();
        let _ = writeln!(out, "  {:>12}  {}{left}", number(stage.people), stage.name);
    }
    let _ = writeln!(
        out,
        "the records of a run have these counts, and not the stage of each user; the source answers it:\n  {}",
        pen.write(Style::Advice, &audience.command)
    );
}

/// Returns an argument as a shell takes it.
fn quoted(argument: &str) -> String {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./:@+,=".contains(character);
    if !argument.is_empty() && argument.chars().all(plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_for_an_audience_is_one_that_a_shell_takes() {
        let parameters = [
            ("min_offers", "3"),
            ("word", "it's"),
            ("strict", "true"),
            ("old", "false"),
        ];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let record = AudienceRecord::new(
            "fans".to_owned(),
            "2026-11-21T13:33:00Z".to_owned(),
            parameters.into(),
            Vec::new(),
            "a b",
        );
        assert_eq!(
            record.command,
            "pushctl why fans --user 'a b' --as-of 2026-11-21T13:33:00Z --min-offers 3 --strict --word 'it'\\''s'"
        );
    }

    #[test]
    fn a_rule_names_what_it_counted_and_says_when_that_is_not_all() {
        let at: Timestamp = "2026-11-21T13:33:00Z".parse().unwrap();
        let mut answer = RuleAnswer {
            rule: AppliedRule {
                key: "l2l3WeeklyLimit".to_owned(),
                name: "combined_l2_l3_limit_hours".to_owned(),
                layers: vec![2, 3],
                hours: 168,
                at_most: 1,
            },
            counted: vec![CountedPush { layer: 2, at }],
        };
        assert_eq!(
            answer.words(),
            "combined_l2_l3_limit_hours: layers 2 and 3: 1 push in the last 168 h, limit 1 (layer 2 at 2026-11-21T13:33:00Z)"
        );
        answer.counted.clear();
        assert!(answer.words().contains("no record of the others"));
    }
}
