//! `pushctl man`: the manual pages, made from the same definition as the help.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueHint;
use clap_mangen::Man;

use crate::error::{Context as _, Result};
use crate::exit::{self, Kind};
use crate::ui::Ui;

use super::{help, offer};

/// Print the manual page
#[derive(Debug, clap::Args)]
#[command(
    before_help = help::examples(&[
        ("pushctl man | man -l -", "read it"),
        ("pushctl man --dir man1", "write the pages of all commands"),
    ]),
    after_help = exit::help(&[Kind::Done, Kind::Failed, Kind::Usage, Kind::Bug]),
)]
pub struct Args {
    /// Write one page a command into this directory
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    dir: Option<PathBuf>,
}

impl Args {
    pub(super) fn run(&self, ui: &Ui) -> Result<Kind> {
        let mut command = super::command(&offer::built_in());
        command.build();
        if let Some(directory) = &self.dir {
            std::fs::create_dir_all(directory).kind(Kind::Failed, || {
                format!("cannot create {}", directory.display())
            })?;
            write_pages(&command, directory)?;
            ui.say(format!("manual pages written to {}", directory.display()));
            return Ok(Kind::Done);
        }
        let page = page(&command)?;
        ui.stdout()
            .write_all(&page)
            .kind(Kind::Failed, || "cannot write to standard output")?;
        Ok(Kind::Done)
    }
}

fn write_pages(command: &clap::Command, directory: &Path) -> Result<()> {
    let path = directory.join(Man::new(command.clone()).get_filename());
    std::fs::write(&path, page(command)?)
        .kind(Kind::Failed, || format!("cannot write {}", path.display()))?;
    command
        .get_subcommands()
        .try_for_each(|each| write_pages(each, directory))
}

/// One page: the sections of clap's own, with the examples and the exit statuses under headings that manuals have.
fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let man = Man::new(command.clone())
        .source(concat!("pushctl ", env!("CARGO_PKG_VERSION")))
        .manual("pushctl");
    let mut page = Vec::new();
    let render = |page: &mut Vec<u8>| -> std::io::Result<()> {
        man.render_title(page)?;
        man.render_name_section(page)?;
        man.render_synopsis_section(page)?;
        man.render_description_section(page)?;
        section(page, "EXAMPLES", command.get_before_help())?;
        man.render_options_section(page)?;
        if command.has_subcommands() {
            man.render_subcommands_section(page)?;
        }
        section(page, "EXIT STATUS", command.get_after_help())
    };
    render(&mut page).kind(Kind::Bug, || "cannot write the manual page")?;
    Ok(page)
}

/// Text as it stands, without its own heading.
fn section(
    page: &mut Vec<u8>,
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
