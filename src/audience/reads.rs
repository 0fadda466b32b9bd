//! What an audience reads from the source, without running its queries.

use jiff::Timestamp;

use super::definition::Definition;
use super::parameters::{Declaration, Type};
use super::{located, sql, statement, test_rows};
use crate::error::Result;
use crate::source::{Reading, Snapshot};

/// Returns the tables and views that an audience reads. It fails as the audience would, except for a missing privilege.
pub async fn of(snapshot: &Snapshot, definition: &Definition, as_of: Timestamp) -> Result<Reading> {
    let locals: Vec<(&str, &str)> = definition
        .header
        .set
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let values: Vec<(String, String)> = definition
        .parameters
        .iter()
        .map(|parameter| (format!("pushctl.{}", parameter.name), value_of(parameter)))
        .chain([
            ("pushctl.as_of".to_owned(), as_of.to_string()),
            ("pushctl.already_sent".to_owned(), "{}".to_owned()),
        ])
        .collect();
    let parameters: Vec<(&str, String)> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let mut reading = Reading::default();
    let checks = definition.header.checks.iter();
    let checks = checks.map(|check| statement::check(definition, check));
    for statement in [statement::audience(definition)].into_iter().chain(checks) {
        reading
            .add(snapshot, &locals, &parameters, &statement.text)
            .await
            .map_err(|error| located(definition, &statement, error))?;
    }
    Ok(reading)
}

/// Returns what the rows of test users are read from.
pub async fn of_test_users(snapshot: &Snapshot) -> Result<Reading> {
    let mut reading = Reading::default();
    let parameters = [("pushctl.test_users", "{}".to_owned())];
    let statement = sql::statement(test_rows::SQL);
    reading
        .add(snapshot, &[], &parameters, statement.trim())
        .await?;
    Ok(reading)
}

/// Returns the default of a parameter, or any value of its type.
fn value_of(parameter: &Declaration) -> String {
    parameter
        .default_text()
        .unwrap_or_else(|| match parameter.kind {
            Type::Integer => parameter.min.unwrap_or(1).to_string(),
            Type::Text => String::new(),
            Type::Uuid => uuid::Uuid::nil().to_string(),
            Type::Timestamp => Timestamp::UNIX_EPOCH.to_string(),
            Type::Boolean => "false".to_owned(),
        })
}
