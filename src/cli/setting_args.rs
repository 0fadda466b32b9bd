//! Settings as flags: each is made from its declaration, and its value goes to the settings without a mapping.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches};

use crate::settings::Flags;
use crate::settings::setting::Setting;

/// Keeps the id of a setting's flag apart from the ids of other flags.
const PREFIX: &str = "setting.";

/// Returns the flags of a command's settings: `#[command(args = setting_args::flags(&[&push::RATE]))]`.
pub(super) fn flags(settings: &[&Setting]) -> Vec<Arg> {
    settings.iter().map(|setting| flag(setting)).collect()
}

/// Returns the flags of settings that may also stand after a subcommand.
pub(super) fn global_flags(settings: &[&Setting]) -> Vec<Arg> {
    let global = |setting: &&Setting| flag(setting).global(true);
    settings.iter().map(global).collect()
}

/// Returns the settings that a command line gives.
pub(super) fn given(matches: &ArgMatches) -> Flags {
    let mut flags = Flags::default();
    let mut level = Some(matches);
    while let Some(matches) = level {
        for id in matches.ids() {
            if let Some(name) = id.as_str().strip_prefix(PREFIX)
                && let Ok(Some(value)) = matches.try_get_one::<String>(id.as_str())
            {
                flags.set(name, value);
            }
        }
        level = matches.subcommand().map(|(_, below)| below);
    }
    flags
}

fn flag(setting: &Setting) -> Arg {
    let named = |name: &str, text: &str| match text {
        "" => String::new(),
        text => format!(" [{name}: {text}]"),
    };
    let default = named("default", setting.shown_default());
    let variables = named("env", &setting.variables.join(", "));
    let key = named("config", if setting.in_file { setting.name } else { "" });
    let about = setting.about;
    let mut arg = Arg::new(format!("{PREFIX}{}", setting.name))
        .long(setting.flag.trim_start_matches('-'))
        .value_name(setting.value_name)
        .value_hint(setting.hint)
        .help(format!("{about}{default}"))
        .long_help(format!("{about}{variables}{key}{default}"));
    if let Some(short) = setting.short {
        arg = arg.short(short);
    }
    match setting.words {
        Some(words) => arg.value_parser(PossibleValuesParser::new(words())),
        None => arg,
    }
}
