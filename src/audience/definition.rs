//! An audience is one file: a header in comment lines that start with `--|`, and one `SELECT`.
//!
//! ```sql
//! --| title = "Owners of trending shoes"
//! --| about = "One paragraph for the help."
//! --| base = "every user"                 # who the rows of the SELECT are, in words
//! --| order = "place, user_id"            # ORDER BY of every file
//! --| times = ["lastActive"]           # columns that are instants: written in UTC, to the microsecond
//! --| name_separator = "_"                # optional: between stem, test marker and time
//! --| test_marker = "TEST"                # optional
//! --| partition = false                   # optional: true proves that the files share out the base; `order`
//! --|                                     # then keeps a user's rows together
//! --| [set]                               # optional: SET LOCAL for this audience
//! --| work_mem = "128MB"
//! --| [history]                           # optional: gives the SELECT :already_sent, a uuid[]
//! --| layer = 5
//! --| at_least = "max_appearances"        # names of parameters
//! --| within_days = "appearance_days"
//! --| [[checks]]                          # optional: must be true before anything is read
//! --| sql = "SELECT EXISTS (SELECT 1 FROM products WHERE id = :product_id)"
//! --| error = "no product has the id {product_id}"
//! --| hint = "take the id from the product's page"
//! --| [parameters.lookback_days]
//! --| type = "integer"                    # integer, text, uuid, timestamp, boolean
//! --| default = 7                         # or: required = true
//! --| min = 1
//! --| max = 365
//! --| help = "Days of offers that make a product trend"
//! --| [[stages]]                          # in order: a user that fails one is counted out there
//! --| name = "live"
//! --| keep = "deleted_at = 0"             # SQL over the SELECT's columns and :parameters
//! --| left = "deleted account"            # why users fail it, in words
//! --| show = ["deleted_at"]               # the values that `why` prints
//! --| [[files]]                           # the first whose `when` holds takes the row
//! --| stem = "trending-closet-items"      # may contain {product_id}, or {product_id:8} for its beginning
//! --| when = "place > 1"                  # optional where there is one file
//! --| help = "owners of the runners-up"
//! --| columns = ["user_id", "username", "firstName"]
//! SELECT u.id AS user_id, … FROM users u …
//! ```
//!
//! `:name` is a parameter; `:as_of`, a `timestamptz`, is always defined. The `SELECT` has one row for each
//! user considered, members or not, with a column `user_id`; pushctl adds the conditions. So the
//! audience, its funnel and `why` use the same conditions. Deliberately absent: includes and conditionals.

use std::ops::Range;

use toml::Spanned;

use super::header::{Header, OutputFile};
use super::parameters::Declaration;
use super::{effects, sql};
use crate::error::{Error, Result};

/// A checked query file.
#[derive(Debug, Clone)]
pub struct Definition {
    /// The audience's name: the file's, without `.sql`.
    pub name: String,
    /// Its origin, as errors name it.
    pub origin: String,
    /// The whole text; the manifest contains its SHA-256.
    pub text: String,
    /// The `SELECT` with blank lines in place of the header, so that its line numbers are the file's.
    pub body: String,
    /// The parsed header.
    pub header: Header,
    /// Parameters in the order they are declared.
    pub parameters: Vec<Declaration>,
    lines: LineMap,
}

impl Definition {
    /// Parses a query file's text. Errors name `origin` and the line.
    pub fn parse(name: &str, origin: &str, text: &str) -> Result<Self> {
        let (header_text, body, lines) = split(text);
        if header_text.trim().is_empty() {
            return Err(Error::usage(format!("{origin}:1: the query file has no header"))
                .hint("a header is TOML in lines that start with `--|`; `pushctl audiences layer2 --sql` shows one"));
        }
        let header: Header = toml::from_str(&header_text).map_err(|error| {
            let line = lines.line_of(error.span().map_or(0, |span| span.start));
            Error::usage(format!("{origin}:{line}: {}", error.message()))
        })?;
        let mut declared: Vec<(String, Spanned<Declaration>)> =
            header.parameters.clone().into_iter().collect();
        declared.sort_by_key(|(_, declaration)| declaration.span().start);
        let mut definition = Self {
            name: name.into(),
            origin: origin.into(),
            text: text.into(),
            body,
            header,
            parameters: Vec::new(),
            lines,
        };
        for (name, declaration) in declared {
            let span = declaration.span();
            let parameter = declaration
                .into_inner()
                .named(name)
                .map_err(|message| definition.error_at(&span, message))?;
            definition.parameters.push(parameter);
        }
        definition.check()?;
        Ok(definition)
    }

    /// Returns every parameter name that this file's SQL may use.
    pub fn parameter_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.parameters.iter().map(|p| p.name.as_str()).collect();
        names.push("as_of");
        if self.header.history.is_some() {
            names.push("already_sent");
        }
        names
    }

    /// Returns the line of the file on which a part of the header stands.
    pub fn line(&self, span: &Range<usize>) -> usize {
        self.lines.line_of(span.start)
    }

    /// Returns an error at a part of the header.
    pub fn error_at(&self, span: &Range<usize>, message: impl std::fmt::Display) -> Error {
        Error::usage(format!("{}:{}: {message}", self.origin, self.line(span)))
    }

    fn check(&self) -> Result<()> {
        self.check_settings()?;
        self.check_sql()?;
        self.check_files()?;
        if let Some(history) = &self.header.history {
            for name in [&history.at_least, &history.within_days] {
                if !self.parameters.iter().any(|p| p.name == *name.get_ref()) {
                    return Err(self.unknown_parameter(name.get_ref(), self.line(&name.span())));
                }
            }
        }
        Ok(())
    }

    fn check_sql(&self) -> Result<()> {
        if sql::significant(&self.body).is_empty() {
            return Err(Error::usage(format!(
                "{}: the query file has a header but no SELECT",
                self.origin
            )));
        }
        for (name, offset) in sql::calls(&self.body) {
            self.harmless(&name, 1 + self.body[..offset].matches('\n').count())?;
        }
        for (name, offset) in sql::parameters(&self.body) {
            self.known(&name, 1 + self.body[..offset].matches('\n').count())?;
        }
        let header = &self.header;
        let conditions = header.stages.iter().map(|stage| &stage.keep);
        let conditions =
            conditions.chain(header.files.iter().filter_map(|file| file.when.as_ref()));
        for part in conditions
            .chain(header.checks.iter().map(|check| &check.sql))
            .chain([&header.order])
        {
            for (name, _) in sql::calls(part.get_ref()) {
                self.harmless(&name, self.line(&part.span()))?;
            }
            for (name, _) in sql::parameters(part.get_ref()) {
                self.known(&name, self.line(&part.span()))?;
            }
        }
        Ok(())
    }

    fn check_files(&self) -> Result<()> {
        let files = &self.header.files;
        if files.is_empty() {
            return Err(Error::usage(format!(
                "{}: declares no [[files]]",
                self.origin
            )));
        }
        for (index, file) in files.iter().enumerate() {
            if file.when.is_none() && files.len() > 1 && index + 1 < files.len() {
                return Err(self.error_at(
                    &file.stem.span(),
                    "only the last of several files may leave out `when`",
                ));
            }
            if file.columns.get_ref().is_empty() {
                return Err(self.error_at(&file.columns.span(), "a file needs at least one column"));
            }
            if files[..index]
                .iter()
                .any(|other| other.stem.get_ref() == file.stem.get_ref())
            {
                return Err(self.error_at(
                    &file.stem.span(),
                    format!("two files have the stem {:?}", file.stem.get_ref()),
                ));
            }
            if self.header.partition && !file.column_names().any(|name| name == "user_id") {
                return Err(self.error_at(
                    &file.columns.span(),
                    "with `partition = true` every file needs the column user_id",
                ));
            }
            self.check_stem(file)?;
        }
        Ok(())
    }

    fn check_stem(&self, file: &OutputFile) -> Result<()> {
        let stem = file.stem.get_ref();
        for name in super::parameters::placeholders(stem) {
            self.known(&name, self.line(&file.stem.span()))?;
        }
        let is_elsewhere = stem.starts_with('.') || stem.contains(['/', '\\']);
        if stem.is_empty() || is_elsewhere || stem.chars().any(char::is_control) {
            return Err(self.error_at(
                &file.stem.span(),
                format!("{stem:?} cannot begin a file name"),
            ));
        }
        Ok(())
    }

    /// Refuses a function that has an effect which a read-only transaction does not prevent.
    fn harmless(&self, function: &str, line: usize) -> Result<()> {
        if !effects::has_effect(function) {
            return Ok(());
        }
        Err(Error::usage(format!(
            "{}:{line}: {function}() has an effect outside the query, also in a read-only transaction",
            self.origin
        ))
        .hint("an audience only reads: leave it out; docs/query-files.md lists such functions"))
    }

    fn check_settings(&self) -> Result<()> {
        for name in self.header.set.keys() {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_.".contains(&byte);
            if !name.bytes().all(is_name) || effects::is_protected_setting(name) {
                return Err(Error::usage(format!(
                    "{}: the [set] of this file cannot change {name:?}",
                    self.origin
                ))
                .hint("[set] is for settings of the planner, such as work_mem"));
            }
        }
        Ok(())
    }

    fn known(&self, name: &str, line: usize) -> Result<()> {
        if self.parameter_names().contains(&name) {
            return Ok(());
        }
        Err(self.unknown_parameter(name, line))
    }

    fn unknown_parameter(&self, name: &str, line: usize) -> Error {
        let error = Error::usage(format!(
            "{}:{line}: the parameter :{name} is not declared",
            self.origin
        ));
        match crate::suggest::nearest(name, self.parameter_names()) {
            Some(near) => error.hint(format!("did you mean :{near}?")),
            None => error.hint(format!("declare it in the header: --| [parameters.{name}]")),
        }
    }
}

/// The line of the file for each line of the header's TOML.
#[derive(Debug, Clone, Default)]
struct LineMap(Vec<(usize, usize)>);

impl LineMap {
    fn line_of(&self, offset: usize) -> usize {
        let after = self.0.partition_point(|(start, _)| *start <= offset);
        self.0
            .get(after.saturating_sub(1))
            .map_or(1, |(_, line)| *line)
    }
}

fn split(text: &str) -> (String, String, LineMap) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (mut header, mut body, mut lines) = (String::new(), String::new(), LineMap::default());
    for (index, line) in text.lines().enumerate() {
        if let Some(toml) = line.trim_start().strip_prefix("--|") {
            lines.0.push((header.len(), index + 1));
            header.push_str(toml);
            header.push('\n');
        } else {
            body.push_str(line);
        }
        body.push('\n');
    }
    (header, body, lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"-- Plan: none.
--| title = "All"
--| order = "user_id"
--| [parameters.zeta]
--| type = "integer"
--| default = 1
--| help = "first declared"
--| [parameters.alpha]
--| type = "text"
--| default = "x"
--| help = "second declared"
--| [[files]]
--| stem = "all"
--| columns = ["user_id"]
SELECT id AS user_id FROM users WHERE :zeta = 1 AND :alpha = 'x'
"#;

    fn error(text: &str) -> String {
        Definition::parse("mine", "mine.sql", text)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn parameters_keep_the_order_of_their_declaration() {
        let definition = Definition::parse("mine", "mine.sql", GOOD).unwrap();
        let names: Vec<&str> = definition
            .parameters
            .iter()
            .map(|p| p.name.as_str())
            .collect();
        assert_eq!(names, ["zeta", "alpha"]);
        assert_eq!(
            definition.body.lines().nth(14).unwrap().split(' ').next(),
            Some("SELECT")
        );
    }

    #[test]
    fn errors_name_the_line_of_the_file() {
        assert!(
            error(&GOOD.replace("type = \"text\"", "type = \"txt\"")).starts_with("mine.sql:9: ")
        );
        assert!(
            error(&GOOD.replace(":alpha", ":alhpa"))
                .starts_with("mine.sql:15: the parameter :alhpa")
        );
        assert!(error(&GOOD.replace("[\"user_id\"]", "[]")).starts_with("mine.sql:14: "));
        assert!(
            error(&GOOD.replace("order", "ordre")).starts_with("mine.sql:3: unknown field `ordre`")
        );
        assert!(error("SELECT 1").starts_with("mine.sql:1: the query file has no header"));
    }
}
