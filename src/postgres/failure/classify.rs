//! Recognises foreign errors by their chain of causes.
//!
//! The resolver and the TLS library distinguish their cases only by message text. Those words are the C library's and
//! OpenSSL's own, always in English, because pushctl never sets a locale.

use std::error::Error as StdError;
use std::io;
use std::iter;

use super::FailureCause;

/// Recognises an error of a socket, or of a protocol above it.
pub(crate) fn io(cause: &io::Error) -> FailureCause {
    if let Some(trouble) = tls_words(&outermost_tls(cause)) {
        return trouble;
    }
    // The codec's message for a connection that ends within a message.
    if cause.to_string() == "bytes remaining on stream" {
        return FailureCause::Closed;
    }
    match cause.kind() {
        io::ErrorKind::ConnectionRefused => FailureCause::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => FailureCause::Reset,
        io::ErrorKind::UnexpectedEof => FailureCause::Closed,
        io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::AddrNotAvailable => FailureCause::Unroutable,
        io::ErrorKind::TimedOut => FailureCause::Silent,
        io::ErrorKind::PermissionDenied => FailureCause::Forbidden,
        io::ErrorKind::NotFound => FailureCause::NoSocket,
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => FailureCause::Protocol,
        _ => FailureCause::Network,
    }
}

/// Recognises a resolver error; only a definite "no such name" is permanent.
pub(crate) fn resolving(cause: &io::Error) -> FailureCause {
    const NO_SUCH_NAME: [&str; 5] = [
        "Name or service not known",
        "No address associated with hostname",
        "Name does not resolve",
        "nodename nor servname provided, or not known",
        "No such host is known",
    ];
    let words = cause.to_string();
    if NO_SUCH_NAME.iter().any(|known| words.contains(known)) {
        FailureCause::NoSuchHost
    } else {
        FailureCause::Unresolved
    }
}

/// Recognises an error of a TLS handshake.
pub(crate) fn tls(cause: &native_tls::Error) -> FailureCause {
    let words = outermost_tls(cause);
    let below = chain(cause).find_map(|cause| cause.downcast_ref::<io::Error>());
    // OpenSSL adds its verdict on the certificate, which sslmode may ignore, to an error of the network.
    if let Some(below) = below.filter(|below| below.raw_os_error().is_some()) {
        return io(below);
    }
    if words.starts_with("unexpected EOF") {
        return FailureCause::Closed;
    }
    if let Some(trouble) = tls_words(&words) {
        return trouble;
    }
    below.map_or(FailureCause::TlsIncompatible, io)
}

pub(crate) fn driver(cause: &tokio_postgres::Error) -> FailureCause {
    if let Some(below) = chain(cause).find_map(|cause| cause.downcast_ref::<io::Error>()) {
        return io(below);
    }
    if cause.is_closed() {
        return FailureCause::Closed;
    }
    let words = chain(cause)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ");
    if words.contains("password missing") {
        FailureCause::PasswordMissing
    } else if words.contains("authentication") {
        FailureCause::Authentication
    } else {
        FailureCause::Protocol
    }
}

/// Returns the message of the last cause.
pub(crate) fn innermost(cause: &(dyn StdError + 'static)) -> String {
    chain(cause)
        .last()
        .map(ToString::to_string)
        .map(|words| tidy(&words))
        .unwrap_or_default()
}

/// Returns the message of the first cause with OpenSSL's verdict, which its own causes lack.
pub(crate) fn outermost_tls(cause: &(dyn StdError + 'static)) -> String {
    let words: Vec<String> = chain(cause).map(ToString::to_string).collect();
    let telling = words
        .iter()
        .find(|words| words.contains("SSL routines") || words.contains("certificate"));
    telling.or(words.first()).cloned().unwrap_or_default()
}

/// OpenSSL's `error:0A000086:SSL routines:function:reason:file.c:1889: (verdict)`, reduced to `reason (verdict)`.
pub(crate) fn tidy(words: &str) -> String {
    let Some(rest) = words
        .split("error:")
        .nth(1)
        .filter(|_| words.contains(" routines:"))
    else {
        return words.to_owned();
    };
    let fields: Vec<&str> = rest.split(':').collect();
    let reason = fields.get(3).copied().unwrap_or(rest).trim();
    match rest
        .rsplit_once('(')
        .filter(|_| rest.trim_end().ends_with(')'))
    {
        Some((_, verdict)) => format!("{reason} ({}", verdict.trim_end()),
        None => reason.to_owned(),
    }
}

fn tls_words(words: &str) -> Option<FailureCause> {
    let table = [
        ("certificate has expired", FailureCause::CertificateExpired),
        (
            "certificate is not yet valid",
            FailureCause::CertificateNotYetValid,
        ),
        ("hostname mismatch", FailureCause::CertificateMisnamed),
        ("Hostname mismatch", FailureCause::CertificateMisnamed),
        ("IP address mismatch", FailureCause::CertificateMisnamed),
        (
            "certificate verify failed",
            FailureCause::CertificateUntrusted,
        ),
        (
            "alert certificate required",
            FailureCause::ClientCertificate,
        ),
        ("alert unknown ca", FailureCause::ClientCertificate),
        ("alert bad certificate", FailureCause::ClientCertificate),
        ("alert certificate expired", FailureCause::ClientCertificate),
        ("alert certificate unknown", FailureCause::ClientCertificate),
        ("alert certificate revoked", FailureCause::ClientCertificate),
        ("alert decrypt error", FailureCause::ClientCertificate),
        ("wrong version number", FailureCause::NotTls),
        ("packet length too long", FailureCause::NotTls),
        ("unexpected eof while reading", FailureCause::Closed),
        ("SSL routines", FailureCause::TlsIncompatible),
        // Other platforms' libraries.
        ("certificate", FailureCause::CertificateUntrusted),
    ];
    table
        .into_iter()
        .find(|(known, _)| words.contains(known))
        .map(|(_, trouble)| trouble)
}

fn chain<'a>(
    cause: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(cause), |cause: &&'a (dyn StdError + 'static)| {
        (*cause).source()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openssl_is_reduced_to_its_reason_and_verdict() {
        let words = "error:0A000086:SSL routines:tls_post_process_server_certificate:certificate verify failed:../ssl/statem/statem_clnt.c:1889: (hostname mismatch)";
        assert_eq!(tidy(words), "certificate verify failed (hostname mismatch)");
        assert_eq!(
            tidy("Connection refused (os error 111)"),
            "Connection refused (os error 111)"
        );
    }

    #[test]
    fn only_a_definite_answer_of_the_resolver_is_permanent() {
        let of = |words: &str| {
            resolving(&io::Error::other(format!(
                "failed to lookup address information: {words}"
            )))
        };
        assert!(matches!(
            of("Name or service not known"),
            FailureCause::NoSuchHost
        ));
        assert!(matches!(
            of("Temporary failure in name resolution"),
            FailureCause::Unresolved
        ));
        assert!(matches!(of("Try again"), FailureCause::Unresolved));
        assert!(matches!(
            of("Non-recoverable failure in name resolution"),
            FailureCause::Unresolved
        ));
    }
}
