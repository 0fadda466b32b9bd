//! Who holds a lease, and whether that process is known to be dead.
//!
//! A lease ends by itself when its holder stops renewing it. Where a dead holder can be recognised at once (the same
//! boot of the same machine, the same process namespace, the same user), nobody has to wait for that.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A process, as others are told of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// A person and a machine: `alice@worker-1`.
    pub who: String,
    /// Its process id on that machine.
    pub pid: u32,
    /// Where the id means something; absent on systems that do not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    /// Boot, process namespace and user: ids can be compared only within the same three.
    scope: String,
    /// In clock ticks since the boot: tells a process from a later one with the same id.
    started: u64,
}

impl ProcessId {
    /// This process. `who` is what others are shown.
    pub fn this_process(who: impl Into<String>) -> Self {
        let pid = std::process::id();
        Self {
            who: who.into(),
            pid,
            process: scope()
                .zip(started(pid))
                .map(|(scope, started)| Process { scope, started }),
        }
    }

    /// True only if it is certain. A process on another machine, or out of sight, is not known to be dead.
    pub fn is_known_dead(&self) -> bool {
        self.process.as_ref().is_some_and(|process| {
            scope().as_ref() == Some(&process.scope) && started(self.pid) != Some(process.started)
        })
    }

    pub(super) fn to_text(&self) -> String {
        serde_json::to_string(self).unwrap_or_else(|_| self.who.clone())
    }

    pub(super) fn from_text(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self {
            who: text.to_owned(),
            pid: 0,
            process: None,
        })
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} (process {})", self.who, self.pid)
    }
}

#[cfg(target_os = "linux")]
fn scope() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    // Processes of other users may be hidden, which would look like death.
    let user = std::fs::metadata("/proc/self").ok()?.uid();
    Some(format!("{} {} {user}", boot.trim(), namespace.display()))
}

/// When a living process started; `None` for a dead one and for one that only waits to be buried.
#[cfg(target_os = "linux")]
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the state is the first field behind it, the start the twentieth.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(not(target_os = "linux"))]
fn scope() -> Option<String> {
    None
}

#[cfg(not(target_os = "linux"))]
fn started(_pid: u32) -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_living_process_is_not_dead_and_a_killed_one_is_even_before_it_is_buried() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let mut holder = ProcessId::this_process("alice@worker-1");
        assert!(!holder.is_known_dead());
        holder.pid = child.id();
        holder.process.as_mut().unwrap().started = started(child.id()).unwrap();
        assert!(!holder.is_known_dead());
        child.kill().unwrap();
        while started(child.id()).is_some() {
            std::thread::yield_now();
        }
        assert!(holder.is_known_dead());
        child.wait().unwrap();
        assert!(holder.is_known_dead());
    }

    #[test]
    fn a_process_elsewhere_is_never_known_to_be_dead() {
        let mut holder = ProcessId::this_process("alice@worker-1");
        holder.pid = u32::MAX;
        holder.process.as_mut().unwrap().scope = "another boot".to_owned();
        assert!(!holder.is_known_dead());
        holder.process = None;
        assert!(!holder.is_known_dead());
    }
}
