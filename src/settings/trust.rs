//! Trust in the files of the working directory, as git has it: where another user could have written them, they do not
//! say which program is run and where data goes.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::error::{Error, Result};

/// Variables that say where data goes, or which program is run.
const VARIABLES: &[&str] = &[
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "DB_HOST",
    "DB_PORT",
    "DB_USER",
    "DB_PASSWORD",
    "DB_NAME",
    "DB_SSL_MODE",
    "PUSHCTL_STATE_URL",
    "PUSHCTL_STATE_URL_FILE",
    "PUSH_CADENCE_DATABASE_URL",
    "PUSH_CADENCE_DATABASE_URL_FILE",
    "CADENCE_SERVICE_URL",
    "PUSHCTL_PUSH_URL",
    "PUSHCTL_PUSH_TOKEN_URL",
    "PUSHCTL_PUSH_CA",
    "PUSHCTL_DEAD_TOKENS_COMMAND",
    "GCE_METADATA_HOST",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "PUSHCTL_CONFIG",
];

/// Settings of the same kind.
const SETTINGS: &[&str] = &[
    "database_url",
    "state",
    "cadence.database_url",
    "cadence.service_url",
    "push.url",
    "push.token_url",
    "push.ca",
    "push.metadata_host",
    "push.proxy",
    "dead_tokens.command",
];

/// Returns whether a variable needs a file that can be trusted.
pub(super) fn is_trusted_variable(name: &str) -> bool {
    VARIABLES.contains(&name) || name.starts_with("PG") || name.starts_with("POSTGRES_")
}

/// Returns whether a setting needs a file that can be trusted.
pub(super) fn is_trusted_setting(name: &str) -> bool {
    SETTINGS.contains(&name) || name.starts_with("source.")
}

/// Refuses a file of the working directory that sets one of these names, if another user could have written it.
pub(super) fn check<'n>(
    path: &Path,
    shown: &str,
    mut names: impl Iterator<Item = &'n str>,
    needs_trust: fn(&str) -> bool,
) -> Result<()> {
    let Some(name) = names.find(|name| needs_trust(name)) else {
        return Ok(());
    };
    let Some(reason) = reason_to_distrust(path) else {
        return Ok(());
    };
    Err(
        Error::usage(format!("{shown} sets {name}, and {reason}")).hint(match shown {
            ".env" => {
                "make it yours and take away the others' permission to write (chown, chmod go-w), or set the variables in the environment"
                    .to_owned()
            }
            _ => format!(
                "make it yours and take away the others' permission to write (chown, chmod go-w), or name the file: --config {shown}"
            ),
        }),
    )
}

/// Returns why a file is not trusted.
fn reason_to_distrust(path: &Path) -> Option<String> {
    let (user, group) = (
        rustix::process::geteuid().as_raw(),
        rustix::process::getegid().as_raw(),
    );
    for (place, called) in [(Some(path), "the file"), (path.parent(), "its directory")] {
        let metadata = std::fs::metadata(place?).ok()?;
        if metadata.uid() != user && metadata.uid() != 0 {
            return Some(format!("{called} belongs to another user"));
        }
        let by_group =
            metadata.mode() & 0o020 != 0 && metadata.gid() != group && metadata.gid() != 0;
        if metadata.mode() & 0o002 != 0 || by_group {
            return Some(format!("{called} can be written by other users"));
        }
    }
    None
}
