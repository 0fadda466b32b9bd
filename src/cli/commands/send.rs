//! `pushctl send`: an audience file becomes pushes, each once.

use crate::exit::ExitStatus;

use crate::automation::Automation;
use crate::delivery::overlap::OverlapLimit;
use crate::delivery::{
    CadenceFailure, Devices, InDoubt, Input, Order, Reach, SendPlan, SendRunPlan, occurrence_of,
};
use crate::error::{Error, Result};
use crate::run;
use crate::run::automation_order::AutomationOrder;
use crate::run::context::RunContext;
use crate::run::gates::Overrides;
use crate::run::send::PreparedSend;
use crate::settings::{cadence, notify, push};
use crate::template::push::Wording;

use crate::cli::automation_args;
use crate::cli::commands::AsyncSubcommand;
use crate::cli::context::CommandContext;
use crate::cli::message_args::{AudienceFlags, WordFlags};
use crate::cli::override_args;
use crate::cli::override_args::OverrideFlags;
use crate::cli::{confirm, help, metrics_file, results, run_selector, services, setting_args};

/// Send a push to an audience, once to each recipient
///
/// Checks the whole file, looks up tokens, asks for confirmation of the count, and sends. Every recipient is claimed in
/// the state store before their message leaves: after a crash `pushctl resume` finishes the rest, and the same words to
/// the same file send nothing a second time, unless --occurrence names another occasion.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl send --audience generated/trending-closet-items.csv --layer 2 --title 'Hot: [[var:product_name]]' --body 'People want yours' --dry-run", "count the recipients; send nothing"),
        ("pushctl send --audience a.csv --layer 2 --title T --body B", "asks for the count, then sends"),
        ("pushctl send --automation layer3 --push 1 --dry-run", "the message of an automation, and its newest file"),
        ("pushctl send --users 1a0c5b52-0f5e-4d0e-8a55-3f3c2a9d7b10 --layer 4 --title Test --body Test --yes", "a test push from a script"),
        ("pushctl send --audience a.csv --layer 2 --title T --body B --validate-only --yes", "the push service validates every message and delivers none"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Partial, ExitStatus::Credentials, ExitStatus::Unreachable, ExitStatus::Nothing,
        ExitStatus::Locked, ExitStatus::Refused, ExitStatus::Cancelled, ExitStatus::Bug, ExitStatus::Interrupted, ExitStatus::Terminated,
    ]),
    args = setting_args::flags(&[&push::RATE, &push::OUTCOMES, &cadence::HISTORY, &notify::METRICS_FILE]),
    args = setting_args::flags(&automation_args::SETTINGS),
)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Args {
    #[command(flatten)]
    audience: AudienceFlags,
    /// Automation: its message, layer and safeguards, and its newest file unless --audience is given
    #[arg(long, value_name = "NAME", requires = "push", conflicts_with_all = ["title", "body", "deep_link", "data", "layer"])]
    automation: Option<String>,
    /// Number of the automation's push, from 1
    #[arg(long, value_name = "K", requires = "automation")]
    push: Option<u32>,
    /// Layer: 1 platform-wide, 2 product and trend, 3 behaviour, 4 test, 5 new users
    #[arg(short, long, value_name = "N")]
    layer: Option<u32>,
    #[command(flatten)]
    words: WordFlags,
    /// Send to every device of a recipient, not only to the latest
    #[arg(long)]
    all_devices: bool,
    /// Maximum rows, the first of the file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Occurrence, in which a recipient gets one push [default: from the file's content, the message and the layer]
    #[arg(long, value_name = "NAME")]
    occurrence: Option<String>,
    /// Messages without an answer: leave them in doubt, or send them again
    #[arg(
        long,
        alias = "on-ambiguous",
        value_name = "WHAT",
        value_enum,
        default_value = "keep"
    )]
    in_doubt: InDoubt,
    /// If the notification history does not answer: abort, or send without cadence rules
    #[arg(long, value_name = "WHAT", value_enum, default_value = "abort")]
    cadence_failure: CadenceFailure,
    /// Maximum share of failed messages, 0 to 1; the send stops above it
    #[arg(long, value_name = "SHARE", value_parser = share)]
    max_failure_rate: Option<f64>,
    #[command(flatten)]
    overriding: OverrideFlags,
    /// Let other processes join with --join: all recipients are queued in the state store first
    #[arg(long, conflicts_with_all = ["all_devices", "dry_run", "validate_only"])]
    share: bool,
    /// Join a send that another process began with --share
    #[arg(long, value_name = "RUN", conflicts_with_all = [
        "share", "automation", "push", "audience", "users", "layer", "title", "body", "deep_link", "data", "all_devices", "limit", "occurrence",
        "max_failure_rate", "dry_run", "validate_only",
    ])]
    join: Option<String>,
    /// Count only; reads the source and the notification history, so the numbers are those of a live send
    #[arg(long, conflicts_with = "validate_only")]
    dry_run: bool,
    /// With --dry-run, read neither the source nor the notification history; the count is then an upper bound
    #[arg(long, requires = "dry_run")]
    offline: bool,
    /// Have the push service validate every message, without delivery
    #[arg(long)]
    validate_only: bool,
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("expected a share from 0 to 1, like 0.1".to_owned()),
    }
}

impl AsyncSubcommand for Args {
    fn prepare(context: CommandContext) -> CommandContext {
        context.with_time_for_messages()
    }

    async fn execute(self, context: &CommandContext) -> Result<ExitStatus> {
        let is_recorded = !self.dry_run && !self.validate_only;
        let result = Box::pin(self.send(context)).await;
        if is_recorded {
            metrics_file::write(context, "send", &result).await;
        }
        result
    }
}

impl Args {
    async fn send(self, context: &CommandContext) -> Result<ExitStatus> {
        if let Some(run) = &self.join {
            return self.join(context, run).await;
        }
        let given = self.overriding.given(context)?;
        let overrides = override_args::alone(given.as_ref());
        let run_context = services::run_context(context, "send");
        let automation = self.automation(context)?;
        let (mut order, automation_order) = match (&automation, self.push) {
            (Some(automation), Some(number)) => {
                let push = (automation, number);
                let (order, automation_order) = self.order_of(&run_context, push, &overrides)?;
                (order, Some(automation_order))
            }
            _ => (self.order(context)?, None),
        };
        let plan = PreparedSend::plan(&run_context, &order, &overrides)?;
        settle(context, &mut order, &plan);
        let file = automation
            .as_ref()
            .map(|automation| automation.file.clone());
        if self.dry_run {
            let summary = if self.offline {
                run::send::dry_run_offline(&run_context, &order, &plan).await?
            } else {
                let store = services::store_of_dry_run(context).await?;
                let mut sending =
                    PreparedSend::prepare(&run_context, &store, (order, plan), file).await?;
                sending.dry_run(&run_context, &store).await?
            };
            results::print_summary(context, &summary)?;
            return Ok(ExitStatus::Done);
        }
        if let (Some(automation_order), Reach::Live) = (&automation_order, order.reach) {
            let store = services::store(context).await?;
            run::session::not_paused(&store, &order.automation, &overrides).await?;
            automation_order
                .check_safeguards(&run_context, &store, &plan)
                .await?;
        }
        let store = if confirm::is_refused(context, order.reach) {
            services::store_of_dry_run(context).await?
        } else {
            services::store(context).await?
        };
        let asked = (order, plan);
        let mut sending = PreparedSend::prepare(&run_context, &store, asked, file).await?;
        confirm::confirm_send(context, &mut sending, &overrides).await?;
        let sent = Box::pin(sending.begin(&run_context, &store, given.as_ref())).await?;
        results::print_summary(context, &sent.summary)?;
        sent.error.map_or(Ok(ExitStatus::Done), Err)
    }

    async fn join(&self, context: &CommandContext, wanted: &str) -> Result<ExitStatus> {
        let given = self.overriding.given(context)?;
        let store = services::store(context).await?;
        let run = run_selector::run(context, &store, wanted).await?;
        let order = SendRunPlan::of(&run)?.order;
        if !order.shared {
            return Err(Error::usage(format!("run {} is not shared", run.id))
                .hint("a send that others may join is begun with --share"));
        }
        let run_context = services::run_context(context, "send");
        let sent = run::send::join(&run_context, &store, (&run, &order), given.as_ref()).await?;
        results::print_summary(context, &sent.summary)?;
        sent.error.map_or(Ok(ExitStatus::Done), Err)
    }

    fn automation(&self, context: &CommandContext) -> Result<Option<Automation>> {
        let Some(name) = &self.automation else {
            return Ok(None);
        };
        automation_args::one(context, name).map(Some)
    }

    fn order_of<'a>(
        &self,
        run_context: &RunContext<'_>,
        push: (&'a Automation, u32),
        overrides: &'a Overrides,
    ) -> Result<(Order, AutomationOrder<'a>)> {
        let input = self
            .audience
            .is_given()
            .then(|| self.audience.input())
            .transpose()?;
        let no_users = Input::Users(Vec::new());
        let mut order = self.blank(
            run_context.settings.push.rate.limit(),
            no_users,
            Wording::default(),
            0,
        );
        let automation_order =
            AutomationOrder::apply(run_context, push, overrides, input, &mut order)?;
        Ok((order, automation_order))
    }

    fn order(&self, context: &CommandContext) -> Result<Order> {
        let layer = self.layer.ok_or_else(|| {
            Error::usage("--layer N is required").hint(
                "1 platform-wide moments, 2 product and trend, 3 behaviour, 4 test, 5 new-user series",
            )
        })?;
        crate::cadence::Layer::new(layer)?;
        let input = self.audience.input()?;
        let rate = context.settings.push.rate.limit();
        Ok(self.blank(rate, input, self.words.wording(context)?, layer))
    }

    fn blank(&self, rate: u32, input: Input, wording: Wording, layer: u32) -> Order {
        Order {
            occurrence: self.occurrence.clone().unwrap_or_default(),
            limit: self.limit,
            devices: if self.all_devices {
                Devices::All
            } else {
                Devices::Latest
            },
            reach: if self.validate_only {
                Reach::ValidateOnly
            } else {
                Reach::Live
            },
            in_doubt: self.in_doubt,
            cadence_failure: self.cadence_failure,
            max_failure_rate: self.max_failure_rate,
            shared: self.share,
            rate: Some(rate),
            ..Order::ad_hoc(input, wording, layer)
        }
    }
}

/// Sets the occurrence and the file's hash from the plan.
fn settle(context: &CommandContext, order: &mut Order, plan: &SendPlan) {
    if let Input::File { sha256, .. } = &mut order.input {
        *sha256 = Some(plan.sha256.clone());
    }
    if order.overlap.is_none() {
        let is_named = !order.occurrence.is_empty();
        order.overlap = Some(OverlapLimit::ad_hoc(context.clock.now(), is_named));
    }
    if order.occurrence.is_empty() {
        order.occurrence = occurrence_of(&plan.sha256, order.layer, &order.wording);
    }
    if order.reach == Reach::ValidateOnly {
        // Nothing is sent, so the claims must not prevent a later send.
        order.occurrence = format!("{}?validate={}", order.occurrence, context.run_id);
    }
}
