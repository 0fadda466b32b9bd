//! Writes a file that gets its name only when it is complete.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, PersistError};

use crate::csv_writer::cannot_write;
use crate::error::Result;

/// A temporary file beside its final path; removed if dropped without [`WholeFile::finish`].
pub(crate) struct WholeFile {
    out: BufWriter<NamedTempFile>,
    path: PathBuf,
}

impl WholeFile {
    /// Creates a temporary file of mode 0600 in the directory of `path`.
    pub(crate) fn begin(path: &Path) -> Result<Self> {
        let directory = match path.parent() {
            Some(directory) if !directory.as_os_str().is_empty() => directory,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(".pushctl-")
            .tempfile_in(directory)
            .map_err(|error| cannot_write(path, error))?;
        Ok(Self {
            out: BufWriter::new(file),
            path: path.into(),
        })
    }

    /// Returns the path of the temporary file, for a writer that opens it itself.
    pub(crate) fn temporary(&self) -> &Path {
        self.out.get_ref().path()
    }

    /// Syncs the file and renames it to its final name, replacing a file of that name.
    pub(crate) fn finish(self) -> Result<()> {
        self.publish(|file, path| file.persist(path).map(drop))
    }

    /// Like [`WholeFile::finish`], but fails if there is a file of that name.
    pub(crate) fn finish_new(self) -> Result<()> {
        self.publish(|file, path| file.persist_noclobber(path).map(drop))
    }

    fn publish(
        self,
        rename: impl FnOnce(NamedTempFile, &Path) -> Result<(), PersistError>,
    ) -> Result<()> {
        let Self { out, path } = self;
        let failed = |error| cannot_write(&path, error);
        let file = out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        file.as_file().sync_all().map_err(failed)?;
        rename(file, &path).map_err(|error| failed(error.error))?;
        let directory = path
            .parent()
            .filter(|directory| !directory.as_os_str().is_empty());
        let directory = File::open(directory.unwrap_or(Path::new("."))).map_err(failed)?;
        directory.sync_all().map_err(failed)
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}
