//! Who is at work: the name that runs, cancels, pauses and leases are recorded under.

use std::fmt::Display;

use crate::error::Result;

use super::environment::Environment;
use super::resolver::Resolver;
use super::setting::{Origin, Setting};

/// Longer names are refused: they stand in tables and notices.
const LONGEST: usize = 100;
/// Who started the process, where no setting names them: a CI job's person, a platform's service, the person
/// behind `sudo`, the user.
const FALLBACKS: [&str; 5] = [
    "GITHUB_ACTOR",
    "RAILWAY_SERVICE_NAME",
    "SUDO_USER",
    "USER",
    "LOGNAME",
];

/// The person or service at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Without a machine: `alice`.
    pub name: String,
}

/// `PUSHCTL_ACTOR`.
pub static ACTOR: Setting = Setting::new("actor", "Who is at work, as runs, cancels and pauses record it").otherwise("the first of GITHUB_ACTOR, RAILWAY_SERVICE_NAME, SUDO_USER, USER and LOGNAME, else the user id's name").variables(&["PUSHCTL_ACTOR"]);

impl Actor {
    pub(super) fn resolve(settings: &mut Resolver<'_>) -> Result<Self> {
        if let Some(name) = settings.optional(&ACTOR, one_line)? {
            return Ok(Self { name });
        }
        let (name, origin) = fallback(settings.environment());
        settings.supply(&name, origin);
        Ok(Self { name })
    }

    /// The name and the machine: `alice@worker-1`.
    pub fn on_this_machine(&self) -> String {
        let machine = whoami::hostname().ok();
        let machine = machine.as_deref().and_then(|name| one_line(name).ok());
        format!(
            "{}@{}",
            self.name,
            machine.as_deref().unwrap_or("unnamed-machine")
        )
    }
}

/// The first variable that names someone, else the user id's name. A value that is no name is passed over, because it
/// was not set for pushctl.
fn fallback(environment: &Environment) -> (String, Origin) {
    let named = FALLBACKS.iter().find_map(|variable| {
        let name = one_line(environment.process(variable)?).ok()?;
        Some((name, Origin::Variable((*variable).to_owned())))
    });
    named.unwrap_or_else(|| (name_of_user_id(), Origin::Default))
}

/// The user database's name for the user id. A container may run under an id that has none.
fn name_of_user_id() -> String {
    let known = whoami::username().ok();
    let known = known.and_then(|name| one_line(&name).ok());
    known.unwrap_or_else(|| {
        user_id().map_or_else(|| "unnamed-user".to_owned(), |id| format!("uid-{id}"))
    })
}

#[cfg(target_os = "linux")]
fn user_id() -> Option<impl Display> {
    use std::os::unix::fs::MetadataExt as _;
    Some(std::fs::metadata("/proc/self").ok()?.uid())
}

#[cfg(not(target_os = "linux"))]
fn user_id() -> Option<impl Display> {
    None::<u32>
}

fn one_line(given: &str) -> Result<String, String> {
    let name = given.trim();
    let is_short = (1..=LONGEST).contains(&name.chars().count());
    if !is_short || name.chars().any(char::is_control) {
        return Err(format!(
            "expected a name of one line and at most {LONGEST} characters"
        ));
    }
    Ok(name.to_owned())
}
