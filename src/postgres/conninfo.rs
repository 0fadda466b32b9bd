//! Parses connection strings: `postgres://` URLs and `keyword=value` lists, into keywords.
//!
//! The text comes from a secret, so no error here quotes any of it: an error names the part that is malformed.
//! What a keyword means, and whether it is known at all, is decided in [`super::address`].

use std::fmt::Write as _;

use crate::error::{Error, Result};

/// A keyword of libpq with its value, decoded.
pub(crate) type Pair = (String, String);

/// Parses a connection string. Later pairs of the same keyword win.
/// A list of several hosts is one `host` and one `port` pair, joined by commas.
pub(crate) fn parse(text: &str) -> Result<Vec<Pair>> {
    let text = text.trim();
    if let Some((scheme, rest)) = text.split_once("://")
        && !scheme.contains(['=', ' '])
    {
        return parse_url(scheme, rest);
    }
    if text.contains('=') {
        return parse_keywords(text);
    }
    Err(
        Error::usage("the database URL is neither a URL nor a list of keyword=value")
            .hint("write it as postgres://USER:PASSWORD@HOST:5432/DATABASE"),
    )
}

fn parse_url(scheme: &str, rest: &str) -> Result<Vec<Pair>> {
    let (base, driver) = scheme.split_once('+').unwrap_or((scheme, ""));
    if !matches!(base, "postgres" | "postgresql") || driver.contains(':') {
        return Err(Error::usage(
            "the database URL does not begin with postgres:// or postgresql://",
        )
        .hint("pushctl reads audiences from PostgreSQL only"));
    }
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));

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
        let value = decode(value, &format!("the parameter {}", printable(&key)))?;
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
            .ok_or_else(|| malformed("a keyword is not followed by ="))?;
        let key = key.trim();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(malformed("a keyword is not followed by ="));
        }
        let (value, after) = take_value(after.trim_start())?;
        pairs.push((key.to_owned(), value));
        rest = after.trim_start();
    }
    Ok(pairs)
}

fn take_value(text: &str) -> Result<(String, &str)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut characters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some((_, escaped)) => value.push(escaped),
                None => return Err(malformed("a value ends in a backslash")),
            },
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            _ if !quoted && character.is_whitespace() => return Ok((value, &text[at..])),
            _ => value.push(character),
        }
    }
    if quoted {
        return Err(malformed("a quoted value has no closing quote"));
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
fn printable(key: &str) -> &str {
    let plain = key.len() <= 40
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { key } else { "with a strange name" }
}

fn malformed(what: &str) -> Error {
    Error::usage(format!("the database URL is malformed: {what}"))
        .hint("in a URL, write % : / ? # [ ] @ , of a user name or password percent-encoded (% as %25, / as %2F, @ as %40)")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> String {
        let pairs = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        pairs
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[test]
    fn urls_are_taken_apart_as_people_have_them() {
        let table = [
            ("postgres://", ""),
            ("postgresql://db.example.com", "host=db.example.com"),
            (
                "postgres://ann@db.example.com:6543/market",
                "user=ann host=db.example.com port=6543 dbname=market",
            ),
            (
                "postgres://ann:p%40ss%2Fw@h/m",
                "user=ann password=p@ss/w host=h dbname=m",
            ),
            (
                "postgres://ann:p@ss@h/m",
                "user=ann password=p@ss host=h dbname=m",
            ),
            (
                "postgres://ann:p#s%25s:x@h/m",
                "user=ann password=p#s%s:x host=h dbname=m",
            ),
            (
                "postgres://[2001:db8::7]:5433/m",
                "host=2001:db8::7 port=5433 dbname=m",
            ),
            ("postgres://[::1]/m", "host=::1 dbname=m"),
            (
                "postgres://a:1,b,[::1]:3/m",
                "host=a,b,::1 port=1,,3 dbname=m",
            ),
            (
                "postgres:///m?host=/run/pg&port=7",
                "dbname=m host=/run/pg port=7",
            ),
            ("postgres://%2Frun%2Fpg/m", "host=/run/pg dbname=m"),
            ("postgresql+psycopg2://h/m", "host=h dbname=m"),
            (
                "postgres://h/m?pgbouncer=true&connection_limit=1&schema=",
                "host=h dbname=m pgbouncer=true connection_limit=1 schema=",
            ),
            (
                "postgres://h?sslmode=verify-full&flag",
                "host=h sslmode=verify-full flag=",
            ),
            ("postgres://:secret@h", "password=secret host=h"),
            ("  postgres://h/caf%C3%A9 \n", "host=h dbname=café"),
            (
                "host=h user=ann password='it\\'s \\\\ me' dbname = m",
                "host=h user=ann password=it's \\ me dbname=m",
            ),
            ("host=h password=a\\ b", "host=h password=a b"),
            ("host='' dbname=m", "host= dbname=m"),
            ("password=postgres://x", "password=postgres://x"),
        ];
        for (text, expected) in table {
            assert_eq!(pairs(text), expected, "{text}");
        }
    }

    #[test]
    fn a_malformed_one_is_a_usage_error_that_names_the_part_and_quotes_nothing() {
        let table = [
            ("hunter2", "neither a URL nor"),
            ("mysql://ann:hunter2@h/m", "does not begin with postgres://"),
            ("postgres://ann:hunter2/x@h/m", "the port is not a number"),
            ("postgres://ann:hunter2%zz@h/m", "the password has a %"),
            ("postgres://ann:hunter2%00@h/m", "the password has a %"),
            ("postgres://ann:hunter2%ff@h/m", "the password is not UTF-8"),
            (
                "postgres://ann:hunter2@h:99999/m",
                "the port is not a number",
            ),
            ("postgres://ann:hunter2@[::1/m", "no closing bracket"),
            (
                "postgres://ann:hunter2@[::1]x/m",
                "follows an IPv6 host's bracket",
            ),
            ("postgres://ann:hunter2@h/m?x=%1", "the parameter x has a %"),
            ("host=h password='hunter2", "no closing quote"),
            ("host=h hunter2", "a keyword is not followed by ="),
            ("host=h password=hunter2\\", "ends in a backslash"),
        ];
        for (text, expected) in table {
            let error = parse(text).expect_err(text);
            assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
            assert!(error.to_string().contains(expected), "{text}: {error}");
            let shown = format!("{error:#} {error:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(user in "[^\0]{1,12}", password in "[^\0]{1,20}", dbname in "[^\0]{1,12}", port in 1_u16..) {
            let url = format!("postgres://{}:{}@db.example.com:{port}/{}", encode(&user), encode(&password), encode(&dbname));
            let expected = [
                ("user", user), ("password", password), ("host", "db.example.com".to_owned()),
                ("port", port.to_string()), ("dbname", dbname),
            ];
            prop_assert_eq!(parse(&url).unwrap(), expected.map(|(key, value)| (key.to_owned(), value)));
        }

        #[test]
        fn quoted_keywords_come_back(password in "[^\0]{1,20}") {
            let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
            let text = format!("host=h password='{quoted}' dbname=m");
            let pairs = parse(&text).unwrap();
            prop_assert_eq!(&pairs[1].1, &password);
        }

        #[test]
        fn no_text_makes_it_panic(text in "(postgres://)?[ -~é]{0,40}") {
            let _ = parse(&text);
        }
    }
}
