//! `pushctl resume`: resumes an unfinished run, or ends the pause of an automation.

use serde_json::json;

use crate::delivery::{InDoubt, SendRunPlan};
use crate::error::Result;
use crate::exit::ExitStatus;
use crate::pipeline::RunPlan;
use crate::pipeline::driver::DriveOptions;
use crate::pipeline::step::Lateness;
use crate::report::number;
use crate::run;
use crate::run::gates::{Override, Overrides};
use crate::run::pipeline::PipelineServices;
use crate::run::send::PreparedSend;
use crate::settings::notify::METRICS_FILE;
use crate::settings::push::RATE_OF_RUN;
use crate::state::ledger::{Ending, Standing};
use crate::state::{Run, RunStatus, Store};
use crate::ui::Document;

use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::CommandContext;
use crate::cli::override_args;
use crate::cli::override_args::OverrideFlags;
use crate::cli::time_limit::bounded;
use crate::cli::{confirm, help, metrics_file, results, run_selector, services, setting_args};

/// Resume an unfinished run, or end the pause of an automation
///
/// Recipients with an outcome are not sent to again; the others get their push. Messages without an answer are in
/// doubt. They are left in doubt unless --in-doubt retry sends them again, which asks for confirmation.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl resume last", "resume the newest run"),
        ("pushctl resume 019351a2 --in-doubt retry", "also send messages in doubt again"),
        ("pushctl resume last --override max-audience --reason 'the launch'", "a run that a guard refused"),
        ("pushctl resume layer3 --enable", "end the pause of an automation"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Partial, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Nothing,
        ExitStatus::Locked, ExitStatus::Refused, ExitStatus::Cancelled, ExitStatus::Bug, ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
    args = setting_args::flags(&[&RATE_OF_RUN, &METRICS_FILE]),
)]
pub struct Args {
    /// Run id, a prefix of it, or `last`; with --enable an automation
    #[arg(value_name = "RUN|NAME")]
    what: String,
    /// End the pause of this automation
    #[arg(long, conflicts_with_all = ["in_doubt", "setting.push.rate", "guards"])]
    enable: bool,
    /// Messages without an answer: leave them in doubt, or send them again after a confirmation
    #[arg(long, value_name = "WHAT", value_enum)]
    in_doubt: Option<InDoubt>,
    #[command(flatten)]
    overriding: OverrideFlags,
}

impl AsyncSubcommand for Args {
    fn prepare(context: CommandContext) -> CommandContext {
        context.with_time_for_messages()
    }

    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        if self.enable {
            return enable(context, &self.what).await;
        }
        let result = Box::pin(self.resume(context)).await;
        metrics_file::write(context, "resume", &result).await;
        result
    }
}

impl Args {
    async fn resume(&self, context: &CommandContext) -> Result<ExitStatus> {
        let store = services::store(context).await?;
        let run = run_selector::run(context, &store, &self.what).await?;
        // A finished run can have messages in doubt.
        let can_continue = matches!(run.status, RunStatus::Open | RunStatus::Refused);
        if !can_continue && self.in_doubt != Some(InDoubt::Retry) {
            return Err(run::send::nothing_left(&run));
        }
        let given = self.overriding.given(context)?;
        if self.in_doubt == Some(InDoubt::Retry) {
            confirm_retry(context, &store, &run, given.as_ref()).await?;
        }
        let Ok(plan) = RunPlan::of(&run) else {
            return Box::pin(self.resume_send(context, &store, &run, given.as_ref())).await;
        };
        let sends = plan.mode.reaches_phones();
        self.resume_pipeline(context, store, (&run, sends), given.as_ref())
            .await
    }

    async fn resume_pipeline(
        &self,
        context: &CommandContext,
        store: Store,
        (run, sends): (&Run, bool),
        given: Option<&Override>,
    ) -> Result<ExitStatus> {
        store.rest().await;
        let run_context = services::run_context(context, "run-pipeline");
        let services = PipelineServices::open(&run_context, store, sends)?;
        let left = run::pipeline::resume(&services, run, given, OPTIONS, self.in_doubt).await;
        services.finish().await;
        let left = left?;
        results::print_pipelines(context, &[left.document], false)?;
        left.error.map_or(Ok(ExitStatus::Done), Err)
    }

    async fn resume_send(
        &self,
        context: &CommandContext,
        store: &Store,
        run: &Run,
        given: Option<&Override>,
    ) -> Result<ExitStatus> {
        let SendRunPlan {
            mut order,
            automation,
            ..
        } = SendRunPlan::of(run)?;
        if let Some(in_doubt) = self.in_doubt {
            order.in_doubt = in_doubt;
        }
        if let Some(rate) = context.settings.push.rate.by_flag() {
            order.rate = Some(rate);
        }
        let run_context = services::run_context(context, "send");
        let mut overrides = Overrides::of(&run.plan);
        overrides.0.extend(given.cloned());
        let plan = PreparedSend::plan(&run_context, &order, &overrides)?;
        let sending = PreparedSend::prepare(&run_context, store, (order, plan), automation).await?;
        let sent = Box::pin(sending.resume(&run_context, store, run, given)).await?;
        results::print_summary(context, &sent.summary)?;
        sent.error.map_or(Ok(ExitStatus::Done), Err)
    }
}

/// Asks before messages in doubt are sent again: they may have arrived.
async fn confirm_retry(
    context: &CommandContext,
    store: &Store,
    run: &Run,
    given: Option<&Override>,
) -> Result<()> {
    let mut facts = Vec::new();
    let mut count = 0;
    for push in store.pushes(&run.automation, &run.occurrence).await? {
        let tally = store.tally(&push).await?;
        let doubted = tally
            .iter()
            .filter(|row| row.standing == Standing::Ended(Ending::InDoubt));
        count += doubted.map(|row| row.count).sum::<u64>();
        let link = push.words.deep_link.as_deref().unwrap_or("none");
        facts.push(format!(
            "push {}: layer {}, \"{}\", link {link}",
            push.number, push.layer, push.words.title
        ));
    }
    let what = format!(
        "run {} will send {} again, which may already have arrived",
        run.id,
        match count {
            0 => "its messages in doubt".to_owned(),
            1 => "1 message".to_owned(),
            several => format!("{} messages", number(several)),
        }
    );
    facts.insert(0, what);
    facts.extend(confirm::switched_off(&override_args::alone(given)));
    confirm::confirm(context, &facts.join("\n  "), "send again")
}

/// Ends the pause of an automation; an unknown name is an error.
async fn enable(context: &CommandContext, name: &str) -> Result<ExitStatus> {
    bounded(context, end_pause(context, name)).await
}

async fn end_pause(context: &CommandContext, name: &str) -> Result<ExitStatus> {
    let store = services::store(context).await?;
    let was_paused = store.unpause(name).await?;
    if was_paused {
        context.ui.say(format_args!(
            "the pause of {name} is over: it sends again from its next occurrence on"
        ));
    } else {
        let names = run_selector::names(context, &store).await?;
        if !names.iter().any(|known| known == name) {
            return Err(run_selector::unknown(name, &names));
        }
        context.ui.say(format_args!("{name} was not paused"));
    }
    if context.ui.document() == Document::Json {
        context
            .ui
            .json(&json!({ "automation": name, "paused": false, "was_paused": was_paused }))?;
    }
    Ok(ExitStatus::Done)
}

/// A resume ignores lateness, and waits for later phases.
const OPTIONS: DriveOptions = DriveOptions {
    wait_for_due: true,
    until: None,
    lateness: Lateness::Waived,
};
