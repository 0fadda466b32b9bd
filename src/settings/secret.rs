//! Secrets: values that are never shown.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::{
    BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD,
};
use serde::Deserialize;

use crate::count::counted;
use crate::error::{Error, ErrorKind, Result};

/// A password, token or key. `Debug` and `Display` show a mask; only [`Secret::reveal`] returns the value.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

/// The word in place of a credentials file that stands for the metadata server; `./metadata` is a file.
pub const METADATA: &str = "metadata";

/// The text shown in place of a secret.
pub const MASK: &str = "****";

impl Secret {
    /// Wraps a value so that it can no longer be printed by accident.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the value itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(MASK)
    }
}

/// Returns whether a text is meant as an address, and not as the name of a file.
pub fn is_address(text: &str) -> bool {
    let is_path = ["/", "./", "../", "~/"]
        .iter()
        .any(|start| text.starts_with(start));
    let has_scheme = text.split_once(':').is_some_and(|(scheme, _)| {
        let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        scheme.len() > 1 && scheme.bytes().all(inside)
    });
    let quotes = ['"', '\'', '`', '“', '”', '‘', '’'];
    text.contains("://")
        || text.contains(['\n', '\r'])
        || text.trim() != text
        || text.starts_with(quotes)
        || text.ends_with(quotes)
        || !is_path && (has_scheme || text.contains(['=', '@']) || text.starts_with("postgres"))
}

/// Returns whether a text that should be the path of a file may be shown: it is the path of one, or of nothing in a
/// directory that is there.
fn is_path(directory: &Path, text: &str) -> bool {
    if text.len() > 4096 || text.contains(['\n', '\0']) || text.contains("://") {
        return false;
    }
    let path = directory.join(text);
    let is_beside_something = path.parent().is_some_and(|parent| {
        text.contains('/') && parent.parent().is_some() && parent != directory && parent.is_dir()
    });
    let has_extension = ["json", "pem", "key", "crt", "txt", "conf", "toml"]
        .iter()
        .any(|known| path.extension().is_some_and(|found| found == *known));
    let is_relative = ["./", "../", "~/"]
        .iter()
        .any(|start| text.starts_with(start));
    path.exists()
        || is_beside_something
        || (has_extension || is_relative) && consists_of(text, "._-/~ ")
}

/// Returns a path as it may be shown; in place of a text that may be a secret, its kind and length.
pub fn show_path(directory: &Path, text: &str) -> String {
    if is_path(directory, text) {
        text.to_owned()
    } else {
        kind_of(text)
    }
}

/// Returns whether a text plainly contains a secret, wherever it was put.
pub fn holds_secret(text: &str) -> bool {
    let has_login = |(_, rest): (&str, &str)| rest.contains('@');
    let lower = text.to_ascii_lowercase();
    text.split_once("://").is_some_and(has_login)
        || ["-----begin", "private_key", "password="]
            .iter()
            .any(|sign| lower.contains(sign))
        || json_in(text).is_some()
        || is_base64(text.trim()) && !text.starts_with(['/', '.', '~'])
}

/// Returns an error for a text in place of a path that plainly is something else.
pub fn refuse_as_path(text: &str) -> Result<(), String> {
    if text.contains("://") || text.contains(['\n', '\r', '\0']) || holds_secret(text) {
        return Err(format!("expected a path, not {}", kind_of(text)));
    }
    Ok(())
}

/// Returns whether a text is long and has only the letters of base64.
fn is_base64(text: &str) -> bool {
    let encoded = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=-_\r\n ".contains(&byte);
    text.len() >= 100 && text.bytes().all(encoded)
}

/// Returns the path of a file that need not be there; the kind of what plainly is a secret in its place.
pub fn show_file(path: &Path) -> String {
    let text = path.to_string_lossy();
    if holds_secret(&text) {
        kind_of(&text)
    } else {
        text.into_owned()
    }
}

/// Describes a text that may be a secret by its kind and length.
pub fn kind_of(text: &str) -> String {
    let trimmed = text.trim();
    let kind = if trimmed.contains("-----BEGIN") {
        "a PEM key or certificate"
    } else if trimmed.starts_with('{') {
        "JSON"
    } else if trimmed.contains("://") {
        "a URL"
    } else if is_base64(trimmed) {
        "base64"
    } else {
        "a text"
    };
    let length = u64::try_from(text.chars().count()).unwrap_or(u64::MAX);
    format!("{kind} of {}", counted(length, "characters"))
}

/// The mark with which some editors begin a file.
pub const BYTE_ORDER_MARK: char = '\u{feff}';

/// Returns the text of a file, without a byte order mark.
///
/// # Errors
/// It is not UTF-8. The error names UTF-16, which editors of Windows write, and quotes nothing.
pub fn text_of(bytes: Vec<u8>) -> Result<String> {
    let has_wide_letters = bytes.starts_with(&[0xff, 0xfe])
        || bytes.starts_with(&[0xfe, 0xff])
        || bytes.iter().take(64).any(|byte| *byte == 0);
    let text = String::from_utf8(bytes).ok().filter(|_| !has_wide_letters);
    let text = text.ok_or_else(|| {
        let kind = if has_wide_letters {
            "it is UTF-16 or binary, not text in UTF-8"
        } else {
            "it is not text in UTF-8"
        };
        Error::usage(kind).hint("save it as UTF-8")
    })?;
    Ok(match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Returns the JSON object that a text is, plain or in base64.
pub fn json_in(text: &str) -> Option<String> {
    let text = text.trim_start_matches(BYTE_ORDER_MARK).trim();
    if text.starts_with('{') {
        return Some(text.to_owned());
    }
    let letters: String = text.split_whitespace().collect();
    let unpadded = letters.trim_end_matches('=');
    let decoded = [STANDARD_NO_PAD, URL_SAFE_NO_PAD]
        .iter()
        .find_map(|alphabet| alphabet.decode(unpadded).ok())?;
    let decoded = String::from_utf8(decoded).ok()?;
    decoded.trim_start().starts_with('{').then_some(decoded)
}

/// Reads a secret from the file that a `…_FILE` variable names, without the line break at its end.
pub fn read_file(directory: &Path, variable: &str, path: &str) -> Result<String> {
    let named = || {
        if is_path(directory, path) {
            return format!("{path}, which {variable} names");
        }
        format!("the file that {variable} names ({})", kind_of(path))
    };
    let bytes = std::fs::read(directory.join(path)).map_err(|cause| {
        let plain = variable.trim_end_matches("_FILE");
        Error::from_cause(ErrorKind::Usage, cause)
            .context(format!("cannot read {}", named()))
            .hint(format!(
                "{variable} is the path of a file; the value itself belongs into {plain}"
            ))
    })?;
    let text = text_of(bytes).map_err(|error| error.context(format!("cannot read {}", named())))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.trim().is_empty() {
        return Err(Error::usage(format!("{}, is empty", named())));
    }
    Ok(secret.to_owned())
}

/// Returns a URL with its password masked, and any query parameter that may hold one. A text that is not well-formed as
/// a URL is masked completely: any part of it may be the secret.
pub fn mask_url(url: &str) -> String {
    masked(url).unwrap_or_else(|| MASK.to_owned())
}

fn masked(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let is_web = matches!(scheme, "http" | "https");
    if !is_web && !matches!(scheme, "postgres" | "postgresql") {
        return None;
    }
    let (rest, query) = rest
        .split_once('?')
        .map_or((rest, None), |(rest, query)| (rest, Some(query)));
    if query.is_some_and(|query| query.contains('@')) {
        // A password with an unencoded question mark.
        return None;
    }
    // The last `@` ends the user's part: a password may contain an unencoded `@` or a slash.
    let (login, rest) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(login, rest)| (Some(login), rest));
    let mut shown = format!("{scheme}://");
    if let Some(login) = login {
        let (name, password) = login
            .split_once(':')
            .map_or((login, None), |(name, password)| (name, Some(password)));
        // A token may stand in place of the user of a web service.
        let name = if is_web { MASK } else { name };
        if !is_web && !consists_of(name, "._%-") {
            return None;
        }
        shown.push_str(name);
        if password.is_some() && !is_web {
            shown.push(':');
            shown.push_str(MASK);
        }
        shown.push('@');
    }
    let (hosts, path) = rest
        .find('/')
        .map_or((rest, ""), |slash| rest.split_at(slash));
    if !hosts.split(',').all(is_host)
        || !consists_of(path, if is_web { "/._~%:+-" } else { "/._%-" })
    {
        return None;
    }
    shown.push_str(rest);
    if let Some(query) = query {
        let pairs: Option<Vec<String>> = query.split('&').map(mask_parameter).collect();
        shown.push('?');
        shown.push_str(&pairs?.join("&"));
    }
    Some(shown)
}

/// Returns whether a text consists of letters, digits and some signs.
fn consists_of(text: &str, signs: &str) -> bool {
    text.chars()
        .all(|letter| letter.is_alphanumeric() || signs.contains(letter))
}

/// Returns whether a text is a host, perhaps with a port.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) if consists_of(name, ":.%") => {
            ("", port.strip_prefix(':').unwrap_or(port))
        }
        Some(_) => return false,
        None => text.split_once(':').unwrap_or((text, "")),
    };
    consists_of(name, "._%-") && (port.is_empty() || port.parse::<u16>().is_ok())
}

fn mask_parameter(pair: &str) -> Option<String> {
    let Some((name, value)) = pair.split_once('=') else {
        return pair.is_empty().then(String::new);
    };
    let is_name = name
        .bytes()
        .all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    if !is_name {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let holds_secret = [
        "pass", "pwd", "token", "secret", "key", "auth", "sig", "code",
    ]
    .iter()
    .any(|word| lower.contains(word))
        && !lower.ends_with("sslkey");
    let is_plain = consists_of(value, "._/%:,~+-");
    Some(if holds_secret || !is_plain {
        format!("{name}={MASK}")
    } else {
        pair.to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_url_keeps_everything_but_what_is_secret() {
        for (url, shown) in [
            (
                "postgres://reader:hunter2@db.example.com:5432/shop?sslmode=require",
                "postgres://reader:****@db.example.com:5432/shop?sslmode=require",
            ),
            (
                "postgres://reader@db.example.com/shop",
                "postgres://reader@db.example.com/shop",
            ),
            (
                "postgres://reader:hunt@er/2@db.example.com/shop",
                "postgres://reader:****@db.example.com/shop",
            ),
            (
                "postgres:///shop?user=reader&password=hunter2&sslpassword=hunter2",
                "postgres:///shop?user=reader&password=****&sslpassword=****",
            ),
            (
                "https://hunter2@example.com/v1/a:send?key=hunter2&x=1",
                "https://****@example.com/v1/a:send?key=****&x=1",
            ),
            ("postgres://a:1,b,[::1]:3/m", "postgres://a:1,b,[::1]:3/m"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
        for url in [
            "postgres://reader:hun?ter2@db.example.com/shop",
            "postgres://reader:a?hunter2=x@db.example.com/shop?sslmode=require",
            "host=db.example.com password=hunter2",
            "Host=db;Password=hunter2",
            "postgres:/reader:hunter2@db.example.com/shop",
            "postgres://reader:hunter2",
            "postgres://reader:hunter2/shop",
            "postgres://reader hunter2@db.example.com/shop",
            "postgres://reader@hunter2@db.example.com/shop",
            "postgres://reader;hunter2@db.example.com/shop",
            "postgres://db.example.com/shop?hunter2",
            "postgres://db.example.com/shop hunter2",
            "password=hunter2 postgres://db.example.com/shop",
            "jdbc:postgresql://db.example.com/shop?hunter2",
            "hunter2://db.example.com",
            "hunter2",
        ] {
            assert_eq!(mask_url(url), MASK, "{url}");
        }
    }

    #[test]
    fn an_address_is_never_the_name_of_a_file() {
        for text in [
            "postgres://h/m",
            "sqlite:///x",
            "postgres:/u:p@h/m",
            "postgres//u:p@h/m",
            "DATABASE_URL=postgres://h/m",
            "export A=b",
            "host=h dbname=m",
            "Host=h;Password=p",
            "jdbc:postgresql:m",
            "u:p@h/m",
            "u@h",
            "\"state.db\"",
            " state.db",
            "/a/state.db\n",
        ] {
            assert!(is_address(text), "{text}");
        }
        for text in [
            "state.db",
            "/var/lib/a=b.db",
            "./x=y@z",
            "../a",
            "a b.db",
            "C",
        ] {
            assert!(!is_address(text), "{text}");
        }
    }

    #[test]
    fn json_is_found_plain_and_in_base64() {
        for text in [
            "{\"a\": 1}",
            " {\"a\": 1}\n",
            "eyJhIjogMX0=",
            "eyJhIjogMX0",
            "eyJh\nIjog\nMX0=\n",
        ] {
            assert_eq!(json_in(text).as_deref().map(str::trim), Some("{\"a\": 1}"));
        }
        for text in ["", "account.json", "/run/secrets/account", "aHVudGVyMg=="] {
            assert_eq!(json_in(text), None);
        }
    }

    #[test]
    fn a_secret_in_place_of_a_path_is_described() {
        let here = tempfile::tempdir().expect("a directory");
        std::fs::write(here.path().join("there"), "x").expect("written");
        let base64 = "aHVudGVy".repeat(20);
        for (text, shown) in [
            ("there", "there"),
            ("hunter2", "a text of 7 characters"),
            ("/hunter2", "a text of 8 characters"),
            ("hunt/er2", "a text of 8 characters"),
            ("postgres://a:b@c/d", "a URL of 18 characters"),
            ("{\"private_key\": \"x\"}", "JSON of 20 characters"),
            (
                "-----BEGIN PRIVATE KEY-----\nx",
                "a PEM key or certificate of 29 characters",
            ),
            (&base64, "base64 of 160 characters"),
        ] {
            assert_eq!(show_path(here.path(), text), shown);
            if text != "there" {
                let error = read_file(here.path(), "A_FILE", text).expect_err("no file");
                let said = format!("{error:#} {error:?} {:?}", error.hints());
                assert!(said.contains(shown) && !said.contains(text), "{said}");
            }
        }
        let missing = here.path().join("missing").display().to_string();
        assert_eq!(show_path(Path::new("/"), &missing), missing);
    }
}
