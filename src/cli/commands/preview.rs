//! `pushctl preview`: renders a push without sending it.

use crate::delivery::Input;
use crate::delivery::preview::{self, Sample};
use crate::error::Result;
use crate::exit::ExitStatus;
use crate::template::push::{MAX_PAYLOAD, Problem, PushTemplate};
use crate::ui::{Document, Style};

use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::help;
use crate::cli::message_args::{AudienceFlags, WordFlags, hosts};
use crate::cli::runtime;

/// Render a push without sending it
///
/// Renders every row of the file, and shows the shortest message, the longest and some others. Works without a network.
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl preview --audience generated/trending-closet-items.csv --title 'Hot: [[var:product_name]]' --body 'People want yours'", "the shortest message, the longest and some others"),
        ("pushctl preview --audience a.csv --title T --body 'Hi [[var:name|default:\"there\"]]' --samples 10 --json", "more samples, for programs"),
    ]),
    after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Nothing, ExitStatus::Bug, ExitStatus::Interrupted, ExitStatus::Terminated]),
)]
pub struct Args {
    #[command(flatten)]
    audience: AudienceFlags,
    #[command(flatten)]
    words: WordFlags,
    /// Number of samples besides the shortest and the longest
    #[arg(long, value_name = "N", default_value_t = 3)]
    samples: usize,
}

impl Subcommand for Args {
    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        let input: Input = self.audience.input()?;
        let push = PushTemplate::parse(&self.words.wording(&context)?, &hosts(&context)?)
            .map_err(|found| Problem::error(&found))?;
        let samples = self.samples;
        let preview = runtime::run_blocking(&context, "rendering", move || {
            preview::render(&input, &push, samples)
        })?;
        if context.ui.document() == Document::Json {
            context.ui.json(&preview)?;
            return Ok(ExitStatus::Done);
        }
        let pen = context.ui.stdout_pen();
        for sample in &preview.samples {
            let Sample {
                line,
                offset: _,
                user_id,
                kind,
                title,
                body,
                deep_link,
                image,
                bytes,
            } = sample;
            let head = format!("{kind}: line {line}, {user_id}, {bytes} of {MAX_PAYLOAD} bytes");
            context.ui.print(pen.write(Style::Faint, &head))?;
            context
                .ui
                .print(format_args!("  {}", pen.write(Style::Strong, title)))?;
            context.ui.print(format_args!("  {body}"))?;
            if let Some(link) = deep_link {
                context.ui.print(format_args!("  {link}"))?;
            }
            if let Some(image) = image {
                context.ui.print(format_args!("  image: {image}"))?;
            }
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
