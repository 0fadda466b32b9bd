//! Whether files can be written into a directory, and how much room it has.

use std::io::{self, Write as _};
use std::path::Path;

/// The content of a test write: more than a file system stores in the directory entry itself.
const PROBE: [u8; 4096] = [b'.'; 4096];

/// Writes a file without a name, and leaves nothing behind.
pub(crate) fn try_writing(directory: &Path) -> io::Result<()> {
    let mut probe = tempfile::tempfile_in(directory)?;
    probe.write_all(&PROBE).and_then(|()| probe.sync_all())
}

/// Returns the free bytes for this user; `None` where the file system does not report them.
pub(crate) fn room(directory: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(directory).ok()?;
    (found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(found.f_frsize))
}

/// Returns a number of bytes as text.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1_048_576 => format!("{} KiB", bytes.div_ceil(1024)),
        1_048_576..10_737_418_240 => format!("{} MiB", bytes.div_ceil(1_048_576)),
        more => format!("{} GiB", more >> 30),
    }
}

/// Returns what helps against an error of [`try_writing`].
pub(crate) fn remedy(error: &io::Error) -> &'static str {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => "free some space",
        Io::NotADirectory | Io::AlreadyExists => "that path, or a part of it, is a file: move it",
        Io::ReadOnlyFilesystem => "the file system is read-only: mount it for writing",
        _ => "give this user write permission",
    }
}
