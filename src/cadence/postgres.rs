//! The history in another service's database: its tables `cadence_rules` and `user_notifications`.

use jiff::Timestamp;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error as Refusal};
use uuid::Uuid;

use super::rules::{Rule, Rules};
use crate::advice::Advice;
use crate::budget::Budget;
use crate::error::{Error, ErrorKind, Result};
use crate::postgres::Address;
use crate::postgres::session::{BEGIN, ReconnectingSession};
use crate::state::Owed;
use crate::state::ledger::{Counted, Limit, MOST_LIMITS};

/// Users in one query.
const BATCH: usize = 5_000;

const RULES: &str = "SELECT name::text, value_in_hours::int4, value_count::int4, is_active IS TRUE FROM cadence_rules WHERE name = ANY ($1)";

/// One index lookup per user for all limits.
const COUNTED: &str = "
    SELECT asked.place,
           count(*) FILTER (WHERE n.layer_id = ANY ($3) AND n.sent_at > $4),
           count(*) FILTER (WHERE n.layer_id = ANY ($5) AND n.sent_at > $6),
           count(*) FILTER (WHERE n.layer_id = ANY ($7) AND n.sent_at > $8)
    FROM unnest($1) WITH ORDINALITY AS asked (user_id, place)
    JOIN user_notifications n ON n.user_id = asked.user_id AND n.sent_at > $2
    GROUP BY asked.place";

const RECORD: &str = "
    INSERT INTO user_notifications (id, user_id, layer_id, sent_at, push_title, push_body, audience_description, deep_link)
    SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING";

/// The client of that database.
pub(super) struct PostgresHistory {
    link: ReconnectingSession,
    schema: Option<String>,
}

impl PostgresHistory {
    pub(super) fn new(address: Address, budget: Budget) -> Self {
        let schema = address.schema.clone().filter(|schema| schema != "public");
        Self {
            link: ReconnectingSession::new(address, "the notification history", explain, budget),
            schema,
        }
    }

    /// Returns its hosts and ports.
    pub(super) fn place(&self) -> String {
        self.link.place()
    }

    /// Returns the rules in force. An active rule without its numbers is an error.
    pub(super) async fn rules(&self) -> Result<Rules> {
        let names = Rule::ALL.map(Rule::name);
        let names = &names.as_slice();
        let rows = self
            .link
            .with(|client| async move {
                self.begin(&client).await?;
                let rows = client
                    .query_typed(RULES, &[(names, Type::TEXT_ARRAY)])
                    .await?;
                client.batch_execute("COMMIT").await?;
                Ok(rows)
            })
            .await?;
        let mut rules = Rules::missing();
        for row in rows {
            let cell = |error| self.link.explain(error);
            let name: String = row.try_get(0).map_err(cell)?;
            if let Some(rule) = Rule::ALL.into_iter().find(|rule| rule.name() == name) {
                let (hours, count) = (row.try_get(1).map_err(cell)?, row.try_get(2).map_err(cell)?);
                rules.set(
                    rule,
                    rule.read(row.try_get(3).map_err(cell)?, hours, count)?,
                );
            }
        }
        Ok(rules)
    }

    /// Returns the pushes that each limit counts, for each user.
    pub(super) async fn counted(&self, users: &[Uuid], limits: &[Limit]) -> Result<Vec<Counted>> {
        let mut counted = Vec::with_capacity(users.len());
        for batch in users.chunks(BATCH) {
            let found = self.link.with(|client| async move {
                self.begin(&client).await?;
                let found = count(&client, batch, limits).await?;
                client.batch_execute("COMMIT").await?;
                Ok(found)
            });
            counted.extend(found.await?);
        }
        Ok(counted)
    }

    /// Records pushes; does not change those that exist.
    pub(super) async fn record(&self, owed: &[(Uuid, &Owed)]) -> Result<()> {
        let ids: Vec<Uuid> = owed.iter().map(|(_, one)| one.id).collect();
        let users: Vec<Uuid> = owed.iter().map(|(user, _)| *user).collect();
        let layers: Vec<i32> = owed
            .iter()
            .map(|(_, one)| i32::try_from(one.layer).unwrap_or(0))
            .collect();
        let times: Vec<Timestamp> = owed.iter().map(|(_, one)| one.sent_at).collect();
        let titles: Vec<&str> = owed
            .iter()
            .map(|(_, one)| one.words.title.as_str())
            .collect();
        let bodies: Vec<&str> = owed
            .iter()
            .map(|(_, one)| one.words.body.as_str())
            .collect();
        let audiences: Vec<Option<&str>> = owed
            .iter()
            .map(|(_, one)| one.audience.as_deref())
            .collect();
        let links: Vec<Option<&str>> = owed
            .iter()
            .map(|(_, one)| one.words.deep_link.as_deref())
            .collect();
        let values = &[
            (&ids as &(dyn ToSql + Sync), Type::UUID_ARRAY),
            (&users, Type::UUID_ARRAY),
            (&layers, Type::INT4_ARRAY),
            (&times, Type::TIMESTAMPTZ_ARRAY),
            (&titles, Type::TEXT_ARRAY),
            (&bodies, Type::TEXT_ARRAY),
            (&audiences, Type::TEXT_ARRAY),
            (&links, Type::TEXT_ARRAY),
        ];
        self.link
            .with(|client| async move {
                self.begin(&client).await?;
                client.execute_typed(RECORD, values).await?;
                client.batch_execute("COMMIT").await
            })
            .await
    }

    async fn begin(&self, client: &Client) -> Result<(), Refusal> {
        client.batch_execute(BEGIN).await?;
        if let Some(schema) = &self.schema {
            let sql = "SELECT set_config('search_path', quote_ident($1) || ', public', true)";
            client.query_typed(sql, &[(schema, Type::TEXT)]).await?;
        }
        Ok(())
    }
}

/// Returns the counts of a batch; a user without pushes in any window has no row.
async fn count(client: &Client, users: &[Uuid], limits: &[Limit]) -> Result<Vec<Counted>, Refusal> {
    let layers: Vec<Vec<i32>> = (0..MOST_LIMITS)
        .map(|place| {
            limits
                .get(place)
                .map_or_else(Vec::new, |limit| layers(limit.layers))
        })
        .collect();
    let since = |place: usize| {
        limits
            .get(place)
            .map_or(Timestamp::UNIX_EPOCH, |limit| limit.since)
    };
    let since: Vec<Timestamp> = (0..MOST_LIMITS).map(since).collect();
    let least = limits
        .iter()
        .map(|limit| limit.since)
        .min()
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let mut values = vec![
        (&users as &(dyn ToSql + Sync), Type::UUID_ARRAY),
        (&least, Type::TIMESTAMPTZ),
    ];
    for (layers, since) in layers.iter().zip(&since) {
        values.push((layers, Type::INT4_ARRAY));
        values.push((since, Type::TIMESTAMPTZ));
    }
    let mut counted = vec![Counted::default(); users.len()];
    for row in client.query_typed(COUNTED, &values).await? {
        let place: i64 = row.try_get(0)?;
        let found = usize::try_from(place - 1)
            .ok()
            .and_then(|place| counted.get_mut(place));
        if let Some(Counted(counts)) = found {
            for (index, count) in counts.iter_mut().enumerate() {
                let pushes: i64 = row.try_get(index + 1)?;
                *count = u16::try_from(pushes).unwrap_or(u16::MAX);
            }
        }
    }
    Ok(counted)
}

fn layers(bits: u32) -> Vec<i32> {
    (0..=5).filter(|layer| bits & (1 << layer) != 0).collect()
}

fn explain(cause: Refusal) -> Error {
    let state = cause.code().map_or("", |state| state.code()).to_owned();
    let failure = |kind, message: &str| Error::from_cause(kind, cause).context(message);
    match state.as_bytes() {
        [] | [b'0', b'8', ..] | [b'5', b'7', b'P', ..] | b"53300" => failure(
            ErrorKind::Unreachable,
            "the notification history does not answer",
        ),
        b"42501" => failure(
            ErrorKind::Credentials,
            "the role lacks a privilege in the notification history",
        )
        .hint(Advice::HistoryPrivilege),
        b"42P01" | b"42703" => failure(
            ErrorKind::Usage,
            "the notification history lacks a table or column",
        )
        .hint(Advice::WrongHistory),
        b"23503" => failure(
            ErrorKind::Usage,
            "the notification history does not know the push's layer",
        )
        .hint(Advice::UnknownLayer),
        _ => failure(ErrorKind::Failed, "the notification history failed"),
    }
}
