//! Whose token is which: asked of the source in large batches over one short-lived connection, which is closed before
//! sending begins, and kept in a temporary file without a name, row by row in the order of the audience.
//!
//! On disk a row is the number of its tokens (one byte), and each token as its length (two bytes, little endian) and its
//! text. There is no index on a device's user in the source, so a batch is a scan of the table: few and large they are.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};

use csv::StringRecord;
use uuid::Uuid;

use super::{AudienceReader, Devices, Order, SendPlan};
use crate::budget::Budget;
use crate::csv_writer::fields;
use crate::error::{Context as _, Error, Kind, Result};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::source::{Snapshot, Source, Watch};
use crate::state::ledger::UserKey;

const SQL: &str = include_str!("tokens.sql");
/// People asked about at once.
pub(super) const BATCH: usize = 32_768;
/// Devices of one person at most.
const MOST_DEVICES: usize = 100;

/// The tokens of an audience, in the order of its rows.
pub enum Addresses {
    /// In the file's own column.
    Column,
    /// Fetched.
    Spooled(BufReader<File>),
}

/// How many of the rows have a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TokenCounts {
    /// They do.
    pub with: u64,
    /// They do not.
    pub without: u64,
}

impl Addresses {
    /// Fetches the tokens of an audience that does not bring them.
    pub async fn look_up(
        order: &Order,
        plan: &SendPlan,
        source: &Source,
        (budget, interrupt): (&Budget, &Interrupt),
        (watch, progress): (&dyn Watch, &dyn Progress),
    ) -> Result<(Self, TokenCounts)> {
        let cannot = || "cannot keep tokens in a temporary file";
        let mut spool = tempfile::tempfile().kind(Kind::Failed, cannot)?;
        progress.stage(&format!("connecting to the source {}", source.place()));
        let found = source
            .read(budget, interrupt, watch, async |snapshot| {
                progress.stage("looking up tokens");
                progress.total(Some(plan.rows));
                // After a failure it begins anew.
                spool
                    .set_len(0)
                    .and_then(|()| spool.rewind())
                    .kind(Kind::Failed, cannot)?;
                let mut look_up = LookUp {
                    order,
                    out: BufWriter::new(&mut spool),
                    found: TokenCounts::default(),
                };
                look_up.everybody(snapshot, progress).await?;
                look_up.out.flush().kind(Kind::Failed, cannot)?;
                Ok(look_up.found)
            })
            .await?;
        spool.seek(SeekFrom::Start(0)).kind(Kind::Failed, cannot)?;
        Ok((
            Self::Spooled(BufReader::with_capacity(1 << 16, spool)),
            found,
        ))
    }

    /// Begins anew with the first row.
    pub(super) fn rewind(&mut self) -> Result<()> {
        match self {
            Self::Column => Ok(()),
            Self::Spooled(spool) => spool
                .rewind()
                .kind(Kind::Failed, || "cannot read the tokens back"),
        }
    }

    /// The tokens of the next row, which is `row`, in place of what `into` held.
    pub(super) fn next(
        &mut self,
        reader: &AudienceReader,
        row: &StringRecord,
        into: &mut Vec<String>,
    ) -> Result<()> {
        into.clear();
        match self {
            Self::Column => into.extend(reader.token(row).map(str::to_owned)),
            Self::Spooled(spool) => {
                read_tokens(spool, into).kind(Kind::Failed, || "cannot read the tokens back")?;
            }
        }
        Ok(())
    }
}

fn read_tokens(spool: &mut BufReader<File>, into: &mut Vec<String>) -> std::io::Result<()> {
    let mut count = [0];
    spool.read_exact(&mut count)?;
    for _ in 0..count[0] {
        let mut length = [0; 2];
        spool.read_exact(&mut length)?;
        let mut token = vec![0; usize::from(u16::from_le_bytes(length))];
        spool.read_exact(&mut token)?;
        into.push(String::from_utf8_lossy(&token).into_owned());
    }
    Ok(())
}

struct LookUp<'a> {
    order: &'a Order,
    out: BufWriter<&'a mut File>,
    found: TokenCounts,
}

impl LookUp<'_> {
    async fn everybody(&mut self, snapshot: &Snapshot, progress: &dyn Progress) -> Result<()> {
        let mut reader = AudienceReader::open(&self.order.input)?;
        let mut row = StringRecord::new();
        let mut left = self.order.limit.unwrap_or(u64::MAX);
        loop {
            let mut batch = Vec::with_capacity(BATCH);
            while batch.len() < BATCH && left > 0 && reader.next(&mut row)? {
                left -= 1;
                batch.push(UserKey::of(reader.user(&row)).uuid());
            }
            if batch.is_empty() {
                return Ok(());
            }
            let tokens = ask(snapshot, &batch, self.order.devices).await?;
            for user in &batch {
                let tokens = user.and_then(|user| tokens.get(&user));
                self.write(tokens.map_or(&[], Vec::as_slice))?;
            }
            progress.advance(batch.len() as u64);
        }
    }

    fn write(&mut self, tokens: &[String]) -> Result<()> {
        *if tokens.is_empty() {
            &mut self.found.without
        } else {
            &mut self.found.with
        } += 1;
        let cannot = || "cannot keep tokens in a temporary file";
        let mut bytes = vec![u8::try_from(tokens.len()).unwrap_or(u8::MAX)];
        for token in tokens {
            let length = u16::try_from(token.len())
                .map_err(|_| Error::new(Kind::Failed, "the source holds a token of 64 KiB"))?;
            bytes.extend_from_slice(&length.to_le_bytes());
            bytes.extend_from_slice(token.as_bytes());
        }
        self.out.write_all(&bytes).kind(Kind::Failed, cannot)
    }
}

pub(super) async fn ask(
    snapshot: &Snapshot,
    batch: &[Option<Uuid>],
    devices: Devices,
) -> Result<HashMap<Uuid, Vec<String>>> {
    let users: Vec<String> = batch.iter().flatten().map(Uuid::to_string).collect();
    let users = format!("{{{}}}", users.join(","));
    snapshot.set_parameters(&[("pushctl.users", users)]).await?;
    let most = match devices {
        Devices::Latest => 1,
        Devices::All => MOST_DEVICES,
    };
    let mut tokens: HashMap<Uuid, Vec<String>> = HashMap::new();
    snapshot
        .copy_out(SQL, &mut |line| {
            if let Some((user, token)) = split(line) {
                let theirs = tokens.entry(user).or_default();
                if theirs.len() < most && !theirs.contains(&token) {
                    theirs.push(token);
                }
            }
            Ok(())
        })
        .await?;
    Ok(tokens)
}

/// The two fields of a line.
fn split(line: &[u8]) -> Option<(Uuid, String)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut ranges = Vec::new();
    fields(line, &mut ranges);
    let user = Uuid::try_parse_ascii(line.get(ranges.first()?.clone())?).ok()?;
    let token = String::from_utf8(line.get(ranges.get(1)?.clone())?.to_vec()).ok()?;
    let token = match token
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => token,
    };
    Some((user, token))
}
