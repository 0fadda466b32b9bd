//! Several files that appear together: all of a run's, or none.
//!
//! On disk, inside the output directory and therefore on its file system:
//! - `.pushctl-RUN.staging/` holds files being written; its `lock` is locked while the writer lives;
//! - `.pushctl-RUN.commit/` is the same directory after one rename, which is the instant of publication:
//!   it holds complete, synced files under their final names, which are then moved out, the manifest
//!   last. An empty `NAME.absent` says that a file of that name, from an earlier run, is to go.
//!
//! Whoever opens the directory next clears up after the dead: an abandoned staging directory is removed,
//! an abandoned commit is finished. Deliberately absent: undoing a publication.

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
/// What the name of a manifest ends in.
pub const MANIFEST: &str = ".manifest.json";

/// For another run's publication, which is a few renames: only a stopped process takes longer.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A directory in which a run's files are made ready. Dropped without [`Staging::publish`], it vanishes.
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
    /// As given to [`Staging::create`].
    pub staged: String,
    /// As it will be found in the output directory.
    pub name: String,
}

impl Staging {
    /// Makes the output directory if there is none, clears up after the dead, and opens a staging directory.
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
        clear_up(output, &lock);
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

    /// A new, empty file of mode 0600; one of the same name is begun anew.
    pub fn create(&self, staged: &str) -> Result<(File, PathBuf)> {
        let path = self.directory.join(staged);
        Ok((create(&path)?, path))
    }

    /// Forgets every file so far.
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

    /// Waits until no other process opens or publishes in the same directory. The wait is short: a
    /// publication is a few renames.
    pub fn lock_output(&self) -> Result<OutputLock> {
        OutputLock::take(&self.output)
    }

    /// Makes all files appear, in the given order, and last the manifest. `absent` names are removed.
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

    /// Makes all files appear, in the given order. `absent` names are removed.
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

/// The right to open or publish in a directory, until dropped.
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
                            "another run has been publishing into {} for too long",
                            output.display()
                        ),
                    )
                    .hint("look for a stopped pushctl process, or choose another --output"));
                }
            }
        }
    }
}

/// Returns the marker of a publication into `directory` that was cut short: some of its files are there, others still lie
/// in the marker. One that is under way is awaited.
pub fn cut_short(directory: &Path) -> Option<PathBuf> {
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

/// Finishes commits and removes staging directories whose owner is dead. What cannot be cleared up now
/// (somebody else's files, say) is left: it is in nobody's way.
fn clear_up(output: &Path, _lock: &OutputLock) {
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
                tracing::info!(directory = %path.display(), "cleared up after a run that was killed");
            }
            Err(error) => tracing::warn!("a killed run's files could not be cleared up: {error:#}"),
        }
    }
}

/// Whether nobody holds the directory's lock.
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
    fn nothing_is_left_of_a_run_that_fails() {
        let output = tempfile::tempdir().unwrap();
        drop(staged(output.path(), "r1", "0", b"half"));
        assert!(names(output.path()).is_empty());
    }

    #[test]
    fn files_of_an_earlier_run_that_are_empty_now_go() {
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
    fn a_publication_that_was_cut_short_is_finished_by_the_next_run() {
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
    fn a_publication_that_is_under_way_is_awaited_and_one_that_was_cut_short_is_told() {
        let output = tempfile::tempdir().unwrap();
        assert_eq!(cut_short(output.path()), None);
        let marker = output.path().join(".pushctl-run.commit");
        std::fs::create_dir(&marker).unwrap();
        let lock = create(&marker.join(LOCK)).unwrap();
        lock.lock().unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| cut_short(output.path()));
            std::thread::sleep(Duration::from_millis(200));
            assert!(!reader.is_finished());
            std::fs::remove_dir_all(&marker).unwrap();
            assert_eq!(reader.join().unwrap(), None);
        });
        drop(lock);
        std::fs::create_dir(&marker).unwrap();
        assert_eq!(cut_short(output.path()), Some(marker));
    }

    #[test]
    fn a_process_that_stopped_while_publishing_is_not_waited_for_without_end() {
        let output = tempfile::tempdir().unwrap();
        let stopped = OutputLock::take(output.path()).unwrap();
        let error = Staging::open(output.path(), "next").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        drop(stopped);
        drop(Staging::open(output.path(), "next").unwrap());
    }

    #[test]
    fn a_living_run_is_left_alone() {
        let output = tempfile::tempdir().unwrap();
        let living = staged(output.path(), "living", "0", b"");
        drop(Staging::open(output.path(), "next").unwrap());
        assert_eq!(names(output.path()), [".pushctl-living.staging"]);
        drop(living);
    }
}
