//! Copies an embedded store into a file, while other processes use the store.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::store::{Backend, Store};
use crate::atomic_file::WholeFile;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::progress::Progress;

/// Whether a backup may replace a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replacing {
    Refused,
    Allowed,
}

impl Store {
    /// Writes the store, as it is at one instant, into a new file of mode 0600, and returns its size in bytes. The file
    /// appears once it is complete and its pages are checked. The copy is a store of its own.
    pub async fn backup(
        &self,
        file: &Path,
        replacing: Replacing,
        progress: &Arc<dyn Progress>,
    ) -> Result<u64> {
        let Backend::Sqlite(sqlite) = &*self.backend else {
            return Err(Error::usage("the state store is in PostgreSQL, and a backup is a copy of a SQLite store")
                .hint("`pushctl state export FILE` writes every record, and `pushctl state import` reads it into an empty store")
                .hint("`pg_dump --schema=pushctl` backs it up as part of its database"));
        };
        self.known_version().await?;
        refuse_target(file, sqlite.path(), replacing)?;
        let copy = WholeFile::begin(file)?;
        progress.stage("copying the state store");
        let counted = AtomicU64::new(0);
        let shown = Arc::clone(progress);
        let copying = sqlite.copy(copy.temporary(), move |pages, total| {
            shown.total(Some(total));
            shown.advance(pages - counted.swap(pages, Ordering::Relaxed).min(pages));
        });
        copying.await.map_err(|error| {
            error.context(format!(
                "cannot back up the state store to {}",
                file.display()
            ))
        })?;
        let size = std::fs::metadata(copy.temporary()).map(|file| file.len());
        match replacing {
            Replacing::Allowed => copy.finish()?,
            Replacing::Refused => copy.finish_new()?,
        }
        size.kind(ErrorKind::Failed, || {
            format!("cannot read {}", file.display())
        })
    }
}

fn refuse_target(file: &Path, store: &Path, replacing: Replacing) -> Result<()> {
    let place = file.display();
    let is_store = file
        .canonicalize()
        .is_ok_and(|file| Some(file) == store.canonicalize().ok());
    if is_store {
        return Err(Error::usage(format!("{place} is the state store itself"))
            .hint("name another file for the backup"));
    }
    if file.is_dir() {
        return Err(Error::usage(format!("{place} is a directory"))
            .hint("name a file in it for the backup"));
    }
    if replacing == Replacing::Refused && file.symlink_metadata().is_ok() {
        return Err(Error::new(ErrorKind::Refused, format!("{place} exists"))
            .hint("name another file, or replace it with --force"));
    }
    Ok(())
}
