//! Parses connection strings: `postgres://` URLs and `keyword=value` lists, into keywords.
//!
//! The text comes from a secret, so no error here quotes any of it: an error names the part that is malformed.
//! What a keyword means, and whether it is known at all, is decided in [`super::address`].

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::suggest::nearest;

/// A keyword of libpq with its value, decoded.
pub(crate) type Pair = (String, String);

/// Keywords of libpq, of which pushctl uses some, and its own. In the keyword form any other is a typo.
const KEYWORDS: &[&str] = &[
    "application_name",
    "authtype",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "connection_limit",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "options",
    "passfile",
    "password",
    "password_command",
    "pgbouncer",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "requiressl",
    "role",
    "schema",
    "scram_client_key",
    "scram_server_key",
    "service",
    "servicefile",
    "ssl",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// Names that other programs have for a keyword.
const OTHER_NAMES: &[(&str, &str)] = &[
    ("server", "host"),
    ("hostname", "host"),
    ("data source", "host"),
    ("database", "dbname"),
    ("db", "dbname"),
    ("initial catalog", "dbname"),
    ("username", "user"),
    ("user id", "user"),
    ("uid", "user"),
    ("pwd", "password"),
    ("pass", "password"),
    ("passwd", "password"),
];

const LIST_FORM: &str = "put a value with a blank or quote in single quotes, with \\ before ' and \\: password='it\\'s'; or write a URL";
const FORM: &str = "write it as postgres://USER:PASSWORD@HOST:5432/DATABASE";

/// Parses a connection string. Later pairs of the same keyword win.
/// A list of several hosts is one `host` and one `port` pair, joined by commas.
pub(crate) fn parse(text: &str) -> Result<Vec<Pair>> {
    let text = text.trim_end_matches(['\r', '\n']);
    if let Some(refused) = wrapped(text) {
        return Err(refused);
    }
    if let Some(rest) = text
        .strip_prefix("postgres://")
        .or_else(|| text.strip_prefix("postgresql://"))
    {
        return parse_url(rest);
    }
    if let Some(refused) = foreign(text) {
        return Err(refused);
    }
    if text.contains('=') {
        return parse_keywords(text);
    }
    Err(Error::usage("the database URL is neither a URL nor a list of keyword=value").hint(FORM))
}

/// Returns the error of a value that was pasted with what belongs around it.
fn wrapped(text: &str) -> Option<Error> {
    let refuse =
        |what: &str, hint: &str| Some(Error::usage(format!("the database URL {what}")).hint(hint));
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return refuse(
            "has blanks around it",
            "remove them: a container's env file keeps every character",
        );
    }
    let quotes = ['"', '\'', '`', '“', '”', '‘', '’'];
    // A list of keywords may end in a quoted value.
    let is_list = text.contains('=') && text.ends_with('\'') && text.matches('\'').count() > 1;
    if text.starts_with(quotes) || text.ends_with(quotes) && !is_list {
        return refuse(
            "has quotes around it",
            "remove them: a shell removes quotes, a container's env file keeps them",
        );
    }
    let (before, _) = text.split_once('=')?;
    let exported = ["export ", "set ", "setx ", "env ", "ENV ", "$env:", "- "]
        .iter()
        .find_map(|word| before.strip_prefix(word));
    let name = exported.unwrap_or(before).trim();
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let is_keyword = KEYWORDS.contains(&name.to_ascii_lowercase().as_str());
    if exported.is_some() || !name.is_empty() && name.bytes().all(is_name) && !is_keyword {
        return refuse(
            "begins with the name of a variable",
            "give only the address: what follows NAME=",
        );
    }
    None
}

/// Returns the word before `:` where it is a scheme that people have.
fn scheme_of(text: &str) -> Option<&'static str> {
    const SCHEMES: &[&str] = &[
        "postgres",
        "postgresql",
        "jdbc",
        "psql",
        "pgsql",
        "pg",
        "sqlite",
        "sqlite3",
        "file",
        "mysql",
        "mariadb",
        "mongodb",
        "redis",
        "rediss",
        "http",
        "https",
        "sqlserver",
        "mssql",
        "oracle",
        "cockroachdb",
        "prisma",
        "prisma+postgres",
        "postgis",
        "ecto",
        "odbc",
        "unix",
        "tcp",
        "mongodb+srv",
    ];
    let scheme = text.split_once(':')?.0.to_ascii_lowercase();
    SCHEMES.iter().copied().find(|known| *known == scheme)
}

/// Returns the error of an address in the form of another program. No part of it is quoted: it may be a password.
fn foreign(text: &str) -> Option<Error> {
    let refuse =
        |what: &str, hint: &str| Some(Error::usage(format!("the database URL {what}")).hint(hint));
    let lower = text.to_ascii_lowercase();
    let scheme = lower.split_once("://").map(|(scheme, _)| scheme);
    let driver = ["postgres+", "postgresql+"]
        .iter()
        .any(|start| lower.starts_with(start));
    match (scheme_of(text), scheme) {
        (Some("jdbc"), _) => refuse(
            "is in the form of JDBC",
            "leave out jdbc:, and write user and password as postgresql://USER:PASSWORD@HOST:5432/DATABASE",
        ),
        (Some("postgres" | "postgresql"), Some("postgres" | "postgresql")) => {
            refuse("does not begin with postgres:// in lower case", FORM)
        }
        (Some("postgres" | "postgresql"), _) => refuse("has no // behind postgres:", FORM),
        (_, Some(_)) if driver => refuse(
            "names a driver before ://",
            "write postgresql:// without + and the driver",
        ),
        (Some("sqlite" | "sqlite3" | "file"), _) => refuse(
            "is the address of a file, and does not begin with postgres:// or postgresql://",
            "where a file will do, give its path alone, without a scheme: /var/lib/pushctl/state.db",
        ),
        (Some("http" | "https"), _) => refuse(
            "is the address of a web service, and does not begin with postgres:// or postgresql://",
            "the notification history over HTTP is set with CADENCE_SERVICE_URL",
        ),
        (_, Some(scheme)) if !scheme.contains('=') => refuse(
            if lower.contains("postgres://") || lower.contains("postgresql://") {
                "has text in front of postgres://"
            } else {
                "does not begin with postgres:// or postgresql://"
            },
            FORM,
        ),
        (Some(_), _) => refuse("does not begin with postgres:// or postgresql://", FORM),
        _ if lower.starts_with("postgres//") || lower.starts_with("postgresql//") => {
            refuse("has no : behind postgres", FORM)
        }
        _ if is_list_with_semicolons(&lower) => refuse(
            "is in the form of another program, with semicolons",
            "write host=HOST port=5432 dbname=DATABASE user=USER password=PASSWORD, with blanks between them",
        ),
        _ if !text.contains('=') && text.contains('@') => {
            refuse("does not begin with postgres:// or postgresql://", FORM)
        }
        _ => None,
    }
}

/// `Host=db;Password=p`: the first value ends at a semicolon that another keyword follows.
fn is_list_with_semicolons(text: &str) -> bool {
    let Some((_, value)) = text.split_once('=') else {
        return false;
    };
    let Some((first, rest)) = value.split_once(';') else {
        return false;
    };
    let next = rest.split_once('=').map_or(rest, |(key, _)| key).trim();
    !first.contains(char::is_whitespace)
        && next
            .chars()
            .all(|letter| letter.is_ascii_alphabetic() || " _".contains(letter))
}

fn parse_url(rest: &str) -> Result<Vec<Pair>> {
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    let torn = |pair: &str| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        key.contains('@') || value.contains('@') && !KEYWORDS.contains(&key)
    };
    if path.contains('@') || query.split('&').any(torn) {
        return Err(malformed(
            "an @ stands behind the host: the password contains / or ? or #, or an @ is missing",
        ));
    }

    let mut pairs = Vec::new();
    // The last `@` divides: a password with an unencoded `@` is common, a host with one does not exist.
    let hosts = match authority.rsplit_once('@') {
        Some((login, hosts)) => {
            parse_login(login, &mut pairs)?;
            hosts
        }
        None => authority,
    };
    parse_hosts(hosts, &mut pairs)?;
    let dbname = path.strip_prefix('/').unwrap_or_default();
    if !dbname.is_empty() {
        pairs.push(("dbname".to_owned(), decode(dbname, "the database name")?));
    }
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let key = decode(key, "the name of a parameter")?;
        let part = match printable(&key) {
            name if name == key => format!("the parameter {name}"),
            strange => strange.to_owned(),
        };
        let value = decode(value, &part)?;
        pairs.push((key, value));
    }
    Ok(pairs)
}

fn parse_login(login: &str, pairs: &mut Vec<Pair>) -> Result<()> {
    let (user, password) = login
        .split_once(':')
        .map_or((login, None), |(user, password)| (user, Some(password)));
    if !user.is_empty() {
        pairs.push(("user".to_owned(), decode(user, "the user")?));
    }
    if let Some(password) = password.filter(|password| !password.is_empty()) {
        pairs.push(("password".to_owned(), decode(password, "the password")?));
    }
    Ok(())
}

fn parse_hosts(hosts: &str, pairs: &mut Vec<Pair>) -> Result<()> {
    if hosts.is_empty() {
        return Ok(());
    }
    let mut names = Vec::new();
    let mut ports = Vec::new();
    for host in hosts.split(',') {
        let (name, port) = if let Some(bracketed) = host.strip_prefix('[') {
            let (name, after) = bracketed
                .split_once(']')
                .ok_or_else(|| malformed("an IPv6 host has no closing bracket"))?;
            let port = match after {
                "" => "",
                _ => after
                    .strip_prefix(':')
                    .ok_or_else(|| malformed("something follows an IPv6 host's bracket"))?,
            };
            (name, port)
        } else {
            host.split_once(':').unwrap_or((host, ""))
        };
        if !port.is_empty() && port.parse::<u16>().is_err() {
            return Err(malformed("the port is not a number from 1 to 65535"));
        }
        names.push(decode(name, "the host")?);
        ports.push(port.to_owned());
    }
    if names.iter().any(|name| !name.is_empty()) {
        pairs.push(("host".to_owned(), names.join(",")));
    }
    if ports.iter().any(|port| !port.is_empty()) {
        pairs.push(("port".to_owned(), ports.join(",")));
    }
    Ok(())
}

/// libpq's second form: `host=localhost password='it''s'`, with backslashes as escapes.
fn parse_keywords(text: &str) -> Result<Vec<Pair>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (key, after) = rest
            .split_once('=')
            .ok_or_else(|| malformed_list("a keyword is not followed by ="))?;
        let key = key.trim();
        if !KEYWORDS.contains(&key) {
            return Err(unknown_keyword(key, pairs.len() + 1));
        }
        let (value, after) = take_value(after.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

/// Returns the error of an unknown keyword. Its text may be a piece of a password with a blank, so it is not quoted.
fn unknown_keyword(key: &str, place: usize) -> Error {
    let lower = key.to_ascii_lowercase();
    let meant = OTHER_NAMES.iter().find(|(name, _)| *name == lower);
    let meant = meant.map_or_else(
        || nearest(key, KEYWORDS.iter().copied()),
        |(_, keyword)| Some(keyword),
    );
    if meant.is_none() && key.contains(char::is_whitespace) {
        return malformed_list("a keyword is not followed by =");
    }
    let error = Error::usage(format!(
        "the database URL is malformed: keyword {place} is not one of libpq's"
    ));
    match meant {
        Some(meant) => error.hint(format!("did you mean {meant}?")),
        None => error.hint(LIST_FORM),
    }
}

fn take_value(text: &str) -> Result<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some((_, escaped)) => value.push(escaped),
                None => return Err(malformed_list("a value ends in a backslash")),
            },
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            _ if !quoted && character.is_whitespace() => return Ok((value, &text[at..])),
            _ => value.push(character),
        }
    }
    if quoted {
        return Err(malformed_list("a quoted value has no closing quote"));
    }
    Ok((value, ""))
}

/// Percent-decoding. `+` stays as it is, as in libpq.
fn decode(text: &str, part: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let decoded = after
            .get(..2)
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
            .filter(|byte| *byte != 0);
        bytes.push(decoded.ok_or_else(|| {
            malformed(&format!(
                "{part} has a % that is not followed by two hex digits"
            ))
        })?);
        rest = &after[2..];
    }
    String::from_utf8(bytes)
        .map_err(|_| malformed(&format!("{part} is not UTF-8 once it is decoded")))
}

/// Percent-encodes the characters that a part of a URL may not contain.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// Returns a parameter's name for an error, but only if it looks like a name: it may be a fragment of a password.
pub(super) fn printable(key: &str) -> &str {
    let plain = key.len() <= 40
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain {
        key
    } else {
        "a parameter with a strange name"
    }
}

fn malformed_list(what: &str) -> Error {
    Error::usage(format!("the database URL is malformed: {what}")).hint(LIST_FORM)
}

fn malformed(what: &str) -> Error {
    Error::usage(format!("the database URL is malformed: {what}"))
        .hint("in a URL, write % : / ? # [ ] @ , of a user name or password percent-encoded (% as %25, / as %2F, @ as %40)")
}

#[cfg(test)]
mod tests;
