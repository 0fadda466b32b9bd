//! Publishes all files of a run together, or none.
//!
//! On disk, inside the output directory and therefore on its file system:
//! - `.pushctl-RUN.staging/` contains files being written; its `lock` is locked while the writing process lives;
//! - `.pushctl-RUN.commit/` is the same directory after one rename, which is the instant of publication: it contains
//!   complete, synced files under their final names, which are then moved out, the manifest last. An empty
//!   `NAME.absent` marks a file of an earlier run that must be removed.
//!
//! The next run in the directory cleans up after runs that were killed: it removes an abandoned staging directory and
//! finishes an abandoned commit. Deliberately absent: undoing a publication.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::csv_writer::cannot_write;
use crate::error::{Error, ErrorKind, Result};

const PREFIX: &str = ".pushctl-";
const STAGING: &str = ".staging";
const COMMIT: &str = ".commit";
const LOCK: &str = "lock";
const ABSENT: &str = ".absent";
/// The end of a manifest's name.
pub const MANIFEST: &str = ".manifest.json";

/// The timeout for another run's publication, which is a few renames: only a suspended process takes longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A directory for a run's unpublished files. If dropped without [`Staging::publish`], it is removed.
#[derive(Debug)]
pub struct Staging {
    output: PathBuf,
    directory: PathBuf,
    run_id: String,
    // Locked while this process lives.
    _alive: File,
    armed: bool,
}

/// A file to publish: its name in the staging directory, and its final one.
#[derive(Debug, Clone)]
pub struct Rename {
    /// The name given to [`Staging::create`].
    pub staged: String,
    /// The name in the output directory.
    pub name: String,
}

impl Staging {
    /// Creates the output directory if it does not exist, cleans up after killed runs, and opens a staging directory.
    ///
    /// # Errors
    /// The path is a file, or cannot be written.
    pub fn open(output: &Path, run_id: &str) -> Result<Self> {
        if output.exists() && !output.is_dir() {
            return Err(Error::usage(format!(
                "the output path {} is a file, not a directory",
                output.display()
            ))
            .hint("name a directory with --output, or - for standard output"));
        }
        std::fs::create_dir_all(output).map_err(|error| cannot_write(output, error))?;
        let lock = OutputLock::take(output)?;
        clean_up(output, &lock);
        let directory = output.join(format!("{PREFIX}{run_id}{STAGING}"));
        DirBuilder::new()
            .mode(0o700)
            .create(&directory)
            .map_err(|error| cannot_write(&directory, error))?;
        let alive = create(&directory.join(LOCK))?;
        alive
            .lock()
            .map_err(|error| cannot_write(&directory, error))?;
        Ok(Self {
            output: output.into(),
            directory,
            run_id: run_id.into(),
            _alive: alive,
            armed: true,
        })
    }

    /// Creates an empty file of mode 0600, replacing one of the same name.
    pub fn create(&self, staged: &str) -> Result<(File, PathBuf)> {
        let path = self.directory.join(staged);
        Ok((create(&path)?, path))
    }

    /// Removes every file created so far.
    pub fn restart(&self) -> Result<()> {
        let failed = |error| cannot_write(&self.directory, error);
        for entry in std::fs::read_dir(&self.directory).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.file_name().is_some_and(|name| name != LOCK) {
                std::fs::remove_file(&path).map_err(|error| cannot_write(&path, error))?;
            }
        }
        Ok(())
    }

    /// Waits until no other process opens or publishes in the same directory. The wait is short: a publication is a few
    /// renames.
    pub fn lock_output(&self) -> Result<OutputLock> {
        OutputLock::take(&self.output)
    }

    /// Publishes the files in the given order and the manifest last, and removes the files named in `absent`.
    pub fn publish(
        self,
        lock: &OutputLock,
        files: &[Rename],
        absent: &[String],
        manifest: (&str, &[u8]),
    ) -> Result<()> {
        let (manifest_name, manifest_bytes) = manifest;
        let path = self.directory.join(manifest_name);
        let failed = |error| cannot_write(&path, error);
        let mut file = create(&path)?;
        file.write_all(manifest_bytes)
            .and_then(|()| file.sync_all())
            .map_err(failed)?;
        self.publish_files(lock, files, absent)
    }

    /// Publishes the files in the given order, and removes the files named in `absent`.
    pub fn publish_files(
        mut self,
        lock: &OutputLock,
        files: &[Rename],
        absent: &[String],
    ) -> Result<()> {
        let staged_in = self.directory.clone();
        let failed = |error| cannot_write(&staged_in, error);
        for Rename { staged, name } in files {
            std::fs::rename(self.directory.join(staged), self.directory.join(name))
                .map_err(failed)?;
        }
        for name in absent {
            create(&self.directory.join(format!("{name}{ABSENT}")))?;
        }
        sync(&self.directory)?;
        let commit = self.output.join(format!("{PREFIX}{}{COMMIT}", self.run_id));
        std::fs::rename(&self.directory, &commit).map_err(failed)?;
        self.armed = false;
        lock.0.sync_all().map_err(failed)?;
        move_out(&self.output, &commit)?;
        lock.0.sync_all().map_err(failed)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.armed {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }
}

/// A lock that allows one process to open or publish in a directory; released when dropped.
#[derive(Debug)]
pub struct OutputLock(File);

impl OutputLock {
    fn take(output: &Path) -> Result<Self> {
        let directory = File::open(output).map_err(|error| cannot_write(output, error))?;
        let began = Instant::now();
        loop {
            match directory.try_lock() {
                Ok(()) => return Ok(Self(directory)),
                Err(TryLockError::Error(error)) => return Err(cannot_write(output, error)),
                Err(TryLockError::WouldBlock) if began.elapsed() < LONGEST_WAIT => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(
                        ErrorKind::Locked,
                        format!(
                            "another run has locked the output directory {} for too long",
                            output.display()
                        ),
                    )
                    .hint("look for a suspended pushctl process, or name another directory with --output"));
                }
            }
        }
    }
}

/// Returns the commit marker of an interrupted publication into `directory`: some of its files are there, the others
/// are still in the marker. Waits for a publication in progress.
pub fn interrupted_publication(directory: &Path) -> Option<PathBuf> {
    let began = Instant::now();
    loop {
        let marker = marker_in(directory)?;
        if abandoned(&marker) || began.elapsed() > LONGEST_WAIT {
            return Some(marker);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn marker_in(directory: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(directory).ok()?.flatten();
    entries.map(|entry| entry.path()).find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(PREFIX) && name.ends_with(COMMIT)
    })
}

/// Moves a committed directory's files to their final names, the manifest last, and removes it.
fn move_out(output: &Path, commit: &Path) -> Result<()> {
    let failed = |error| cannot_write(commit, error);
    let mut names: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(commit).map_err(failed)? {
        names.push(
            entry
                .map_err(failed)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort_by_key(|name| (name.ends_with(MANIFEST), name.clone()));
    for name in names.iter().filter(|name| *name != LOCK) {
        if let Some(absent) = name.strip_suffix(ABSENT) {
            let _ = std::fs::remove_file(output.join(absent));
            continue;
        }
        let target = output.join(name);
        std::fs::rename(commit.join(name), &target)
            .map_err(|error| cannot_write(&target, error))?;
    }
    std::fs::remove_dir_all(commit).map_err(failed)
}

/// Finishes commits and removes staging directories whose process is dead. Files that cannot be cleaned up now (for
/// example another user's) are left: they disturb no later run.
fn clean_up(output: &Path, _lock: &OutputLock) {
    let Ok(entries) = std::fs::read_dir(output) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(PREFIX) || !abandoned(&path) {
            continue;
        }
        let cleared = if name.ends_with(COMMIT) {
            move_out(output, &path)
        } else if name.ends_with(STAGING) {
            std::fs::remove_dir_all(&path).map_err(|error| cannot_write(&path, error))
        } else {
            continue;
        };
        match cleared {
            Ok(()) => {
                tracing::info!(directory = %path.display(), "cleaned up after a run that was killed");
            }
            Err(error) => tracing::warn!("cannot clean up after a run that was killed: {error:#}"),
        }
    }
}

/// Returns whether no process holds the directory's lock.
fn abandoned(directory: &Path) -> bool {
    match File::open(directory.join(LOCK)) {
        Ok(lock) => !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn create(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| cannot_write(path, error))
}

fn sync(directory: &Path) -> Result<()> {
    File::open(directory)
        .and_then(|file| file.sync_all())
        .map_err(|error| cannot_write(directory, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(output: &Path, run: &str, staged: &str, text: &[u8]) -> Staging {
        let staging = Staging::open(output, run).unwrap();
        staging.create(staged).unwrap().0.write_all(text).unwrap();
        staging
    }

    fn names(output: &Path) -> Vec<String> {
        let mut names: Vec<String> = output
            .read_dir()
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_run_leaves_no_files() {
        let output = tempfile::tempdir().unwrap();
        drop(staged(output.path(), "r1", "0", b"half"));
        assert!(names(output.path()).is_empty());
    }

    #[test]
    fn files_of_an_earlier_run_that_would_be_empty_now_are_removed() {
        let output = tempfile::tempdir().unwrap();
        std::fs::write(output.path().join("b.csv"), "old").unwrap();
        let staging = staged(output.path(), "r1", "0", b"new");
        let lock = staging.lock_output().unwrap();
        let rename = Rename {
            staged: "0".into(),
            name: "a.csv".into(),
        };
        staging
            .publish(
                &lock,
                &[rename],
                &["b.csv".into()],
                ("x.manifest.json", b"{}"),
            )
            .unwrap();
        assert_eq!(names(output.path()), ["a.csv", "x.manifest.json"]);
    }

    #[test]
    fn an_interrupted_publication_is_finished_by_the_next_run() {
        let output = tempfile::tempdir().unwrap();
        let commit = output.path().join(".pushctl-dead.commit");
        std::fs::create_dir(&commit).unwrap();
        for name in ["lock", "b.csv", "x.manifest.json"] {
            std::fs::write(commit.join(name), "whole").unwrap();
        }
        std::fs::write(output.path().join("a.csv"), "moved before the kill").unwrap();
        drop(Staging::open(output.path(), "next").unwrap());
        assert_eq!(names(output.path()), ["a.csv", "b.csv", "x.manifest.json"]);
    }

    #[test]
    fn a_publication_in_progress_is_awaited_and_an_interrupted_one_is_returned() {
        let output = tempfile::tempdir().unwrap();
        assert_eq!(interrupted_publication(output.path()), None);
        let marker = output.path().join(".pushctl-run.commit");
        std::fs::create_dir(&marker).unwrap();
        let lock = create(&marker.join(LOCK)).unwrap();
        lock.lock().unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| interrupted_publication(output.path()));
            std::thread::sleep(Duration::from_millis(200));
            assert!(!reader.is_finished());
            std::fs::remove_dir_all(&marker).unwrap();
            assert_eq!(reader.join().unwrap(), None);
        });
        drop(lock);
        std::fs::create_dir(&marker).unwrap();
        assert_eq!(interrupted_publication(output.path()), Some(marker));
    }

    #[test]
    fn the_wait_for_a_process_suspended_while_publishing_has_a_timeout() {
        let output = tempfile::tempdir().unwrap();
        let stopped = OutputLock::take(output.path()).unwrap();
        let error = Staging::open(output.path(), "next").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        drop(stopped);
        drop(Staging::open(output.path(), "next").unwrap());
    }

    #[test]
    fn the_files_of_a_living_run_are_kept() {
        let output = tempfile::tempdir().unwrap();
        let living = staged(output.path(), "living", "0", b"");
        drop(Staging::open(output.path(), "next").unwrap());
        assert_eq!(names(output.path()), [".pushctl-living.staging"]);
        drop(living);
    }
}
