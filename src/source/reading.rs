//! What a statement reads, and whether the role may: found without running it.

use super::snapshot::{Relation, Snapshot};
use crate::error::{Error, Result};
use crate::postgres::failure::SqlError;

/// `insufficient_privilege`
const NO_PRIVILEGE: &str = "42501";

/// The tables and views that statements read, each once, in the order of their names.
#[derive(Debug, Default)]
pub struct Reading {
    pub relations: Vec<Relation>,
    /// The server's refusal, if a privilege is missing.
    pub refusal: Option<Error>,
}

impl Reading {
    /// Adds what a statement reads. It fails as the statement would, except for a missing privilege.
    pub async fn add(
        &mut self,
        snapshot: &Snapshot,
        locals: &[(&str, &str)],
        parameters: &[(&str, String)],
        statement: &str,
    ) -> Result<()> {
        let look = async {
            for (name, value) in locals {
                snapshot.set_local(name, value).await?;
            }
            snapshot.set_parameters(parameters).await?;
            let relations = snapshot.relations(statement).await?;
            Ok((
                relations,
                snapshot.attempt(snapshot.explain(statement)).await,
            ))
        };
        let (relations, planned) = snapshot.attempt(look).await?;
        self.relations.extend(relations);
        self.relations
            .sort_by(|one, other| one.name.cmp(&other.name));
        self.relations.dedup();
        match planned {
            Err(error) if is_refusal(&error) => {
                self.refusal.get_or_insert(error);
                Ok(())
            }
            other => other,
        }
    }

    /// Returns the tables that the role may not read.
    pub fn unreadable(&self) -> Vec<&str> {
        let unreadable = self.relations.iter().filter(|one| !one.is_readable);
        unreadable.map(|one| one.name.as_str()).collect()
    }
}

fn is_refusal(error: &Error) -> bool {
    let sql = error.find::<SqlError>();
    sql.is_some_and(|sql| sql.sqlstate == NO_PRIVILEGE)
}
