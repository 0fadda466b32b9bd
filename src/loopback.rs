//! Which hosts are this machine, or as near: plain http leads nowhere else, and no proxy is asked for them.

use std::net::IpAddr;

/// Returns whether a host, by its name alone, is this machine. An IPv6 address may have brackets.
pub(crate) fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    let address = bare.parse::<IpAddr>();
    bare.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// Returns whether a host is the metadata server of a machine in a cloud. It has no TLS, and answers only inside the
/// machine: the address is link-local, and Google resolves the name there.
pub(crate) fn is_metadata_server(host: &str) -> bool {
    let hosts = [
        "metadata.google.internal",
        "169.254.169.254",
        "[fd20:ce::254]",
    ];
    hosts.contains(&host.to_ascii_lowercase().as_str())
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
