//! The identity of the stand-in: a certificate authority, a server certificate, and a service account.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{AlpnError, SslAcceptor, SslMethod, select_next_proto};
use openssl::x509::extension::{BasicConstraints, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509NameBuilder, X509Ref};

use super::Protocol;

static ACCOUNT_KEY: OnceLock<PKey<Private>> = OnceLock::new();

/// The authority that clients trust, and the server's certificate.
pub(super) struct Identity {
    authority: X509,
    certificate: X509,
    key: PKey<Private>,
}

impl Identity {
    /// Makes both anew, valid for a day.
    pub(super) fn create() -> Self {
        let (authority_key, key) = (ec_key(), ec_key());
        let authority = {
            // A client that trusts two authorities of one name tries only the first.
            let name = format!("stand-in authority {}", serial_number());
            let mut builder = certificate(&name, &authority_key, None);
            let constraints = BasicConstraints::new().critical().ca().build();
            let usage = KeyUsage::new().critical().key_cert_sign().build();
            extend(&mut builder, constraints);
            extend(&mut builder, usage);
            sign(builder, &authority_key)
        };
        let certificate = {
            let mut builder = certificate("localhost", &key, Some(&authority));
            let names = SubjectAlternativeName::new()
                .dns("localhost")
                .dns(super::HOST_NAME)
                .ip("127.0.0.1")
                .ip("::1")
                .build(&builder.x509v3_context(Some(&authority), None))
                .expect("subject alternative names");
            builder.append_extension(names).expect("an extension");
            sign(builder, &authority_key)
        };
        Self {
            authority,
            certificate,
            key,
        }
    }

    /// Reads the identity in `directory`, or makes it on first use, so that a restarted stand-in is the same to its
    /// clients.
    pub(super) fn kept_in(directory: &Path) -> Self {
        let (path, account) = (
            directory.join("identity.pem"),
            directory.join("account.pem"),
        );
        if let (Ok(pem), Ok(account)) = (fs::read(&path), fs::read(&account)) {
            let mut certificates = X509::stack_from_pem(&pem)
                .expect("certificates")
                .into_iter();
            let mut next = || certificates.next().expect("two certificates");
            let account = PKey::private_key_from_pem(&account).expect("a private key");
            let _ = ACCOUNT_KEY.set(account);
            return Self {
                authority: next(),
                certificate: next(),
                key: PKey::private_key_from_pem(&pem).expect("a private key"),
            };
        }
        let identity = Self::create();
        let parts = [
            identity.authority.to_pem(),
            identity.certificate.to_pem(),
            identity.key.private_key_to_pem_pkcs8(),
        ];
        let pem = parts.map(|part| part.expect("PEM")).concat();
        let account_pem = account_key().private_key_to_pem_pkcs8().expect("PEM");
        fs::write(&path, pem).expect("written");
        fs::write(&account, account_pem).expect("written");
        identity
    }

    /// The authority's certificate, for the client's trust store.
    pub(super) fn authority_pem(&self) -> Vec<u8> {
        self.authority.to_pem().expect("PEM")
    }

    /// Makes a TLS acceptor that offers `protocol`.
    pub(super) fn acceptor(&self, protocol: Protocol) -> SslAcceptor {
        let mut builder =
            SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).expect("an acceptor");
        builder.set_private_key(&self.key).expect("the key");
        builder
            .set_certificate(&self.certificate)
            .expect("the certificate");
        let offered: &'static [u8] = match protocol {
            Protocol::Http1 => b"\x08http/1.1",
            Protocol::Http2 | Protocol::Cleartext => b"\x02h2\x08http/1.1",
        };
        builder.set_alpn_select_callback(move |_, client| {
            select_next_proto(offered, client).ok_or(AlpnError::NOACK)
        });
        builder.build()
    }
}

/// Returns the service account's key: one for the whole process, since making it is slow.
pub(super) fn account_key() -> &'static PKey<Private> {
    ACCOUNT_KEY.get_or_init(|| {
        PKey::from_rsa(Rsa::generate(2048).expect("an RSA key")).expect("a private key")
    })
}

fn ec_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256");
    PKey::from_ec_key(EcKey::generate(&group).expect("an EC key")).expect("a private key")
}

fn serial_number() -> BigNum {
    let mut serial = BigNum::new().expect("a number");
    serial
        .rand(127, MsbOption::MAYBE_ZERO, false)
        .expect("a serial number");
    serial
}

fn certificate(name: &str, key: &PKey<Private>, issuer: Option<&X509Ref>) -> X509Builder {
    let mut subject = X509NameBuilder::new().expect("a name");
    subject
        .append_entry_by_nid(Nid::COMMONNAME, name)
        .expect("a common name");
    let subject = subject.build();
    let serial = serial_number().to_asn1_integer().expect("a serial number");
    let (start, end) = (
        Asn1Time::days_from_now(0).expect("today"),
        Asn1Time::days_from_now(1).expect("tomorrow"),
    );

    let mut builder = X509Builder::new().expect("a certificate");
    builder.set_version(2).expect("version 3");
    builder.set_serial_number(&serial).expect("the serial");
    builder.set_subject_name(&subject).expect("the subject");
    let issuer = issuer.map_or(subject.as_ref(), X509Ref::subject_name);
    builder.set_issuer_name(issuer).expect("the issuer");
    builder.set_not_before(&start).expect("the start");
    builder.set_not_after(&end).expect("the end");
    builder.set_pubkey(key).expect("the public key");
    builder
}

fn extend(
    builder: &mut X509Builder,
    extension: Result<openssl::x509::X509Extension, openssl::error::ErrorStack>,
) {
    builder
        .append_extension(extension.expect("an extension"))
        .expect("room for an extension");
}

fn sign(mut builder: X509Builder, key: &PKey<Private>) -> X509 {
    builder
        .sign(key, MessageDigest::sha256())
        .expect("a signature");
    builder.build()
}
