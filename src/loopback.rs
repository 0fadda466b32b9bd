//! Which hosts are this machine: plain http leads nowhere else, and no proxy is asked for them.

use std::net::IpAddr;

/// Returns whether a host, by its name alone, is this machine. An IPv6 address may have brackets.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    let address = bare.parse::<IpAddr>();
    bare.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_this_machine;

    #[test]
    fn only_loopback_is_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.8.0.1",
            "::1",
            "[::1]",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "",
            "10.0.0.1",
            "localhost.example.com",
            "[::2]",
            "example.com",
        ] {
            assert!(!is_this_machine(host), "{host}");
        }
    }
}
