//! Identifies the process that holds a lease, and recognises that it is dead.
//!
//! A lease expires when its holder stops renewing it. Where a dead holder can be recognised at once (same boot of the
//! same machine, same process namespace, same user), other processes need not wait for that.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The holder of a lease, as shown to other processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The actor: `alice@worker-1`.
    pub who: String,
    /// The process id on that machine.
    pub pid: u32,
    /// The scope of the process id; absent on systems without `/proc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<Process>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    /// Boot, process namespace and user: process ids can be compared only if all three are equal.
    scope: String,
    /// The start in clock ticks since the boot; separates a process from a later one with the same id.
    started: u64,
}

impl ProcessId {
    /// Returns the present process. `who` is shown to other users.
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

    /// Returns whether the process is certainly dead. A process on another machine, or of another user, never is.
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
    // Processes of other users may be hidden, which would look like dead ones.
    let user = std::fs::metadata("/proc/self").ok()?.uid();
    Some(format!("{} {} {user}", boot.trim(), namespace.display()))
}

/// Returns when a living process started; `None` for a dead process and for a zombie.
#[cfg(target_os = "linux")]
fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; the state is the first field after it, the start the twentieth.
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
    fn a_living_process_is_not_dead_and_a_killed_one_is_even_as_a_zombie() {
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
