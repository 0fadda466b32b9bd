//! The statements made from a query file: the audience, its funnel, and the conditions of one user.
//!
//! All three wrap the same `SELECT` and the same conditions, so they agree. Each line of a statement keeps the
//! line of the file it was made from, so that PostgreSQL's error position becomes a file and a line.

use std::ops::Range;

use toml::Spanned;

use super::definition::Definition;
use super::parameters::{Type, Values};
use super::sql;

/// The setting with the user id of [`why`].
pub const WHY_USER: &str = "pushctl.why_user";

/// SQL text, and the file's line of each of its lines.
#[derive(Debug, Clone, Default)]
pub struct Statement {
    pub text: String,
    origins: Vec<Option<usize>>,
}

impl Statement {
    /// Returns the line of the query file from which the given character (counted from 1) was made.
    pub fn file_line(&self, position: usize) -> Option<usize> {
        let before = self.text.chars().take(position.saturating_sub(1));
        let line = before.filter(|c| *c == '\n').count();
        self.origins.get(line).copied().flatten()
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
        self.origins.push(None);
    }

    /// Appends lines that come from line `first` of the file and the following ones.
    fn lines_from(&mut self, text: &str, first: usize) {
        for (index, line) in text.lines().enumerate() {
            self.line(line);
            if let Some(origin) = self.origins.last_mut() {
                *origin = Some(first + index);
            }
        }
    }

    /// Appends lines that all come from line `origin`.
    fn line_from(&mut self, text: &str, origin: usize) {
        for line in text.lines() {
            self.lines_from(line, origin);
        }
    }
}

/// Returns the rows of every file: first the file's index, then the columns of [`columns`], in the files' order.
pub fn audience(definition: &Definition) -> Statement {
    let mut out = Statement::default();
    out.line("SELECT");
    file_index(&mut out, definition);
    for column in columns(definition) {
        out.line_from(
            &format!(", {}", output(definition, column.name)),
            definition.line(&column.span),
        );
    }
    from_body(&mut out, definition);
    out.line("WHERE TRUE");
    for stage in &definition.header.stages {
        condition(&mut out, definition, "AND", &stage.keep);
    }
    // A partition shows the users that no file takes.
    if !definition.header.partition {
        in_some_file(&mut out, definition);
    }
    let order = &definition.header.order;
    out.line("ORDER BY");
    out.line_from(
        &substituted(definition, order.get_ref()),
        definition.line(&order.span()),
    );
    out
}

/// Returns the query that counts users by stage: rows of `(stages passed, users, rows)`. A user that passes all stages
/// but is in no file counts one stage more than there are, a user in a file two more; the rows are those in files.
pub fn funnel(definition: &Definition) -> Statement {
    let mut out = Statement::default();
    out.line("SELECT depth, count(*), sum(row_count)::bigint FROM (");
    // A person with two rows may be in a file with one of them, and leave with the other.
    let in_file = definition.header.stages.len() + 1;
    out.line(&format!(
        "SELECT user_id, max(depth) AS depth, count(*) FILTER (WHERE depth = {in_file}) AS row_count FROM ("
    ));
    out.line("SELECT people.user_id, CASE");
    for (index, stage) in definition.header.stages.iter().enumerate() {
        condition(&mut out, definition, "WHEN (", &stage.keep);
        out.line(&format!(") IS NOT TRUE THEN {index}"));
    }
    let stages = definition.header.stages.len();
    out.line("WHEN (");
    file_index(&mut out, definition);
    out.line(&format!(
        ") IS NULL THEN {stages} ELSE {} END AS depth",
        stages + 1
    ));
    from_body(&mut out, definition);
    out.line(") AS person GROUP BY user_id");
    out.line(") AS depths GROUP BY depth ORDER BY depth");
    out
}

/// Returns the query for the user in [`WHY_USER`]: for each of the user's rows all columns as JSON, the file's index,
/// and for every stage whether it holds.
pub fn why(definition: &Definition) -> Statement {
    let mut out = Statement::default();
    out.line("SELECT to_jsonb(people)::text,");
    file_index(&mut out, definition);
    for stage in &definition.header.stages {
        condition(&mut out, definition, ", (", &stage.keep);
        out.line(") IS TRUE");
    }
    from_body(&mut out, definition);
    out.line(&format!(
        "WHERE people.user_id = current_setting('{WHY_USER}')::uuid"
    ));
    out.line("ORDER BY 2 NULLS LAST");
    out
}

/// Returns the statement of one of the audience's checks.
pub fn check(definition: &Definition, check: &super::header::Check) -> Statement {
    let mut out = Statement::default();
    out.line_from(
        &substituted(definition, check.sql.get_ref()),
        definition.line(&check.sql.span()),
    );
    out
}

/// Returns a script for `psql` that does what `generate` does on the server: the settings, then the rows of all
/// files with the file's index before them. Parameters without a value appear as `<name>`.
pub fn psql_script(definition: &Definition, values: &Values, as_of: Option<&str>) -> String {
    let mut lines = vec![
        "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;".to_owned(),
        "SET LOCAL TimeZone = 'UTC';".to_owned(),
    ];
    let settings = definition.header.set.iter();
    lines.extend(settings.map(|(name, value)| format!("SET LOCAL {name} = {};", literal(value))));
    let as_of = as_of.map_or_else(|| "now()::text".into(), literal);
    lines.push(format!(
        "SELECT set_config('pushctl.as_of', {as_of}, true) \\g /dev/null"
    ));
    if definition.header.history.is_some() {
        lines.push("SELECT set_config('pushctl.already_sent', '{}', true) \\g /dev/null".into());
    }
    for name in definition
        .parameters
        .iter()
        .map(|parameter| &parameter.name)
    {
        let value = values
            .get(name)
            .cloned()
            .unwrap_or_else(|| format!("<{name}>"));
        lines.push(format!(
            "SELECT set_config('pushctl.{name}', {}, true) \\g /dev/null",
            literal(&value)
        ));
    }
    lines.push(format!(
        "COPY (\n{}) TO STDOUT (FORMAT csv);",
        audience(definition).text
    ));
    lines.push("COMMIT;\n".into());
    lines.join("\n")
}

/// Returns a text as an SQL literal.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        return format!("E'{}'", quoted.replace('\\', "\\\\"));
    }
    format!("'{quoted}'")
}

/// A column of the union of all files.
pub struct StatementColumn<'a> {
    /// Its name, which is also its heading.
    pub name: &'a str,
    span: Range<usize>,
}

/// Returns the columns of all files, each once, in the order of their first appearance.
pub fn columns(definition: &Definition) -> Vec<StatementColumn<'_>> {
    let mut union: Vec<StatementColumn<'_>> = Vec::new();
    for file in &definition.header.files {
        for column in file.columns.get_ref() {
            if !union.iter().any(|seen| seen.name == column.get_ref()) {
                union.push(StatementColumn {
                    name: column.get_ref(),
                    span: column.span(),
                });
            }
        }
    }
    union
}

fn output(definition: &Definition, column: &str) -> String {
    let name = format!("people.\"{}\"", column.replace('"', "\"\""));
    if definition.header.times.iter().any(|time| time == column) {
        return format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US\"+00:00\"')");
    }
    name
}

fn file_index(out: &mut Statement, definition: &Definition) {
    out.line("CASE");
    for (index, file) in definition.header.files.iter().enumerate() {
        match &file.when {
            Some(when) => {
                condition(out, definition, "WHEN", when);
                out.line(&format!("THEN {index}"));
            }
            None => out.line(&format!("WHEN TRUE THEN {index}")),
        }
    }
    out.line("END");
}

/// Appends `AND ((when1) OR (when2))`, in a form that the planner can push into the body.
fn in_some_file(out: &mut Statement, definition: &Definition) {
    let conditions: Option<Vec<_>> = definition
        .header
        .files
        .iter()
        .map(|file| file.when.as_ref())
        .collect();
    let Some(conditions) = conditions else { return };
    out.line("AND (FALSE");
    for when in conditions {
        condition(out, definition, "OR", when);
    }
    out.line(")");
}

fn condition(out: &mut Statement, definition: &Definition, before: &str, sql: &Spanned<String>) {
    let text = substituted(definition, sql.get_ref());
    out.line_from(&format!("{before} ({text})"), definition.line(&sql.span()));
}

fn from_body(out: &mut Statement, definition: &Definition) {
    out.line("FROM (");
    out.lines_from(&substituted(definition, &definition.body), 1);
    out.line(") AS people");
}

/// Returns the SQL without comments, and with settings in place of parameters.
pub(super) fn substituted(definition: &Definition, text: &str) -> String {
    sql::substitute(&sql::statement(text), |name| {
        let kind = match name {
            "as_of" => Type::Timestamp.sql(),
            "already_sent" => "uuid[]",
            _ => definition
                .parameters
                .iter()
                .find(|parameter| parameter.name == name)
                .map_or("text", |parameter| parameter.kind.sql()),
        };
        format!("current_setting('pushctl.{name}')::{kind}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"--| title = "t"
--| order = "user_id"
--| times = ["seen"]
--| [parameters.days]
--| type = "integer"
--| default = 7
--| help = "h"
--| [[stages]]
--| name = "live"
--| keep = "deleted_at = :days -- why"
--| left = "gone"
--| [[files]]
--| stem = "a"
--| when = "kind = 1"
--| columns = ["user_id", "first"]
--| [[files]]
--| stem = "b"
--| when = "kind = 2"
--| columns = ["user_id", "seen"]
SELECT 1 AS user_id, -- a comment
  :days AS first;
"#;

    fn position(statement: &Statement, needle: &str) -> usize {
        1 + statement.text[..statement.text.find(needle).unwrap()]
            .chars()
            .count()
    }

    #[test]
    fn each_part_of_a_statement_remembers_its_line() {
        let definition = Definition::parse("mine", "mine.sql", FILE).unwrap();
        let statement = audience(&definition);
        let line = |needle| statement.file_line(position(&statement, needle));
        assert_eq!(line("AS user_id"), Some(20));
        assert_eq!(line("AS first"), Some(21));
        assert_eq!(line("deleted_at"), Some(10));
        assert_eq!(line("kind = 2"), Some(18));
        assert_eq!(line("people.\"first\""), Some(15));
        assert_eq!(line("to_char"), Some(19));
        assert_eq!(line("WHERE TRUE"), None);
    }

    #[test]
    fn parameters_become_settings_and_comments_vanish() {
        let definition = Definition::parse("mine", "mine.sql", FILE).unwrap();
        let text = audience(&definition).text;
        assert!(text.contains("current_setting('pushctl.days')::integer AS first"));
        assert!(!text.contains("--"));
    }

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\b"), "E'a\\\\b'");
    }
}
