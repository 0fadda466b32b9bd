//! `pushctl man`: the manual pages, made from the same definition as the help.

use crate::exit::ExitStatus;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::ValueHint;
use clap_mangen::Man;

use crate::error::{Context as _, ErrorKind, Result};
use crate::ui::Ui;

use crate::cli::commands::Subcommand;
use crate::cli::context::CommandContext;
use crate::cli::{audience_args, help};

/// Print the manual page
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl man | man -l -", "read it"),
        ("pushctl man --dir man1", "the pages of all commands"),
    ]),
    after_help = help::statuses(&[ExitStatus::Done, ExitStatus::Failed, ExitStatus::Usage, ExitStatus::Bug]),
)]
pub struct Args {
    /// Directory for one page per command
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Subcommand for Args {
    fn run_without_settings(&self, ui: &Ui) -> Option<Result<ExitStatus>> {
        Some(self.print(ui))
    }

    fn run(self: Box<Self>, context: CommandContext) -> Result<ExitStatus> {
        self.print(&context.ui)
    }
}

impl Args {
    fn print(&self, ui: &Ui) -> Result<ExitStatus> {
        let mut command = crate::cli::command(&audience_args::known(None).offers);
        command.build();
        if let Some(directory) = &self.dir {
            std::fs::create_dir_all(directory).kind(ErrorKind::Failed, || {
                format!("cannot create {}", directory.display())
            })?;
            write_pages(&command, directory)?;
            ui.say(format!("manual pages written to {}", directory.display()));
            return Ok(ExitStatus::Done);
        }
        let page = page(&command)?;
        ui.stdout()
            .write_all(&page)
            .kind(ErrorKind::Failed, || "cannot write to standard output")?;
        Ok(ExitStatus::Done)
    }
}

fn write_pages(command: &clap::Command, directory: &Path) -> Result<()> {
    let path = directory.join(Man::new(command.clone()).get_filename());
    std::fs::write(&path, page(command)?).kind(ErrorKind::Failed, || {
        format!("cannot write {}", path.display())
    })?;
    command
        .get_subcommands()
        .try_for_each(|each| write_pages(each, directory))
}

/// Renders one page: clap's sections, with examples and exit statuses under the usual headings of a manual.
fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .source(concat!("pushctl ", env!("CARGO_PKG_VERSION")))
        .manual("pushctl");
    let mut sections: Vec<Vec<u8>> = Vec::new();
    let mut add = |render: &dyn Fn(&mut dyn Write) -> std::io::Result<()>| {
        let mut section = Vec::new();
        let rendered = render(&mut section).kind(ErrorKind::Bug, || "cannot write the manual page");
        sections.push(section);
        rendered
    };
    add(&|page| man.render_title(page))?;
    add(&|page| man.render_name_section(page))?;
    add(&|page| man.render_synopsis_section(page))?;
    add(&|page| man.render_description_section(page))?;
    add(&|page| section(page, "EXAMPLES", command.get_before_help()))?;
    add(&|page| man.render_options_section(page))?;
    if command.has_subcommands() {
        add(&|page| man.render_subcommands_section(page))?;
    }
    add(&|page| section(page, "EXIT STATUS", command.get_after_help()))?;
    Ok(join(&sections))
}

/// Joins the sections of one page and keeps the definitions that each of them repeats only once.
fn join(sections: &[Vec<u8>]) -> Vec<u8> {
    let mut page = Vec::new();
    for section in sections {
        let text = String::from_utf8_lossy(section);
        let repeated =
            |line: &str| !page.is_empty() && (line.starts_with(".ie ") || line.starts_with(".el "));
        let lines: Vec<&str> = text.lines().filter(|line| !repeated(line)).collect();
        page.extend_from_slice(lines.join("\n").as_bytes());
        page.push(b'\n');
    }
    page
}

/// Formats text verbatim, without its heading.
fn section(
    page: &mut dyn Write,
    heading: &str,
    text: Option<&clap::builder::StyledStr>,
) -> std::io::Result<()> {
    let Some(text) = text.map(ToString::to_string) else {
        return Ok(());
    };
    writeln!(page, ".SH \"{heading}\"\n.nf")?;
    for line in text.lines().skip(1) {
        writeln!(page, "{}", line.replace('\\', "\\e").replace('-', "\\-"))?;
    }
    writeln!(page, ".fi")
}
