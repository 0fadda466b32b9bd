//! The limits of a process, as a shell's `ulimit` or a container sets them: what an error says about them.

use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

use crate::error::{Error, ErrorKind, Result};

/// The standard streams, a runtime, signals, and a state store.
const FEWEST_FILES: u64 = 16;

/// Adds the hint of a limit of the process, if one caused the error.
pub(crate) fn with_hint(error: Error) -> Error {
    match error.find::<io::Error>().and_then(hint_of) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Fails where so few files may be open that no runtime and no state store can start.
pub(crate) fn check_open_files() -> Result<()> {
    let limit = getrlimit(Resource::Nofile).current;
    if limit.is_none_or(|limit| limit >= FEWEST_FILES) {
        return Ok(());
    }
    let cause = io::Error::from(Errno::MFILE);
    Err(Error::from_cause(ErrorKind::Failed, cause).context("pushctl cannot start"))
}

fn hint_of(error: &io::Error) -> Option<String> {
    let limit = |resource| getrlimit(resource).current;
    match Errno::from_io_error(error)? {
        Errno::MFILE => Some(format!(
            "this process may open {} files at once; raise the limit, for example with `ulimit -n 1024`",
            limit(Resource::Nofile).unwrap_or_default()
        )),
        Errno::NFILE => Some("the whole machine has too many open files".to_owned()),
        Errno::FBIG => Some(match limit(Resource::Fsize) {
            Some(bytes) => format!(
                "a file of this process may have {bytes} bytes; raise the limit with `ulimit -f`"
            ),
            None => "the file system has no larger files".to_owned(),
        }),
        Errno::DQUOT => Some("the disk quota of this user is used up".to_owned()),
        Errno::NOMEM => Some(
            "raise the memory limit of this process (`ulimit -v`, or the container's)".to_owned(),
        ),
        _ => None,
    }
}

/// Returns the error of a file that has reached the limit of file sizes, or whose next page would exceed it.
pub(crate) fn too_large(path: &Path) -> Option<io::Error> {
    let most = getrlimit(Resource::Fsize).current?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let largest = size(path).max(size(Path::new(&log)));
    (largest + (1 << 16) > most).then(|| Errno::FBIG.into())
}
