//! Export and import: a store as JSON lines, for a move or a backup.
//!
//! The first line is `{"pushctl_state":VERSION,"exported_at":TIME}`, then one line a row,
//! `{"table":NAME,"row":{COLUMN:VALUE,…}}` with bytes in hexadecimal, then `{"rows":COUNT}`. An export without the last
//! line is incomplete and rejected. Leases are left out: they belong to living processes.
//!
//! An import deletes the one row of `deliveries` first and writes it last, so a store without that row contains an
//! incomplete import. Only another import opens such a store.

use std::fmt::Write as _;
use std::io::{BufRead, Write};

use serde_json::{Map, Value as Json, json};

use super::migrations::{NEEDED, tables};
use super::store::{Backend, Store};
use super::value::{Cells, Value, params};
use crate::error::{Context, Error, ErrorKind, Result};

/// Columns of bytes; everything else is a number or text.
const BYTES: [&str; 4] = ["user_key", "token_hash", "payload", "content"];
/// Rows inserted by one statement.
const GROUP: usize = 200;
/// Tables with generated row numbers.
const NUMBERED: [&str; 5] = ["cancels", "pushes", "senders", "claims", "notices"];

impl Store {
    /// Writes all rows, as they are at one instant, and returns their number. A store with pending migrations is
    /// written as it is, for the pushctl that made it; one with an incomplete import is rejected.
    pub async fn export(&self, out: &mut (dyn Write + Send)) -> Result<u64> {
        let version = self.known_version().await?;
        if version == NEEDED {
            self.whole().await?;
        }
        let cannot = || "cannot write the export";
        let head = json!({"pushctl_state": version, "exported_at": self.now()});
        writeln!(out, "{head}").kind(ErrorKind::Failed, cannot)?;
        let (sender, mut rows) = tokio::sync::mpsc::channel(1024);
        let names = exported(version).collect();
        let reading = async {
            match &*self.backend {
                Backend::Sqlite(sqlite) => sqlite.dump(names, sender).await,
                Backend::Postgres(postgres) => postgres.dump(names, sender).await,
            }
        };
        let lines = &mut *out;
        // The receiver is moved in here: if writing fails it is dropped, which stops the reader.
        let writing = async move {
            let mut count = 0_u64;
            while let Some((table, cells)) = rows.recv().await {
                let line = json!({"table": table, "row": to_json(cells)});
                writeln!(lines, "{line}").kind(ErrorKind::Failed, cannot)?;
                count += 1;
            }
            Ok(count)
        };
        let (read, written) = tokio::join!(reading, writing);
        let count = written?;
        read?;
        writeln!(out, "{}", json!({"rows": count})).kind(ErrorKind::Failed, cannot)?;
        out.flush().kind(ErrorKind::Failed, cannot)?;
        Ok(count)
    }

    /// Fills an empty store from an export and returns the number of rows. If the import fails, or `stop` asks it to
    /// end, the store is emptied again; after a crash, the next import does that. For a store of
    /// [`Store::open_as_it_is`].
    pub async fn import(
        &self,
        input: &mut (dyn BufRead + Send),
        stop: impl Future<Output = Error>,
    ) -> Result<u64> {
        self.fit().await?;
        if self.is_half_imported().await? {
            self.clear().await?;
        }
        if !self.is_empty(NEEDED).await? {
            return Err(Error::new(
                ErrorKind::Refused,
                "the state store is not empty; an import needs an empty one",
            )
            .hint("import into a new store: name another file with --state"));
        }
        let imported = tokio::select! {
            biased;
            why = stop => Err(why),
            imported = self.insert_all(input) => imported,
        };
        if imported.is_err() {
            self.clear().await?;
        }
        imported
    }

    /// Returns whether an import began here and did not complete.
    pub(super) async fn is_half_imported(&self) -> Result<bool> {
        let sql = "SELECT count(*) FROM pushctl.deliveries";
        let rows = self.query(sql, params![]).await?;
        Ok(rows.first().map_or(Ok(0), |row| row.int(0))? == 0)
    }

    async fn insert_all(&self, input: &mut (dyn BufRead + Send)) -> Result<u64> {
        let mut lines = input.lines().enumerate();
        check_head(lines.next())?;
        self.execute("DELETE FROM pushctl.deliveries", params![])
            .await?;
        let mut group: Vec<Cells> = Vec::new();
        let mut table = String::new();
        let mut count = 0_u64;
        for (index, line) in lines {
            let line = read(index, line)?;
            if let Some(rows) = line.get("rows") {
                self.insert_group(&table, &mut group).await?;
                self.continue_numbers().await?;
                let whole = rows.as_u64() == Some(count) && !self.is_half_imported().await?;
                return whole.then_some(count).ok_or_else(|| incomplete(count));
            }
            let (name, cells) = from_json(&line).ok_or_else(|| malformed(index))?;
            if name != table || group.len() == GROUP {
                self.insert_group(&table, &mut group).await?;
                name.clone_into(&mut table);
            }
            group.push(cells);
            count += 1;
        }
        Err(incomplete(count))
    }

    async fn insert_group(&self, table: &str, group: &mut Vec<Cells>) -> Result<()> {
        let Some(first) = group.first() else {
            return Ok(());
        };
        let names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
        let width = names.len();
        let mut sql = format!("INSERT INTO pushctl.{table} ({}) VALUES ", names.join(", "));
        for row in 0..group.len() {
            let places: Vec<String> = (1..=width)
                .map(|column| format!("${}", row * width + column))
                .collect();
            let comma = if row == 0 { "" } else { ", " };
            let _ = write!(sql, "{comma}({})", places.join(", "));
        }
        let values = group.drain(..).flatten().map(|(_, value)| value).collect();
        self.transact(vec![(sql.into(), values)]).await.map(drop)
    }

    /// Makes PostgreSQL continue its row numbers after the imported ones.
    async fn continue_numbers(&self) -> Result<()> {
        if matches!(&*self.backend, Backend::Postgres(_)) {
            for table in NUMBERED {
                let sql = format!(
                    "SELECT setval(pg_get_serial_sequence('pushctl.{table}', 'id'), coalesce(max(id), 0) + 1, false) FROM pushctl.{table}"
                );
                self.query(&sql, params![]).await?;
            }
        }
        Ok(())
    }

    async fn clear(&self) -> Result<()> {
        let mut statements: Vec<_> = exported(NEEDED)
            .map(|table| (format!("DELETE FROM pushctl.{table}").into(), params![]))
            .collect();
        statements.push((
            "INSERT INTO pushctl.deliveries VALUES (1, 0)".into(),
            params![],
        ));
        self.transact(statements).await.map(drop)
    }
}

fn exported(version: u32) -> impl Iterator<Item = &'static str> {
    tables(version).filter(|table| *table != "leases")
}

fn to_json(cells: Cells) -> Map<String, Json> {
    let value = |value| match value {
        Value::Null => Json::Null,
        Value::Int(number) => number.into(),
        Value::Text(text) => text.into(),
        Value::Blob(bytes) => bytes
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
            .into(),
    };
    cells
        .into_iter()
        .map(|(name, cell)| (name, value(cell)))
        .collect()
}

/// Returns the table and the cells of a line; `None` if it is not a row of a known table.
fn from_json(line: &Json) -> Option<(&'static str, Cells)> {
    let name = line.get("table")?.as_str()?;
    let table = exported(NEEDED).find(|table| *table == name)?;
    let cells = line.get("row")?.as_object()?.iter().map(|(column, value)| {
        let known = column
            .chars()
            .all(|letter| letter.is_ascii_lowercase() || letter == '_');
        let value = match value {
            Json::Null => Value::Null,
            Json::Number(number) => Value::Int(number.as_i64()?),
            Json::String(hex) if BYTES.contains(&column.as_str()) => Value::Blob(unhex(hex)?),
            Json::String(text) => Value::Text(text.clone()),
            _ => return None,
        };
        known.then(|| (column.clone(), value))
    });
    let cells: Cells = cells.collect::<Option<_>>()?;
    (!cells.is_empty()).then_some((table, cells))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(
        digits
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

fn check_head(first: Option<(usize, std::io::Result<String>)>) -> Result<()> {
    let (index, line) = first.ok_or_else(|| incomplete(0))?;
    let version = read(index, line)?
        .get("pushctl_state")
        .and_then(Json::as_u64);
    match version {
        Some(version) if version == u64::from(NEEDED) => Ok(()),
        Some(version) => Err(Error::usage(format!(
            "the export is from a store at migration {version}, and this pushctl needs {NEEDED}"
        ))
        .hint(
            "import it with the pushctl that wrote it, then run `pushctl state migrate` with this one",
        )),
        None => Err(Error::usage("the input is not an export of a state store")),
    }
}

fn read(index: usize, line: std::io::Result<String>) -> Result<Json> {
    let line = line.kind(ErrorKind::Failed, || "cannot read the export")?;
    serde_json::from_str(&line).map_err(|_| malformed(index))
}

fn malformed(index: usize) -> Error {
    Error::usage(format!(
        "line {} of the export is not a row of a state store",
        index + 1
    ))
}

fn incomplete(count: u64) -> Error {
    Error::usage(format!(
        "the export is incomplete: it ends after {}",
        crate::count::counted(count, "rows")
    ))
}
