//! Finds the processes that hold a lock on a SQLite file, for a message. Linux lists the locks in `/proc/locks`.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Returns the processes that hold a write lock on the file or on one of its side files: `sqlite3 (process 4242)`.
/// Empty where the system does not say.
pub(super) fn of(path: &Path) -> Vec<String> {
    let Ok(locks) = std::fs::read_to_string("/proc/locks") else {
        return Vec::new();
    };
    let files: Vec<u64> = ["", "-shm", "-journal"]
        .iter()
        .filter_map(|ending| {
            let mut file = path.as_os_str().to_owned();
            file.push(ending);
            std::fs::metadata(file).map(|file| file.ino()).ok()
        })
        .collect();
    let mut found: Vec<u32> = locks
        .lines()
        .filter_map(|line| holder(line, &files))
        .filter(|process| *process != std::process::id())
        .collect();
    found.sort_unstable();
    found.dedup();
    found.into_iter().map(name).collect()
}

/// Returns the process of a line such as `1: POSIX  ADVISORY  WRITE 4242 fd:00:2531 120 120`.
fn holder(line: &str, files: &[u64]) -> Option<u32> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "WRITE")?;
    let file = words.get(at + 2)?.rsplit(':').next()?;
    let is_ours = files.contains(&file.parse().ok()?);
    // A process of another namespace has the number 0.
    let process = words.get(at + 1)?.parse().ok()?;
    (is_ours && process > 0).then_some(process)
}

fn name(process: u32) -> String {
    let program = std::fs::read_to_string(format!("/proc/{process}/comm"));
    match program {
        Ok(program) => format!("{} (process {process})", program.trim()),
        Err(_) => format!("process {process}"),
    }
}
