//! Encryption: libpq's modes and files turned into a native-tls connector, and the negotiation that precedes it.
//!
//! Deliberately absent: revocation lists, and keys that are encrypted or not PKCS#8 (the error says how to convert
//! one).

use std::fs;
use std::path::Path;

use native_tls::{Certificate, Identity, Protocol, TlsConnector};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_postgres::tls::TlsConnect as _;

use super::address::{Negotiation, Roots, SslMode, Tls, TlsVersion};
use super::failure::{Failure, FailureCause};
use super::stream::Stream;
use crate::error::{Context as _, Error, ErrorKind, Result};
use crate::settings::secret::show_file;

/// The message that asks a server for TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Reads the certificates that `tls` names and builds the connector that verifies the server.
pub(crate) fn connector(tls: &Tls) -> Result<TlsConnector> {
    let mut builder = TlsConnector::builder();
    let verify_chain = tls.mode >= SslMode::VerifyCa || matches!(tls.roots, Roots::File(_));
    builder
        .danger_accept_invalid_certs(!verify_chain)
        .danger_accept_invalid_hostnames(tls.mode < SslMode::VerifyFull);
    builder
        .min_protocol_version(Some(version(tls.oldest)))
        .max_protocol_version(tls.newest.map(version));
    if let Roots::File(path) = &tls.roots {
        builder.disable_built_in_roots(true);
        for certificate in roots(path)? {
            builder.add_root_certificate(certificate);
        }
    }
    if let Some((certificate, key)) = &tls.identity {
        builder.identity(identity(certificate, key)?);
    }
    if tls.negotiation == Negotiation::Direct {
        builder.request_alpns(&["postgresql"]);
    }
    builder
        .build()
        .kind(ErrorKind::Failed, || "cannot set up TLS")
}

fn version(version: TlsVersion) -> Protocol {
    match version {
        TlsVersion::V1_0 => Protocol::Tlsv10,
        TlsVersion::V1_1 => Protocol::Tlsv11,
        TlsVersion::V1_2 => Protocol::Tlsv12,
        TlsVersion::V1_3 => Protocol::Tlsv13,
    }
}

/// Returns every certificate of a bundle, not only its first.
fn roots(path: &Path) -> Result<Vec<Certificate>> {
    let shown = show_file(path);
    let pem = fs::read(path).kind(ErrorKind::Usage, || {
        format!("cannot read sslrootcert={shown}")
    })?;
    let certificates = Certificate::stack_from_pem(&pem).kind(ErrorKind::Usage, || {
        format!("sslrootcert={shown} is not a file of PEM certificates")
    })?;
    if certificates.is_empty() {
        return Err(Error::usage(format!(
            "sslrootcert={shown} holds no PEM certificate"
        )));
    }
    Ok(certificates)
}

fn identity(certificate: &Path, key: &Path) -> Result<Identity> {
    let pem = fs::read(certificate).kind(ErrorKind::Usage, || {
        format!("cannot read sslcert={}", show_file(certificate))
    })?;
    let shown = show_file(key);
    let secret = fs::read(key).kind(ErrorKind::Usage, || format!("cannot read sslkey={shown}"))?;
    private(key)?;
    Identity::from_pkcs8(&pem, &secret).map_err(|cause| {
        Error::from_cause(ErrorKind::Usage, cause)
            .context(format!("sslcert={} and sslkey={shown} cannot be used", certificate.display()))
            .hint(format!("the key must be unencrypted PKCS#8: openssl pkcs8 -topk8 -nocrypt -in {shown} -out client.pk8"))
    })
}

/// As in libpq: a key that others can read is not used (root's may be readable by its group).
#[cfg(unix)]
fn private(key: &Path) -> Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let shown = key.display();
    let metadata =
        fs::metadata(key).kind(ErrorKind::Usage, || format!("cannot read sslkey={shown}"))?;
    let forbidden = if metadata.uid() == 0 { 0o027 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return Err(
            Error::usage(format!("sslkey={shown} can be read by others"))
                .hint(format!("chmod 0600 {shown}")),
        );
    }
    Ok(())
}

#[cfg(not(unix))]
fn private(_key: &Path) -> Result<()> {
    Ok(())
}

/// A server's answer to the TLS request.
pub(crate) enum TlsAnswer {
    Agreed(TcpStream),
    Declined(TcpStream),
}

/// Asks for TLS. Exactly one byte is read: bytes after it would be unencrypted, and make the handshake fail.
pub(crate) async fn ask(mut tcp: TcpStream) -> Result<TlsAnswer, Failure> {
    tcp.write_all(&SSL_REQUEST).await.map_err(Failure::io)?;
    match tcp.read_u8().await.map_err(Failure::io)? {
        b'S' => Ok(TlsAnswer::Agreed(tcp)),
        b'N' => Ok(TlsAnswer::Declined(tcp)),
        // An error message: the server has no connection slot left.
        b'E' => Err(Failure::of(FailureCause::Closed)),
        _ => Err(Failure::of(FailureCause::NotPostgres)),
    }
}

/// Performs the TLS handshake. `name` is the host name that the certificate must carry, where that is checked.
pub(crate) async fn shake_hands(
    tcp: TcpStream,
    connector: TlsConnector,
    name: &str,
) -> Result<Stream, Failure> {
    postgres_native_tls::TlsConnector::new(connector, name)
        .connect(tcp)
        .await
        .map(|stream| Stream::Tls(Box::new(stream)))
        .map_err(Failure::tls)
}
