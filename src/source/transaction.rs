//! A session's beginning and end: one read-only transaction, bounded by the server's clocks too, cancelled if it must
//! not go on.
//!
//! Everything is set with `SET LOCAL`, inside the transaction: a transaction pooler refuses start-up options, and
//! a setting of the session would stay behind for the pooler's next client.

use std::fmt::Write as _;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;
use tokio_postgres::CancelToken;

use crate::postgres::address::Address;
use crate::postgres::cancel_route::Route;
use crate::postgres::stream::{Open, Ready};

/// How long a cancel request, or saying goodbye, may take at most.
pub(super) const GOODBYE: Duration = Duration::from_secs(1);

/// What to do about statements that another client of a pooler has prepared on the same server connection: their names
/// would collide with ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    Ignore,
    Clear,
}

/// Returns the statements that open a snapshot. `left` is the remaining budget, set as the server's own time limits
/// for the case that this process is gone and cannot cancel.
pub(super) fn opening(
    address: &Address,
    version: &str,
    left: Duration,
    leftovers: Leftovers,
) -> String {
    let mut statements = String::from("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY");
    let mut set = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = write!(
            statements,
            "; SET LOCAL {} = {}",
            identifier(name),
            literal(value)
        );
    };
    // What a value looks like must not depend on the role's settings.
    for (name, value) in [
        ("TimeZone", "UTC"),
        ("DateStyle", "ISO, YMD"),
        ("IntervalStyle", "postgres"),
        ("extra_float_digits", "1"),
        ("bytea_output", "hex"),
        // A backslash in a query is a backslash.
        ("standard_conforming_strings", "on"),
    ] {
        set(name, value);
    }
    let milliseconds = left.as_millis().clamp(1, i32::MAX as u128).to_string();
    for name in [
        "statement_timeout",
        "lock_timeout",
        "idle_in_transaction_session_timeout",
    ] {
        set(name, &milliseconds);
    }
    if let Some(schema) = address
        .schema
        .as_deref()
        .filter(|schema| *schema != "public")
    {
        let _ = write!(
            statements,
            "; SET LOCAL search_path = {}, public",
            quoted(schema)
        );
    }
    if address.pgbouncer {
        for (name, value) in options(address.options.as_deref().unwrap_or_default()) {
            let _ = write!(
                statements,
                "; SET LOCAL {} = {}",
                identifier(&name),
                literal(&value)
            );
        }
    }
    if let Some(role) = &address.role {
        let _ = write!(statements, "; SET LOCAL ROLE {}", quoted(role));
    }
    if leftovers == Leftovers::Clear {
        statements.push_str("; DEALLOCATE ALL");
    }
    if major(version) >= 14 {
        // A server notices that its client has been killed only when it next sends something; this makes it look.
        statements.push_str(
            "; SELECT CASE WHEN pg_catalog.version() LIKE '%-linux-%' \
             THEN pg_catalog.set_config('client_connection_check_interval', '2000', true) END",
        );
    }
    statements
}

/// Asks the server, over the same way and encryption, to end what the session is doing. Bounded; errors are only
/// logged.
pub(super) async fn cancel(token: &CancelToken, route: &Route, limit: Duration) {
    let request = async {
        let mut stream = route
            .retrace()
            .await
            .map_err(|failure| failure.trouble.to_string())?;
        token
            .cancel_query_raw(Open(&mut stream), Ready)
            .await
            .map_err(|cause| cause.to_string())?;
        // The server closes when it has acted; to leave earlier could lose the request in a pooler: see `Open`.
        let _ = stream.read(&mut [0; 1]).await;
        Ok::<_, String>(())
    };
    let outcome = match timeout(limit, request).await {
        Ok(Ok(())) => "sent".to_owned(),
        Ok(Err(cause)) => format!("not sent: {cause}"),
        Err(_) => "not answered".to_owned(),
    };
    tracing::debug!(target: "pushctl::source", host = %route.host, "cancel request {outcome}");
}

/// `application_name` as the server shows it: at most 63 bytes, cut from its left part, so that the run can be found.
pub(super) fn application_name(program: &str, command: &str, run: &str) -> String {
    const LONGEST: usize = 63;
    let right: String = format!(" {run}")
        .chars()
        .filter(|character| character.is_ascii_graphic() || *character == ' ')
        .collect();
    let left: String = format!("{program} {command}")
        .chars()
        .map(|character| {
            if character.is_ascii_graphic() {
                character
            } else {
                ' '
            }
        })
        .collect();
    let room = LONGEST.saturating_sub(right.len());
    let name = format!("{}{right}", &left[..left.len().min(room)]);
    name[..name.len().min(LONGEST)].trim().to_owned()
}

/// `-c name=value`, `-cname=value` and `--name=value`, with backslashes as escapes, as the server itself splits them.
fn options(text: &str) -> Vec<(String, String)> {
    let mut words = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (character, words.last_mut()) {
            ('\\', Some(word)) => word.extend(characters.next()),
            (space, _) if space.is_whitespace() => words.push(String::new()),
            (other, Some(word)) => word.push(other),
            (_, None) => {}
        }
    }
    words
        .iter()
        .filter_map(|word| {
            let word = word
                .strip_prefix("--")
                .or_else(|| word.strip_prefix("-c"))
                .unwrap_or(word);
            word.split_once('=')
                .map(|(name, value)| (name.replace('-', "_"), value.to_owned()))
        })
        .collect()
}

fn major(version: &str) -> u32 {
    version
        .split(|character: char| !character.is_ascii_digit())
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// Returns the name of a setting, possibly dotted.
fn identifier(name: &str) -> String {
    name.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(value: &str) -> String {
    let quoted = value.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_run_id_survives_a_long_command() {
        let name = application_name(
            "pushctl/0.1.0",
            &"generate ".repeat(20),
            "01890a5d-ac96-774b-bcce-b302099a8057",
        );
        assert_eq!(name.len(), 63);
        assert!(name.starts_with("pushctl/0.1.0 generate"), "{name}");
        assert!(
            name.ends_with(" 01890a5d-ac96-774b-bcce-b302099a8057"),
            "{name}"
        );
        assert_eq!(
            application_name("pushctl/0.1.0", "generate", "7"),
            "pushctl/0.1.0 generate 7"
        );
    }

    #[test]
    fn start_up_options_become_settings_of_the_transaction() {
        let settings = options(r"-c work_mem=64MB -cenable_seqscan=off --search-path=a\ b");
        let expected = [
            ("work_mem", "64MB"),
            ("enable_seqscan", "off"),
            ("search_path", "a b"),
        ];
        assert_eq!(settings.len(), 3, "{settings:?}");
        for ((name, value), expected) in settings.iter().zip(expected) {
            assert_eq!((name.as_str(), value.as_str()), expected);
        }
    }

    #[test]
    fn nothing_breaks_out_of_a_quoted_value() {
        assert_eq!(literal(r"a'b\"), r"E'a''b\\'");
        assert_eq!(identifier("my.\"x"), "\"my\".\"\"\"x\"");
    }
}
