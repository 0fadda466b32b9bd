//! Keeps the files of a run for the next start: on the disk, and in the state store where several machines share it,
//! since the disk of one machine may not last.

use std::fs::File;

use super::PhaseContext;
use super::plan::{GeneratedFile, GeneratedFiles};
use crate::csv_writer::cannot_write;
use crate::error::{Context as _, Error, ErrorKind, Result};

/// Stores every file that will be sent, if several machines share the state store.
pub(super) async fn store_files(phase: &PhaseContext<'_>, files: &GeneratedFiles) -> Result<()> {
    if !phase.context.store.is_shared() {
        return Ok(());
    }
    for push in &files.pushes {
        for file in push.live.iter().chain(&push.test) {
            let path = files.directory.join(&file.name);
            let mut content = File::open(&path).kind(ErrorKind::Failed, || {
                format!("cannot read {}", path.display())
            })?;
            phase
                .context
                .store
                .keep_file(&phase.run.id, &file.name, &mut content)
                .await?;
        }
    }
    Ok(())
}

/// Fetches a file from the state store unless it is on the disk. Its SHA-256 is checked when it is read.
pub(super) async fn fetch_file(
    phase: &PhaseContext<'_>,
    files: &GeneratedFiles,
    file: &GeneratedFile,
) -> Result<()> {
    let path = files.directory.join(&file.name);
    if path.exists() {
        return Ok(());
    }
    let failed = |error| cannot_write(&path, error);
    std::fs::create_dir_all(&files.directory).map_err(failed)?;
    let mut fetched = tempfile::NamedTempFile::new_in(&files.directory).map_err(failed)?;
    let store = phase.context.store;
    if !store
        .fetch_file(&phase.run.id, &file.name, fetched.as_file_mut())
        .await?
    {
        return Err(Error::new(
                ErrorKind::Refused,
                format!("{} is gone, and nothing but the tested file is sent", path.display()),
            )
            .hint("keep state in PostgreSQL (PUSHCTL_STATE_URL) where the disk does not last: the files are kept there too"));
    }
    fetched.as_file().sync_all().map_err(failed)?;
    fetched
        .persist(&path)
        .map_err(|error| failed(error.error))?;
    Ok(())
}
