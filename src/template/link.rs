//! Deep links: https only, and only to allowed hosts.
//!
//! The check is stricter than a URL parser on purpose: it rejects text that two parsers could read differently (a
//! backslash, user information, white space, a host that is not plain ASCII).

use std::fmt;

use crate::error::{Error, Result};

const SCHEME: &str = "https://";

/// Allowed hosts of deep links, each with its subdomains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHosts(Vec<String>);

/// Why a deep link is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkProblem {
    /// It does not start with `https://`.
    NotHttps,
    /// It holds white space, a control character, a backslash or user information.
    Unsafe,
    /// Its host is not allowed.
    Host(String),
}

impl fmt::Display for LinkProblem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHttps => write!(out, "the deep link does not start with https://"),
            Self::Unsafe => write!(
                out,
                "the deep link contains white space, a backslash or user information"
            ),
            Self::Host(host) => write!(out, "the deep link's host `{host}` is not allowed"),
        }
    }
}

impl Default for AllowedHosts {
    fn default() -> Self {
        Self(vec!["tradeblock.us".to_owned()])
    }
}

impl AllowedHosts {
    /// Parses plain host names from the settings, such as `example.com`.
    pub fn new<S: AsRef<str>>(hosts: &[S]) -> Result<Self> {
        let mut allowed = Vec::with_capacity(hosts.len());
        for host in hosts {
            let host = host.as_ref().to_ascii_lowercase();
            if !is_host(&host) {
                return Err(Error::usage(format!("`{host}` is not a host name"))
                    .hint("allow hosts by name, without scheme, port or path: example.com"));
            }
            allowed.push(host);
        }
        Ok(Self(allowed))
    }

    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Checks whether `link` may be sent.
    pub fn check(&self, link: &str) -> Result<(), LinkProblem> {
        let rest = after_scheme(link).ok_or(LinkProblem::NotHttps)?;
        check_characters(link)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        self.check_authority(&rest[..end])
    }

    /// Returns whether every link that starts with `head` leads to an allowed host; none as long as the host is not
    /// complete.
    pub(super) fn check_head(&self, head: &str) -> Option<Result<(), LinkProblem>> {
        let common = head.len().min(SCHEME.len());
        if !head.as_bytes()[..common].eq_ignore_ascii_case(&SCHEME.as_bytes()[..common]) {
            return Some(Err(LinkProblem::NotHttps));
        }
        let rest = after_scheme(head)?;
        let end = rest.find(['/', '?', '#'])?;
        Some(check_characters(head).and_then(|()| self.check_authority(&rest[..end])))
    }

    fn check_authority(&self, authority: &str) -> Result<(), LinkProblem> {
        if authority.contains('@') {
            return Err(LinkProblem::Unsafe);
        }
        let host = match authority.split_once(':') {
            Some((host, port)) if port.parse::<u16>().is_ok() => host,
            Some(_) => return Err(LinkProblem::Host(authority.to_owned())),
            None => authority,
        };
        let allowed = is_host(host) && self.0.iter().any(|name| is_within(host, name));
        allowed
            .then_some(())
            .ok_or_else(|| LinkProblem::Host(host.to_owned()))
    }
}

fn after_scheme(link: &str) -> Option<&str> {
    let (scheme, rest) = link.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

/// Finds characters that must not occur in a link.
pub(super) fn check_characters(link: &str) -> Result<(), LinkProblem> {
    let risky = |letter: char| letter.is_whitespace() || letter.is_control() || letter == '\\';
    if link.contains(risky) {
        return Err(LinkProblem::Unsafe);
    }
    Ok(())
}

fn is_host(host: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    host.split('.').all(label)
}

/// Returns whether `host` is `name` or a subdomain of it, label by label.
fn is_within(host: &str, name: &str) -> bool {
    let Some(split) = host.len().checked_sub(name.len()) else {
        return false;
    };
    // Both are ASCII, so any place is a boundary.
    let (prefix, suffix) = host.split_at(split);
    suffix.eq_ignore_ascii_case(name) && (prefix.is_empty() || prefix.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_allowed_by_the_labels_of_its_host() {
        let hosts = AllowedHosts::default();
        for link in [
            "https://tradeblock.us",
            "https://tradeblock.us/closet?tab=1#top",
            "https://www.tradeblock.us/x",
            "HTTPS://A.B.TradeBlock.US:443/x",
            "https://tradeblock.us?next=https://evil.example.com",
        ] {
            assert_eq!(hosts.check(link), Ok(()), "{link}");
        }
        for link in [
            "https://eviltradeblock.us/",
            "https://tradeblock.us.example.com/",
            "https://example.com/tradeblock.us",
            "https://example.com?tradeblock.us",
            "https://example.com#.tradeblock.us",
            "https://tradeblock.us./",
            "https://.tradeblock.us/",
            "https:///tradeblock.us",
            "https://",
            "https://tradeblock.us:port/",
            "https://tradeblock%2eus/",
            "https://trädeblock.us/",
        ] {
            assert!(
                matches!(hosts.check(link), Err(LinkProblem::Host(_))),
                "{link}: {:?}",
                hosts.check(link)
            );
        }
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused() {
        let hosts = AllowedHosts::default();
        for link in [
            "https://tradeblock.us\\@example.com/",
            "https://user@tradeblock.us/",
            "https://example.com@tradeblock.us/",
            "https://tradeblock.us/a b",
            "https://tradeblock.us/\n",
            "https://trade\tblock.us/",
            "https://tradeblock.us/\u{85}",
        ] {
            assert_eq!(hosts.check(link), Err(LinkProblem::Unsafe), "{link:?}");
        }
        for link in [
            "http://tradeblock.us/",
            "//tradeblock.us",
            "tradeblock.us",
            "",
            " https://tradeblock.us",
            "httpsé//tradeblock.us",
        ] {
            assert_eq!(hosts.check(link), Err(LinkProblem::NotHttps), "{link:?}");
        }
    }

    #[test]
    fn a_host_that_ends_within_the_head_decides_for_every_row() {
        let hosts = AllowedHosts::default();
        assert_eq!(hosts.check_head("https://tradeblock.us/u/"), Some(Ok(())));
        assert_eq!(hosts.check_head("https://tradeblock.us"), None);
        assert_eq!(hosts.check_head("https://"), None);
        assert_eq!(hosts.check_head(""), None);
        assert_eq!(hosts.check_head("htt"), None);
        assert_eq!(hosts.check_head("http:"), Some(Err(LinkProblem::NotHttps)));
        assert!(matches!(
            hosts.check_head("https://example.com/"),
            Some(Err(LinkProblem::Host(_)))
        ));
    }

    #[test]
    fn only_plain_host_names_can_be_allowed() {
        assert!(AllowedHosts::new(&["Example.com"]).is_ok());
        for host in [
            "",
            "https://example.com",
            "example.com/",
            "*.example.com",
            ".",
        ] {
            assert!(AllowedHosts::new(&[host]).is_err(), "{host}");
        }
    }
}
