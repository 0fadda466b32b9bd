//! An audience's parameters on the command line: each is a flag of the audience's own subcommand.

use std::collections::BTreeMap;

use clap::builder::{PossibleValuesParser, StyledStr};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::audience::Definition;
use crate::audience::parameters::{Declaration, Type};

const HEADING: &str = "Parameters";

/// The command with a flag for each of the audience's parameters.
pub fn add(command: Command, definition: &Definition) -> Command {
    command.args(definition.parameters.iter().map(flag))
}

/// What was given of them, by the parameter's name.
pub fn given(matches: &ArgMatches, definition: &Definition) -> BTreeMap<String, String> {
    let value = |declaration: &Declaration| {
        let typed = matches.get_one::<String>(&id(declaration))?;
        Some((declaration.name.clone(), typed.clone()))
    };
    definition.parameters.iter().filter_map(value).collect()
}

fn flag(declaration: &Declaration) -> Arg {
    let arg = Arg::new(id(declaration))
        .long(declaration.flag())
        .help_heading(HEADING)
        .help(help(declaration))
        .value_name(declaration.kind.placeholder())
        .allow_hyphen_values(true)
        .action(ArgAction::Set);
    match declaration.kind {
        // `--allow-overlap` alone switches it on.
        Type::Boolean => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
            .value_parser(PossibleValuesParser::new(["true", "false"])),
        _ => arg,
    }
}

fn help(declaration: &Declaration) -> StyledStr {
    let mut help = declaration.help.clone();
    match declaration.default_text() {
        _ if declaration.kind == Type::Boolean => {}
        Some(default) => help.push_str(&format!(" [default: {default}]")),
        None => help.push_str(" [required]"),
    }
    if let (Some(min), Some(max)) = (declaration.min, declaration.max) {
        help.push_str(&format!(" [{min} to {max}]"));
    }
    help.into()
}

/// Apart from the ids of other flags.
fn id(declaration: &Declaration) -> String {
    format!("parameter:{}", declaration.name)
}
