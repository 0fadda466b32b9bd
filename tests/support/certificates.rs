//! Valid and invalid certificates, made anew for each test process.
//!
//! A server certificate for `localhost` and `db.example.com` (not for 127.0.0.1), signed by `root.pem`; the same one
//! expired, not valid yet, or for another name; a root that signed nothing; a bundle of many roots with the right one
//! in the middle; client certificates of either root.

use std::fs;
use std::path::{Path, PathBuf};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name, X509NameBuilder};

/// The names of the good server certificate.
pub(crate) const SERVER_NAMES: [&str; 2] = ["localhost", "db.example.com"];

/// A directory of PEM files.
pub(crate) struct Certificates {
    directory: PathBuf,
}

/// A certificate with its key.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// When a certificate is valid, in days from now.
#[derive(Clone, Copy)]
struct Validity {
    from: i64,
    to: i64,
}

const NOW: Validity = Validity { from: -1, to: 30 };

impl Certificates {
    /// Makes all certificates.
    pub(crate) fn make(directory: &Path) -> Self {
        let made = Self {
            directory: directory.to_owned(),
        };
        fs::create_dir_all(directory).unwrap();
        let root = authority("Market Root");
        let stranger = authority("Stranger Root");
        let server = |names: &[&str], validity| signed(&root, "server", names, validity);
        made.write("root", &root);
        made.write("stranger", &stranger);
        made.write("server", &server(&SERVER_NAMES, NOW));
        made.write(
            "expired",
            &server(&SERVER_NAMES, Validity { from: -30, to: -1 }),
        );
        made.write(
            "early",
            &server(&SERVER_NAMES, Validity { from: 10, to: 30 }),
        );
        made.write("misnamed", &server(&["elsewhere.example.com"], NOW));
        made.write("client", &signed(&root, "cert_user", &[], NOW));
        made.write("foreign-client", &signed(&stranger, "cert_user", &[], NOW));
        made.write_bundle(&root);
        made
    }

    /// `root`, `bundle`, `stranger`, `server`, `expired`, `early`, `misnamed`, `client` or `foreign-client`.
    pub(crate) fn pem(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.pem"))
    }

    /// Returns the path of its key.
    pub(crate) fn key(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.key"))
    }

    /// Reads the certificate and its key.
    pub(crate) fn pair(&self, name: &str) -> Pair {
        Pair {
            certificate: X509::from_pem(&fs::read(self.pem(name)).unwrap()).unwrap(),
            key: PKey::private_key_from_pem(&fs::read(self.key(name)).unwrap()).unwrap(),
        }
    }

    fn write(&self, name: &str, pair: &Pair) {
        fs::write(self.pem(name), pair.certificate.to_pem().unwrap()).unwrap();
        fs::write(self.key(name), pair.key.private_key_to_pem_pkcs8().unwrap()).unwrap();
        private(&self.key(name));
    }

    /// Writes a bundle like that of a managed database: the right root is neither the first nor the last.
    fn write_bundle(&self, root: &Pair) {
        let others: Vec<X509> = (0..24)
            .map(|region| authority(&format!("Region {region} Root")).certificate)
            .collect();
        let mut roots: Vec<&X509> = others.iter().collect();
        roots.insert(13, &root.certificate);
        let pem: Vec<u8> = roots
            .iter()
            .flat_map(|root| root.to_pem().unwrap())
            .collect();
        fs::write(self.pem("bundle"), pem).unwrap();
    }
}

/// Restricts a key's mode: the server and pushctl reject a key that others can read.
fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

fn key() -> PKey<Private> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    PKey::from_ec_key(EcKey::generate(&curve).unwrap()).unwrap()
}

fn name(common: &str) -> X509Name {
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, common).unwrap();
    name.build()
}

fn authority(common: &str) -> Pair {
    let key = key();
    let mut builder = X509::builder().unwrap();
    begin(&mut builder, common, &key, NOW);
    builder.set_issuer_name(&name(common)).unwrap();
    builder
        .append_extension(BasicConstraints::new().critical().ca().build().unwrap())
        .unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    Pair {
        certificate: builder.build(),
        key,
    }
}

fn signed(authority: &Pair, common: &str, names: &[&str], validity: Validity) -> Pair {
    let key = key();
    let mut builder = X509::builder().unwrap();
    begin(&mut builder, common, &key, validity);
    builder
        .set_issuer_name(authority.certificate.subject_name())
        .unwrap();
    if !names.is_empty() {
        let mut alternatives = SubjectAlternativeName::new();
        for name in names {
            alternatives.dns(name);
        }
        let alternatives = alternatives
            .build(&builder.x509v3_context(Some(&authority.certificate), None))
            .unwrap();
        builder.append_extension(alternatives).unwrap();
    }
    builder
        .sign(&authority.key, MessageDigest::sha256())
        .unwrap();
    Pair {
        certificate: builder.build(),
        key,
    }
}

fn begin(
    builder: &mut openssl::x509::X509Builder,
    common: &str,
    key: &PKey<Private>,
    validity: Validity,
) {
    let day = |days: i64| {
        let seconds = jiff::Timestamp::now().as_second() + days * 86_400;
        Asn1Time::from_unix(seconds).unwrap()
    };
    let mut serial = BigNum::new().unwrap();
    serial
        .rand(127, openssl::bn::MsbOption::MAYBE_ZERO, false)
        .unwrap();
    builder.set_version(2).unwrap();
    builder
        .set_serial_number(&serial.to_asn1_integer().unwrap())
        .unwrap();
    builder.set_subject_name(&name(common)).unwrap();
    builder.set_pubkey(key).unwrap();
    builder.set_not_before(&day(validity.from)).unwrap();
    builder.set_not_after(&day(validity.to)).unwrap();
}
