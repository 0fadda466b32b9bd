//! `pushctl preview`: renders a push without sending it.

use crate::delivery::groups::VariantSplit;
use crate::delivery::preview;
use crate::delivery::{Input, Order};
use crate::error::Result;
use crate::exit::ExitStatus;
use crate::guards::Overrides;
use crate::report::preview as report;
use crate::run::automation_order::AutomationOrder;
use crate::template::push::{Problem, PushTemplate, Wording};
use crate::ui::{Document, Style};

use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::help;
use crate::cli::message_args::{AudienceFlags, WordFlags, hosts};
use crate::cli::{automation_args, runtime, services, setting_args};

/// Render a push without sending it
///
/// Renders every row of the file, and shows the shortest message, the longest and some others, each as Android and iOS
/// show it. Works without a network.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl preview --audience generated/trending-closet-items.csv --title 'Hot: [[var:product_name]]' --body 'People want yours'", "the shortest message, the longest and some others, as phones show them"),
        ("pushctl preview --audience a.csv --title T --body 'Hi [[var:name|default:\"there\"]]' --samples 10 --json", "more samples, for programs"),
        ("pushctl preview --automation layer3 --push 1", "the message of an automation, and its newest file"),
    ]),
    after_help = help::statuses(&[
        ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Nothing, ExitStatus::Refused, ExitStatus::Bug, ExitStatus::Interrupted,
        ExitStatus::Terminated,
    ]),
    args = setting_args::flags(&automation_args::SETTINGS),
)]
pub struct Args {
    #[command(flatten)]
    audience: AudienceFlags,
    /// Automation: its message, and its newest file unless --audience is given
    #[arg(long, value_name = "NAME", requires = "push", conflicts_with_all = ["title", "body", "deep_link", "data"])]
    automation: Option<String>,
    /// Number of the automation's push, from 1
    #[arg(long, value_name = "K", requires = "automation")]
    push: Option<u32>,
    #[command(flatten)]
    words: WordFlags,
    /// Number of samples besides the shortest and the longest
    #[arg(long, value_name = "N", default_value_t = 3)]
    samples: usize,
}

impl Subcommand for Args {
    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        let (input, wording, split) = self.push(&context)?;
        let push = PushTemplate::parse(&wording, &hosts(&context)?)
            .map_err(|found| Problem::error(&found))?;
        let samples = self.samples;
        let preview = runtime::run_blocking(&context, "rendering", move || {
            preview::render(&input, &push, &split, samples)
        })?;
        if context.ui.document() == Document::Json {
            context.ui.json(&preview)?;
            return Ok(ExitStatus::Done);
        }
        let pen = context.ui.stdout_pen();
        for sample in &preview.samples {
            context.ui.print(report::sample(sample, pen))?;
        }
        let options = preview.options.to_string();
        if !options.is_empty() {
            context.ui.print(pen.write(Style::Faint, &options))?;
        }
        for (reason, count) in &preview.skipped {
            context.ui.warn(format_args!(
                "{} of {} would be skipped: {reason}",
                crate::count::number(*count),
                crate::count::counted(preview.rows, "rows")
            ));
        }
        Ok(ExitStatus::Done)
    }
}

impl Args {
    /// Returns the audience and the message: those of the flags, or of a push of an automation.
    fn push(&self, context: &CommandContext) -> Result<(Input, Wording, VariantSplit)> {
        let (Some(name), Some(number)) = (&self.automation, self.push) else {
            let wording = self.words.wording(context)?;
            return Ok((self.audience.input()?, wording, VariantSplit::default()));
        };
        let automation = automation_args::one(context, name)?;
        let named = self.audience.is_given().then(|| self.audience.input());
        let mut order = Order::ad_hoc(Input::Users(Vec::new()), Wording::default(), 0);
        let overrides = Overrides::default();
        let push = (&automation, number);
        let run_context = services::run_context(context, "preview");
        AutomationOrder::apply(
            &run_context,
            push,
            &overrides,
            named.transpose()?,
            &mut order,
        )?;
        let split = VariantSplit::of(&order);
        Ok((order.input, order.wording, split))
    }
}
