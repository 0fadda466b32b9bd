//! Stores audience files of open runs, for machines without a disk: the file that was tested at one start is sent at
//! the next. In parts, so that no statement is large; deleted when the run ends.

use std::fs::File;
use std::io::{Read as _, Write as _};

use super::store::{Backend, Store};
use super::value::params;
use crate::error::{Context as _, ErrorKind, Result};

/// The size of a part in bytes.
const PART: usize = 256 * 1024;

impl Store {
    /// Returns whether other machines use the same store, so that files for them must be kept in it.
    pub fn is_shared(&self) -> bool {
        matches!(*self.backend, Backend::Postgres(_))
    }

    /// Stores a file's content under a run and a name.
    pub async fn keep_file(&self, run: &str, name: &str, file: &mut File) -> Result<()> {
        let forget = "DELETE FROM pushctl.files WHERE run = $1 AND name = $2";
        self.execute(forget, params![run, name]).await?;
        let mut part = vec![0; PART];
        for number in 0_u32.. {
            let mut filled = 0;
            while filled < PART {
                let count = file
                    .read(&mut part[filled..])
                    .kind(ErrorKind::Failed, || format!("cannot read {name}"))?;
                if count == 0 {
                    break;
                }
                filled += count;
            }
            if filled == 0 {
                break;
            }
            let sql = "INSERT INTO pushctl.files (run, name, part, content) VALUES ($1, $2, $3, $4)
                       ON CONFLICT DO NOTHING";
            self.execute(sql, params![run, name, number, &part[..filled]])
                .await?;
        }
        Ok(())
    }

    /// Writes a stored file's content to `into`. Returns false if there is none.
    pub async fn fetch_file(&self, run: &str, name: &str, into: &mut File) -> Result<bool> {
        let sql = "SELECT content FROM pushctl.files WHERE run = $1 AND name = $2 AND part = $3";
        for number in 0_u32.. {
            let rows = self.query(sql, params![run, name, number]).await?;
            let Some(row) = rows.first() else {
                return Ok(number > 0);
            };
            into.write_all(&row.blob(0)?)
                .kind(ErrorKind::Failed, || format!("cannot write {name}"))?;
        }
        Ok(false)
    }

    /// Deletes the files of a run.
    pub async fn forget_files(&self, run: &str) -> Result<()> {
        let sql = "DELETE FROM pushctl.files WHERE run = $1";
        self.execute(sql, params![run]).await.map(drop)
    }
}
