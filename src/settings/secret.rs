//! Secrets: values that are never shown.

use std::fmt;

use serde::Deserialize;

/// A password, token or key. `Debug` and `Display` show a mask; only [`Secret::reveal`] returns the value.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

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

/// Returns a URL with its password masked, and any query parameter that may hold one. A text that is not a URL is
/// masked completely.
pub fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return MASK.to_owned();
    };
    let (rest, query) = rest
        .split_once('?')
        .map_or((rest, None), |(rest, query)| (rest, Some(query)));
    if query.is_some_and(|query| query.contains('@')) {
        // A password with an unencoded question mark.
        return MASK.to_owned();
    }
    // The last `@` ends the user's part: a password may contain an unencoded `@` or a slash.
    let (user, rest) = rest
        .rsplit_once('@')
        .map_or((None, rest), |(user, rest)| (Some(user), rest));
    let mut shown = format!("{scheme}://");
    if let Some(user) = user {
        let (name, password) = user
            .split_once(':')
            .map_or((user, None), |(name, password)| (name, Some(password)));
        shown.push_str(name);
        if password.is_some() {
            shown.push(':');
            shown.push_str(MASK);
        }
        shown.push('@');
    }
    shown.push_str(rest);
    if let Some(query) = query {
        let pairs: Vec<String> = query.split('&').map(mask_parameter).collect();
        shown.push('?');
        shown.push_str(&pairs.join("&"));
    }
    shown
}

fn mask_parameter(pair: &str) -> String {
    let Some((name, _)) = pair.split_once('=') else {
        return pair.to_owned();
    };
    let lower = name.to_ascii_lowercase();
    let holds_secret = ["password", "token", "secret", "key"]
        .iter()
        .any(|word| lower.contains(word))
        && !lower.ends_with("sslkey");
    if holds_secret {
        format!("{name}={MASK}")
    } else {
        pair.to_owned()
    }
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
            ("host=db.example.com password=hunter2", "****"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
        for url in [
            "postgres://reader:hun?ter2@db.example.com/shop",
            "postgres://reader:a?hunter2=x@db.example.com/shop?sslmode=require",
        ] {
            assert_eq!(mask_url(url), MASK);
        }
    }
}
