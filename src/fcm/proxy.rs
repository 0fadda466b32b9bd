//! The proxy on the way to the push service: for which hosts it is, and the CONNECT request that opens a tunnel.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::advice::Advice;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::loopback::is_this_machine;
use crate::settings::secret::mask_url;

/// The largest answer to a CONNECT request.
const LONGEST_ANSWER: usize = 16 * 1024;

/// Which proxy to use, and which hosts are connected to without it.
#[derive(Debug, Clone, Default)]
pub struct ProxySettings {
    /// `http://USER:PASSWORD@HOST:PORT`; the scheme can be missing.
    pub url: Option<String>,
    /// Hosts, domains and networks, as in `NO_PROXY`.
    pub exceptions: Vec<String>,
}

/// A proxy that opens tunnels.
#[derive(Clone)]
pub(super) struct Proxy {
    /// With user and password.
    pub(super) url: String,
    pub(super) host: String,
    pub(super) port: u16,
    authorization: Option<String>,
}

/// Shows no user and password.
impl fmt::Debug for Proxy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.place())
    }
}

/// Says which proxy is on the way, if there is one.
pub(super) fn by(proxy: Option<&Proxy>) -> String {
    proxy.map_or_else(String::new, |proxy| {
        format!(" through the proxy {}", proxy.place())
    })
}

/// Returns whether the HTTP client failed because the proxy refused its user and password, or was given none.
pub(super) fn needs_proxy_password(failure: &reqwest::Error) -> bool {
    let text = format!("{failure:?}").to_lowercase();
    text.contains("proxyauthrequired") || text.contains("proxy authorization required")
}

impl Proxy {
    /// Returns the proxy for a URL, if one is set. Services on this machine need none.
    ///
    /// # Errors
    /// The proxy's address is not one of an HTTP proxy.
    pub(super) fn to(target: &reqwest::Url, settings: &ProxySettings) -> Result<Option<Self>> {
        let given = settings.url.as_deref().unwrap_or_default().trim();
        if given.is_empty() || is_this_machine(target.host_str().unwrap_or_default()) {
            return Ok(None);
        }
        let proxy = Self::at(given)?;
        let uri: Uri = target.as_str().parse().kind(ErrorKind::Usage, || {
            format!("{target} is not a valid address")
        })?;
        let matcher = Matcher::builder()
            .all(&proxy.url)
            .no(settings.exceptions.join(","))
            .build();
        Ok(matcher.intercept(&uri).map(|_| proxy))
    }

    fn at(given: &str) -> Result<Self> {
        let whole = if given.contains("://") {
            given.to_owned()
        } else {
            format!("http://{given}")
        };
        let refused = || {
            let error = format!("the proxy `{}` is not an HTTP proxy", mask_url(&whole));
            Error::usage(error).hint(Advice::ProxyAddress)
        };
        let url: reqwest::Url = whole.parse().map_err(|_| refused())?;
        let (Some(host), "http") = (url.host_str(), url.scheme()) else {
            return Err(refused());
        };
        let decoded = |text: &str| percent_decoded(text).ok_or_else(refused);
        let authorization = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let pair = format!("{}:{}", decoded(user)?, decoded(password.unwrap_or(""))?);
                Some(format!("Basic {}", BASE64_STANDARD.encode(pair)))
            }
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: url.port_or_known_default().unwrap_or(80),
            url: url.into(),
            authorization,
        })
    }

    /// Returns the host and port.
    pub(super) fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Asks the proxy at the other end of `socket` for a tunnel to a host and port.
    pub(super) async fn open_tunnel(&self, socket: &mut TcpStream, target: &str) -> Result<()> {
        let authorization = self
            .authorization
            .as_ref()
            .map_or_else(String::new, |value| {
                format!("Proxy-Authorization: {value}\r\n")
            });
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{authorization}\r\n");
        let broken = || format!("the proxy {} ended the connection", self.place());
        socket
            .write_all(request.as_bytes())
            .await
            .kind(ErrorKind::Unreachable, broken)?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") && answer.len() < LONGEST_ANSWER {
            // Byte by byte: what follows the answer belongs to the tunnel.
            let byte = socket
                .read_u8()
                .await
                .kind(ErrorKind::Unreachable, broken)?;
            answer.push(byte);
        }
        self.check(&answer, target)
    }

    fn check(&self, answer: &[u8], target: &str) -> Result<()> {
        let text = String::from_utf8_lossy(answer);
        let line = text.lines().next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let is_http = words.next().is_some_and(|word| word.starts_with("HTTP/1."));
        let status = words.next().and_then(|word| word.parse::<u16>().ok());
        let Some(status) = status.filter(|_| is_http) else {
            let error = format!("{} does not answer like an HTTP proxy", self.place());
            return Err(Error::new(ErrorKind::Unreachable, error).hint(Advice::ProxyAddress));
        };
        if (200..300).contains(&status) {
            return Ok(());
        }
        let error = format!(
            "the proxy {} opened no tunnel to {target}: {}",
            self.place(),
            line.escape_debug()
        );
        Err(match status {
            407 => Error::new(ErrorKind::Credentials, error).hint(Advice::ProxyPassword),
            403 => Error::new(ErrorKind::Credentials, error).hint(Advice::ProxyRule),
            _ => Error::new(ErrorKind::Unreachable, error).hint(Advice::ProxyAddress),
        })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let bytes = percent_encoding::percent_decode_str(text);
    bytes.decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(url: &str, exceptions: &str, target: &str) -> Result<Option<String>> {
        let settings = ProxySettings {
            url: Some(url.to_owned()),
            exceptions: exceptions.split(',').map(str::to_owned).collect(),
        };
        let found = Proxy::to(&target.parse().unwrap(), &settings)?;
        Ok(found.map(|proxy| proxy.place()))
    }

    #[test]
    fn a_proxy_is_for_every_host_but_the_exceptions_and_this_machine() {
        let push = "https://fcm.googleapis.com/v1";
        let used = Some("proxy.example.com:3128".to_owned());
        for (url, exceptions, target, expected) in [
            ("http://proxy.example.com:3128", "", push, used.clone()),
            ("proxy.example.com:3128", "example.org", push, used.clone()),
            ("http://u:p@proxy.example.com:3128/", "", push, used),
            (
                "http://proxy.example.com:3128",
                "googleapis.com",
                push,
                None,
            ),
            (
                "http://proxy.example.com:3128",
                ".googleapis.com",
                push,
                None,
            ),
            ("http://proxy.example.com:3128", "*", push, None),
            (
                "http://proxy.example.com:3128",
                "10.0.0.0/8",
                "https://10.1.2.3/",
                None,
            ),
            (
                "http://proxy.example.com:3128",
                "",
                "https://127.0.0.1:7000/",
                None,
            ),
            (
                "http://proxy.example.com:3128",
                "",
                "https://[::1]:7000/",
                None,
            ),
            (
                "http://proxy.example.com:3128",
                "",
                "https://localhost/",
                None,
            ),
            (" ", "", push, None),
        ] {
            assert_eq!(
                proxy(url, exceptions, target).unwrap(),
                expected,
                "{url} {exceptions} {target}"
            );
        }
        for url in [
            "socks5://proxy.example.com:1080",
            "https://proxy.example.com",
            "http://",
            "http://u:hunter2@:1",
        ] {
            let error = proxy(url, "", push).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            assert!(!format!("{error:#}").contains("hunter2"), "{error:#}");
        }
    }

    #[test]
    fn user_and_password_are_decoded() {
        let proxy = Proxy::at("http://ann:p%40ss%3A@proxy.example.com").unwrap();
        assert_eq!(proxy.port, 80);
        let expected = format!("Basic {}", BASE64_STANDARD.encode("ann:p@ss:"));
        assert_eq!(proxy.authorization, Some(expected));
    }
}
