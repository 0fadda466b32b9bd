//! Collects what a run did for one recipient, from the run's own records: the ledger, the documents of the run, and its
//! files as far as they are still there. Neither the source nor the notification history is asked, so the answer stays
//! the same when they change.

use jiff::Timestamp;

use super::super::run::Outcome;
use super::super::why_run::{
    AudienceRecord, CountedPush, DeviceAnswer, PushAnswer, RecipientReport, RuleAnswer, Verdict,
    reason,
};
use super::records::{PlannedPush, Records};
use crate::audience::manifest::{Manifest, manifests_in};
use crate::cadence::{AppliedRule, Layer, Rules};
use crate::delivery::file_rows::{OutcomeLine, outcomes_of, rows_of};
use crate::delivery::groups::VariantSplit;
use crate::delivery::outcome_files::test_occurrences;
use crate::delivery::{Input, SendResult, Summary};
use crate::error::{ErrorKind, Result};
use crate::report::run::FunnelStage;
use crate::state::ledger::{
    Basis, Guard, LedgerPush, Recording, Standing, TallyRow, UserClaim, UserKey,
};
use crate::state::{Run, RunStatus, Store};

const DELETED: &str = "the state store's records of this push are deleted";

/// A user, and the run to look in.
struct Asked<'a> {
    store: &'a Store,
    run: &'a Run,
    user: &'a UserKey,
    /// A process sends for the run.
    is_sending: bool,
    /// Who cancelled the run, and why.
    cancelled: Option<String>,
}

/// A push of the run with its records.
struct Push<'a> {
    planned: &'a PlannedPush,
    /// In the ledger, unless nothing was claimed or the records are deleted.
    opened: Option<&'a LedgerPush>,
    summary: Option<&'a Summary>,
}

/// The user's rows of the audience file, or why they are not known.
type Rows = Result<u64, String>;

/// Returns what a run did for the user with this id.
///
/// # Errors
/// The state store cannot be read.
pub async fn recipient_report(store: &Store, run: &Run, user: &str) -> Result<RecipientReport> {
    let user = UserKey::of(user);
    let phases = store.phases(&run.id).await?;
    let records = Records::of(run, &phases);
    let summaries = records.push_summaries();
    let opened = store.pushes(&run.automation, &run.occurrence).await?;
    let asked = Asked::of(store, run, &user).await?;
    let mut pushes = asked.test_pushes().await?;
    let mut planned = records.planned();
    if planned.is_empty() {
        planned = opened.iter().map(PlannedPush::opened).collect();
    }
    for planned in &planned {
        let number = planned.number;
        let push = Push {
            planned,
            opened: opened.iter().find(|push| push.number == number),
            summary: summaries.iter().find(|summary| summary.push == number),
        };
        pushes.push(asked.answer(&push).await?);
    }
    let is_absent = |push: &PushAnswer| push.result == Verdict::NotInAudience;
    let audience = pushes.iter().any(is_absent).then(|| {
        let made = records.audience(&user.to_string());
        made.or_else(|| of_manifest(&planned, &user.to_string()))
    });
    Ok(RecipientReport {
        run: run.id.clone(),
        automation: run.automation.clone(),
        occurrence: run.occurrence.clone(),
        mode: run.mode.clone(),
        status: run.status.as_str().to_owned(),
        user_id: user.to_string(),
        pushes,
        audience: audience.flatten(),
    })
}

/// Returns how the file of a send was made, from the manifest beside it.
fn of_manifest(planned: &[PlannedPush], user: &str) -> Option<AudienceRecord> {
    let Some(Input::File { path, sha256 }) = &planned.first()?.input else {
        return None;
    };
    let name = path.file_name()?.to_str()?;
    let is_of_file = |manifest: &Manifest| {
        let mut files = manifest.files.iter();
        files.any(|file| file.name == name && Some(&file.sha256) == sha256.as_ref())
    };
    let manifests = manifests_in(path.parent()?).into_iter();
    let (_, manifest) = manifests.into_iter().find(|(_, one)| is_of_file(one))?;
    let lines = manifest.funnel.map(|funnel| funnel.lines());
    let funnel = lines.into_iter().flatten().map(FunnelStage::from).collect();
    Some(AudienceRecord::new(
        manifest.audience,
        manifest.as_of,
        manifest.parameters,
        funnel,
        user,
    ))
}

impl PlannedPush {
    fn opened(push: &LedgerPush) -> Self {
        Self {
            number: push.number,
            layer: push.layer,
            title: push.words.title.clone(),
            input: None,
            limit: None,
            holdout_percent: 0.0,
        }
    }
}

impl<'a> Asked<'a> {
    async fn of(store: &'a Store, run: &'a Run, user: &'a UserKey) -> Result<Self> {
        let is_open = run.status == RunStatus::Open;
        let cancellation = match run.status {
            RunStatus::Open | RunStatus::Cancelled => store.cancellation(&run.id).await?,
            _ => None,
        };
        Ok(Self {
            store,
            run,
            user,
            is_sending: is_open && !store.senders_of(&run.id).await?.is_empty(),
            cancelled: cancellation.map(|one| {
                let why = one.reason.map(|why| format!(": {why}"));
                format!("cancelled by {}{}", one.who, why.unwrap_or_default())
            }),
        })
    }

    /// Returns the test pushes that the user got.
    async fn test_pushes(&self) -> Result<Vec<PushAnswer>> {
        let mut answers = Vec::new();
        for occurrence in test_occurrences(self.run) {
            for opened in self.store.pushes(&self.run.automation, &occurrence).await? {
                let claims = self.store.claims_of(&opened, self.user).await?;
                if claims.is_empty() {
                    continue;
                }
                let planned = PlannedPush::opened(&opened);
                let push = Push {
                    planned: &planned,
                    opened: Some(&opened),
                    summary: None,
                };
                let answer = self.claimed(&push, &opened, &claims).await?;
                answers.push(PushAnswer {
                    is_test: true,
                    ..answer
                });
            }
        }
        Ok(answers)
    }

    async fn answer(&self, push: &Push<'_>) -> Result<PushAnswer> {
        let rows = rows(push.planned, self.user).await;
        let claims = match push.opened {
            Some(opened) => self.store.claims_of(opened, self.user).await?,
            None => Vec::new(),
        };
        let answer = match push.opened {
            Some(opened) if !claims.is_empty() => self.claimed(push, opened, &claims).await?,
            None if push.is_deleted() => self.deleted(push, &rows),
            _ => self.unclaimed(push, &rows),
        };
        let has_none = matches!(answer.result, Verdict::Holdout | Verdict::NotInAudience);
        let split = VariantSplit::recorded(self.run, push.planned.number);
        let variant = split.name(self.user).filter(|_| !has_none);
        Ok(PushAnswer {
            rows: rows.ok().or(answer.rows),
            variant: variant.map(str::to_owned),
            ..answer
        })
    }

    /// Answers by the claims of the ledger.
    async fn claimed(
        &self,
        push: &Push<'_>,
        opened: &LedgerPush,
        claims: &[UserClaim],
    ) -> Result<PushAnswer> {
        let devices: Vec<DeviceAnswer> = claims.iter().map(|claim| self.device(claim)).collect();
        let places = devices.iter().zip(claims);
        // A recipient has got the push if one device has.
        let best = places.min_by_key(|(device, _)| device.result);
        let mut answer = push.blank();
        let Some((device, claim)) = best else {
            return Ok(answer);
        };
        answer.result = device.result;
        answer.code = device.code.clone();
        answer.at = device.answered_at.or(device.claimed_at);
        let is_excluded = answer.result == Verdict::Excluded;
        if let Some(code) = answer.code.as_ref().filter(|_| is_excluded) {
            answer.rule = self.rule(push, opened, code, claim).await?;
        }
        answer.because = self.because(push, &answer);
        answer.devices = devices
            .into_iter()
            .zip(claims)
            .filter(|(_, claim)| claim.recipient.token.is_some())
            .map(|(device, _)| device)
            .collect();
        Ok(answer)
    }

    fn device(&self, claim: &UserClaim) -> DeviceAnswer {
        let UserClaim { recipient, run } = claim;
        // A claim of a run that no process sends for gets no answer any more.
        let status = match self.run.status {
            RunStatus::Open if !self.is_sending => RunStatus::Partial,
            status => status,
        };
        let counted = TallyRow {
            standing: recipient.standing,
            code: recipient.code.clone(),
            count: 1,
        };
        let (outcome, code) = super::outcome(&counted, status);
        let is_over = matches!(recipient.standing, Standing::Ended(_));
        DeviceAnswer {
            device: recipient.device + 1,
            token_hash: recipient.token.map(|token| token.to_string()),
            result: Verdict::from(outcome),
            code: code.map(str::to_owned),
            message_name: recipient.message_name.clone(),
            attempts: recipient.attempts,
            milliseconds: u64::try_from(recipient.elapsed.as_millis()).unwrap_or(u64::MAX),
            claimed_at: Some(recipient.claimed_at),
            answered_at: recipient.ended_at.filter(|_| is_over),
            sent_by_run: run.clone().filter(|run| *run != self.run.id),
        }
    }

    /// Returns the rule of an exclusion with its limits in that run, and the pushes that it counted.
    async fn rule(
        &self,
        push: &Push<'_>,
        opened: &LedgerPush,
        code: &str,
        claim: &UserClaim,
    ) -> Result<Option<RuleAnswer>> {
        let Some(rule) = push.rule(opened, code) else {
            return Ok(None);
        };
        let at = claim.recipient.claimed_at;
        let limit = rule.limit(at);
        let guard = Guard {
            limits: vec![limit],
            basis: Basis::Here,
        };
        let users = std::slice::from_ref(self.user);
        let found = self.store.touches(users, Some(opened), &guard).await?;
        let mut counted: Vec<(i64, u32, Timestamp)> = found
            .into_iter()
            .flatten()
            .filter(|touch| rule.layers.contains(&touch.layer) && touch.at <= at)
            .map(|touch| (touch.push, touch.layer, touch.at))
            .collect();
        counted.sort_unstable_by_key(|(push, _, at)| (*push, *at));
        // Messages to several devices are one push.
        counted.dedup_by_key(|(push, ..)| *push);
        let counted = counted.into_iter();
        Ok(Some(RuleAnswer {
            rule,
            counted: counted
                .map(|(_, layer, at)| CountedPush { layer, at })
                .collect(),
        }))
    }

    fn because(&self, push: &Push<'_>, answer: &PushAnswer) -> String {
        let code = answer.code.as_deref().unwrap_or_default();
        match answer.result {
            Verdict::Accepted => "the push service accepted the message".to_owned(),
            Verdict::Failed => format!("the push service did not take the message: {code}"),
            Verdict::Dead => format!("the token is no longer registered: {code}"),
            Verdict::InDoubt => match code {
                "unanswered" => "the message was claimed, and no process waits for its answer: it may have arrived".to_owned(),
                code => reason(code, None),
            },
            Verdict::Waiting if code == "queued" => {
                "in the queue, for a process that sends".to_owned()
            }
            Verdict::Waiting => "a process is sending the message".to_owned(),
            Verdict::Cancelled => self.cancelled.clone().unwrap_or_else(|| "the run was cancelled".to_owned()),
            Verdict::Excluded if Rules::is_rule(code) => match &answer.rule {
                Some(rule) => rule.words(),
                None => format!("by the cadence rule {code}; the run has no record of its limits"),
            },
            _ => reason(code, Some(push.planned.holdout_percent)),
        }
    }

    /// Answers for a recipient without a claim: every row that a send reaches has one.
    fn unclaimed(&self, push: &Push<'_>, rows: &Rows) -> PushAnswer {
        let mut answer = push.blank();
        (answer.result, answer.because) = match rows {
            Ok(0) => (Verdict::NotInAudience, format!("not in {}", push.file())),
            Ok(_) => self.not_reached(push),
            Err(_) if push.is_whole() => (
                Verdict::NotInAudience,
                "the run has a record of each recipient of its audience, and none of this one"
                    .to_owned(),
            ),
            Err(_) if push.planned.input.is_none() => (
                Verdict::Unknown,
                "the run has no audience: it ended before that, or has not begun".to_owned(),
            ),
            Err(why) => (
                Verdict::Unknown,
                format!("no record of this recipient, and the audience cannot be read: {why}"),
            ),
        };
        answer
    }

    fn not_reached(&self, push: &Push<'_>) -> (Verdict, String) {
        let in_audience = format!("in {}", push.file());
        if self.run.mode.contains("dry-run") {
            return (
                Verdict::DryRun,
                format!("{in_audience}; a dry run sends nothing, and records no recipients"),
            );
        }
        if self.run.mode.starts_with("test-") {
            return (
                Verdict::DryRun,
                format!("{in_audience}; the run sends test pushes only"),
            );
        }
        if let Some(cancelled) = &self.cancelled {
            return (
                Verdict::Cancelled,
                format!("{in_audience}; {cancelled}, before this recipient"),
            );
        }
        match self.run.status {
            RunStatus::Open => (
                Verdict::Waiting,
                format!("{in_audience}; the run has not reached this recipient yet"),
            ),
            _ => (
                Verdict::NotReached,
                format!("{in_audience}; the run ended before it reached this recipient"),
            ),
        }
    }

    /// Answers without the ledger, whose records of old pushes are deleted: by the files of the run.
    fn deleted(&self, push: &Push<'_>, rows: &Rows) -> PushAnswer {
        let mut answer = push.blank();
        let path = push.summary.and_then(|summary| summary.files.as_ref());
        let path = path.map(|files| files.outcomes.as_path());
        let lines = path.and_then(|path| outcomes_of(path, self.user).ok());
        let (Some(path), Some(lines)) = (path, lines) else {
            if *rows == Ok(0) {
                return self.unclaimed(push, rows);
            }
            answer.because = format!("{DELETED}, and the file of outcomes is gone");
            return answer;
        };
        answer.note = Some(format!("from {}: {DELETED}", path.display()));
        let repeated = |line: &&OutcomeLine| line.code == "repeated";
        answer.rows = Some(1 + lines.iter().filter(repeated).count() as u64);
        let lines: Vec<&OutcomeLine> = lines.iter().filter(|line| !repeated(line)).collect();
        let Some(first) = lines.iter().min_by_key(|line| verdict_of(line)) else {
            let is_absent = *rows == Ok(0) || push.summary.is_some_and(is_whole);
            let rows = if is_absent { &Ok(0) } else { rows };
            return PushAnswer {
                note: answer.note,
                ..self.unclaimed(push, rows)
            };
        };
        answer.result = verdict_of(first);
        answer.code = Some(first.code.clone()).filter(|code| !code.is_empty());
        answer.because = self.because(push, &answer);
        let sent = (1..).zip(&lines).filter(|(_, line)| line.attempts > 0);
        answer.devices = sent.map(|(place, line)| device_of(place, line)).collect();
        answer
    }
}

impl Push<'_> {
    /// Returns an answer without a result.
    fn blank(&self) -> PushAnswer {
        let planned = self.planned;
        PushAnswer {
            variant: None,
            push: planned.number,
            is_test: false,
            layer: planned.layer,
            title: planned.title.clone(),
            audience_file: match &planned.input {
                Some(Input::File { path, .. }) => Some(path.clone()),
                _ => None,
            },
            result: Verdict::Unknown,
            code: None,
            because: String::new(),
            at: None,
            rule: None,
            devices: Vec::new(),
            rows: None,
            note: None,
        }
    }

    fn file(&self) -> String {
        let input = self.planned.input.as_ref();
        match input {
            Some(Input::Users(users)) if users.is_empty() => "the audience: it is empty".to_owned(),
            Some(input) => input.name(),
            None => "the audience".to_owned(),
        }
    }

    /// Returns whether a send recorded recipients that the ledger does not have any more.
    fn is_deleted(&self) -> bool {
        let sent = |summary: &Summary| {
            summary.ended != SendResult::DryRun && summary.rows > summary.not_attempted
        };
        self.summary.is_some_and(sent)
    }

    /// Returns whether the ledger has every recipient of the audience.
    fn is_whole(&self) -> bool {
        self.opened.is_some() && self.summary.is_some_and(is_whole)
    }

    /// Returns the rule with this code, with its limits in this run. The state store's own history has fixed rules.
    fn rule(&self, opened: &LedgerPush, code: &str) -> Option<AppliedRule> {
        let recorded = self.summary.map(|summary| summary.cadence_rules.clone());
        let fixed = || {
            let layer = Layer::new(opened.layer).ok()?;
            Some(Rules::default().applied(layer))
        };
        let mut rules = recorded.unwrap_or_default();
        if opened.recording == Recording::Here {
            rules.extend(fixed().unwrap_or_default());
        }
        rules.into_iter().find(|rule| rule.key == code)
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Accepted => Self::Accepted,
            Outcome::Failed => Self::Failed,
            Outcome::Dead => Self::Dead,
            Outcome::InDoubt => Self::InDoubt,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Excluded => Self::Excluded,
            Outcome::Holdout => Self::Holdout,
            Outcome::NoToken => Self::NoToken,
            Outcome::Skipped => Self::Skipped,
            Outcome::Waiting => Self::Waiting,
        }
    }
}

fn is_whole(summary: &Summary) -> bool {
    summary.ended != SendResult::DryRun && summary.not_attempted == 0
}

/// Returns the result in a line of an outcome file.
fn verdict_of(line: &OutcomeLine) -> Verdict {
    match line.outcome.as_str() {
        "accepted" => Verdict::Accepted,
        "failed" => Verdict::Failed,
        "dead" => Verdict::Dead,
        "cancelled" => Verdict::Cancelled,
        "skipped" => Verdict::from(super::skipped(&line.code)),
        _ => Verdict::InDoubt,
    }
}

fn device_of(device: u32, line: &OutcomeLine) -> DeviceAnswer {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    DeviceAnswer {
        device,
        token_hash: None,
        result: verdict_of(line),
        code: given(&line.code),
        message_name: given(&line.message_name),
        attempts: line.attempts,
        milliseconds: line.ms,
        claimed_at: None,
        answered_at: None,
        sent_by_run: None,
    }
}

/// Counts the user's rows of a push's audience. A file of a million rows is read beside the runtime's threads.
async fn rows(planned: &PlannedPush, user: &UserKey) -> Rows {
    let Some(input) = planned.input.clone() else {
        return Err("there is none".to_owned());
    };
    let (limit, user) = (planned.limit, user.clone());
    let read = tokio::task::spawn_blocking(move || rows_of(&input, limit, &user)).await;
    match read {
        Ok(read) => read.map_err(|error| format!("{error:#}")),
        Err(_) => Err(format!("{:?}", ErrorKind::Bug)),
    }
}
