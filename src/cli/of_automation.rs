//! `send --automation NAME --push K`: words, layer and safeguards out of an automation's file, people out of the newest
//! file that was generated for it.

use std::path::{Path, PathBuf};

use crate::audience::file_names;
use crate::audience::manifest::{FileKind, Manifest};
use crate::automation::file;
use crate::automation::file::PushTable;
use crate::automation::{Automation, file_named, values};
use crate::delivery::{CadenceFailure, Input, Order};
use crate::error::{Error, Result};
use crate::settings::generate::OutputTarget;
use crate::template::push::Wording;

use super::context::CommandContext;
use super::{automation_args, connect};

/// Puts what the automation says in place of what the order says. `input` is the audience, if it was named.
pub(super) fn apply(
    context: &CommandContext,
    (name, number): (&str, u32),
    input: Option<Input>,
    order: &mut Order,
) -> Result<()> {
    let chosen = automation_args::chosen(context, &[name.to_owned()])?;
    let automation = chosen
        .first()
        .ok_or_else(|| Error::usage(format!("there is no automation {name}")))?;
    let count = automation.file.push.len();
    let place = usize::try_from(number)
        .unwrap_or(usize::MAX)
        .wrapping_sub(1);
    let push = automation.file.push.get(place).ok_or_else(|| {
        Error::usage(format!(
            "--push: {name} has {}, numbered from 1",
            crate::count::counted(count as u64, "pushes")
        ))
    })?;
    let safeguards = &automation.file.safeguards;
    automation.name().clone_into(&mut order.automation);
    order.number = number;
    order.layer = u32::from(push.layer);
    order.wording = Wording {
        title: push.title.clone(),
        body: push.body.clone(),
        deep_link: push.deep_link.clone(),
        data: push.data.clone(),
    };
    order.holdout_percent = safeguards.holdout_percent;
    order.max_failure_rate = order.max_failure_rate.or(safeguards.max_failure_rate);
    if safeguards.cadence_failure == file::CadenceFailure::Send {
        order.cadence_failure = CadenceFailure::Send;
    }
    order.input = match input {
        Some(input) => input,
        None => newest(context, automation, push)?,
    };
    Ok(())
}

/// The newest file of the output directory that a push of the automation is for.
fn newest(context: &CommandContext, automation: &Automation, push: &PushTable) -> Result<Input> {
    let OutputTarget::Directory(directory) = &context.settings.generate.output else {
        return Err(Error::usage("to whom? --audience FILE is missing"));
    };
    let definition = connect::catalogue(context)?.get(&automation.file.audience.name)?;
    let stem = file_named(&definition, &push.audience_file)
        .map(|index| {
            values(&automation.file, &definition)
                .map(|of| file_names::stem(&definition, index, &of))
        })
        .transpose()?;
    let found = manifests(directory)
        .into_iter()
        .filter(|manifest| manifest.audience == definition.name)
        .max_by(|one, other| one.as_of.cmp(&other.as_of))
        .and_then(|manifest| {
            let mut files = manifest.files.into_iter();
            files
                .find(|file| file.kind == FileKind::Production && Some(&file.stem) == stem.as_ref())
        });
    let file = found.ok_or_else(|| {
        Error::usage(format!(
            "{} has no file for {}",
            directory.display(),
            push.audience_file
        ))
        .hint(format!(
            "`pushctl generate {}` writes one; --audience FILE names another",
            definition.name
        ))
    })?;
    let path = directory.join(&file.name);
    context.ui.say(format_args!("audience: {}", path.display()));
    Ok(Input::File {
        path,
        sha256: Some(file.sha256),
    })
}

fn manifests(directory: &Path) -> Vec<Manifest> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    let is_manifest = |path: &&PathBuf| path.to_string_lossy().ends_with(".manifest.json");
    let read = |path: &PathBuf| serde_json::from_slice(&std::fs::read(path).ok()?).ok();
    paths.iter().filter(is_manifest).filter_map(read).collect()
}
