//! The private key of a service account, in the shapes that it takes on its way through consoles, shells and files.
//!
//! What identifies one RSA key is accepted: line breaks that became `\n`, spaces or nothing, quotes, a byte order mark,
//! base64 around the whole. What cannot be one is named. No error quotes any of the text.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use openssl::pkey::{Id, PKey, Private};

use crate::advice::Advice;
use crate::error::{Error, Result};
use crate::settings::secret::BYTE_ORDER_MARK;

/// Parses an RSA key.
///
/// # Errors
/// It is something else, encrypted or damaged; the error names which.
pub(super) fn parse(given: &str) -> Result<PKey<Private>> {
    let text = unescape(given);
    let decoded = decode(&text).and_then(|bytes| String::from_utf8(bytes).ok());
    match decoded {
        // The whole key file, in base64.
        Some(inner) if inner.contains("-BEGIN ") || inner.trim_start().starts_with('{') => {
            parse_pem(&unescape(&inner))
        }
        _ => parse_pem(&text),
    }
}

/// Undoes what shells, JSON and editors do to a key: escapes, however often they were escaped again, and a byte order
/// mark. PEM has no backslash of its own.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.trim_start_matches(BYTE_ORDER_MARK);
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let escaped = rest[at..].trim_start_matches('\\');
        let known = [
            ("u003d", '='),
            ("u003D", '='),
            ("u002b", '+'),
            ("u002f", '/'),
            ("n", '\n'),
            ("r", '\n'),
        ];
        let found = known
            .iter()
            .find_map(|(name, sign)| Some((escaped.strip_prefix(name)?, *sign)));
        rest = match found {
            Some((after, sign)) => {
                plain.push(sign);
                after
            }
            None => escaped,
        };
    }
    plain.push_str(rest);
    plain
}

/// Decodes base64 in either alphabet, with or without padding, line breaks and quotes.
fn decode(text: &str) -> Option<Vec<u8>> {
    let letters: String = text
        .chars()
        .filter(|sign| !sign.is_whitespace() && !"\"'`,".contains(*sign))
        .collect();
    let letters = letters.trim_end_matches('=');
    [BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD]
        .iter()
        .find_map(|alphabet| alphabet.decode(letters).ok())
}

/// A block of PEM: what its first line calls it, and the text up to its last line.
struct Block<'t> {
    label: &'t str,
    body: &'t str,
}

/// Splits PEM into blocks. The dashes may be too few or too many.
fn blocks(text: &str) -> Vec<Block<'_>> {
    let begins = text.split("-BEGIN ").skip(1);
    begins
        .filter_map(|block| {
            let (label, body) = block.split_once('-')?;
            let body = body.split("-END ").next().unwrap_or_default();
            Some(Block {
                label: label.trim(),
                body: body.trim_matches('-'),
            })
        })
        .collect()
}

fn parse_pem(text: &str) -> Result<PKey<Private>> {
    if text
        .trim_start()
        .trim_start_matches(['"', '\''])
        .starts_with('{')
    {
        return Err(refused("is JSON, not a key", Advice::KeyIsJson));
    }
    let blocks = blocks(text);
    let is_private = |block: &&Block<'_>| block.label.ends_with("PRIVATE KEY");
    let Some(block) = blocks.iter().find(is_private).or(blocks.first()) else {
        // Only the lines between the first and the last one.
        let body = text
            .split("-END ")
            .next()
            .unwrap_or_default()
            .trim_end_matches('-');
        return parse_body(body);
    };
    let (kind, advice) = match block.label {
        "PRIVATE KEY" | "RSA PRIVATE KEY" if block.body.contains("ENCRYPTED") => {
            ("is encrypted", Advice::KeyEncrypted)
        }
        "PRIVATE KEY" | "RSA PRIVATE KEY" => return parse_body(block.body),
        "ENCRYPTED PRIVATE KEY" => ("is encrypted", Advice::KeyEncrypted),
        "EC PRIVATE KEY" => (
            "is an EC key; the push service needs an RSA key",
            Advice::KeyOfConsole,
        ),
        "OPENSSH PRIVATE KEY" => ("is a key of SSH", Advice::KeyOfConsole),
        "CERTIFICATE" => ("is a certificate, not a private key", Advice::KeyOfConsole),
        label if label.ends_with("PUBLIC KEY") => {
            ("is a public key, not a private one", Advice::KeyOfConsole)
        }
        _ => (
            "is PEM of another kind than a private key",
            Advice::KeyOfConsole,
        ),
    };
    Err(refused(kind, advice))
}

/// Parses the base64 between the first and the last line: PKCS #8 or PKCS #1.
fn parse_body(body: &str) -> Result<PKey<Private>> {
    let damaged = || {
        refused(
            "is damaged: it is not base64 between its BEGIN and END lines",
            Advice::KeyShape,
        )
    };
    if body.trim().is_empty() {
        return Err(refused(
            "is truncated: nothing follows its BEGIN line",
            Advice::KeyShape,
        ));
    }
    let Some(der) = decode(body) else {
        // One letter too many is what a cut leaves of a group of four.
        let is_base64 = |sign: char| {
            sign.is_ascii_alphanumeric() || "+/=".contains(sign) || sign.is_whitespace()
        };
        if body.trim().starts_with("MII") && body.chars().all(is_base64) {
            return Err(truncated());
        }
        return Err(damaged());
    };
    let Some(length) = sequence_length(&der) else {
        return Err(refused("is not an RSA key in PEM form", Advice::WrongKey));
    };
    if length > der.len() {
        return Err(truncated());
    }
    let key = PKey::private_key_from_der(&der[..length]).map_err(|_| {
        if PKey::public_key_from_der(&der).is_ok() {
            return refused("is a public key, not a private one", Advice::KeyOfConsole);
        }
        refused(
            "is damaged: its content is not a private key",
            Advice::KeyShape,
        )
    })?;
    match key.id() {
        Id::RSA => Ok(key),
        Id::EC => Err(refused(
            "is an EC key; the push service needs an RSA key",
            Advice::KeyOfConsole,
        )),
        _ => Err(refused("is not an RSA key", Advice::KeyOfConsole)),
    }
}

/// Returns how long the DER of a key is as a whole, from its first bytes; `None` if it does not begin like a key.
fn sequence_length(der: &[u8]) -> Option<usize> {
    const SEQUENCE: u8 = 0x30;
    match *der {
        [SEQUENCE, short, ..] if short < 0x80 => Some(2 + usize::from(short)),
        [SEQUENCE, 0x81, length, ..] => Some(3 + usize::from(length)),
        [SEQUENCE, 0x82, high, low, ..] => Some(4 + usize::from(u16::from_be_bytes([high, low]))),
        _ => None,
    }
}

fn truncated() -> Error {
    refused("is truncated: its end is missing", Advice::KeyShape)
}

fn refused(kind: &str, advice: Advice) -> Error {
    Error::usage(format!("the service account's private key {kind}")).hint(advice)
}

#[cfg(test)]
mod tests {
    use base64::prelude::BASE64_STANDARD;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::rsa::Rsa;
    use openssl::symm::Cipher;

    use super::*;

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("PEM is ASCII")
    }

    /// Returns an RSA key in PKCS #8 and in PKCS #1.
    fn rsa() -> (PKey<Private>, String, String) {
        let rsa = Rsa::generate(2048).expect("a key");
        let old = text(rsa.private_key_to_pem().expect("PEM"));
        let key = PKey::from_rsa(rsa).expect("a key");
        let new = text(key.private_key_to_pem_pkcs8().expect("PEM"));
        (key, new, old)
    }

    #[test]
    fn every_shape_of_one_rsa_key_is_accepted() {
        let (key, pem, old) = rsa();
        let body: String = pem.lines().filter(|line| !line.contains('-')).collect();
        let breaks = |with: &str| pem.replace('\n', with);
        let shapes = [
            ("as it is", pem.clone()),
            ("PKCS #1", old.clone()),
            ("PKCS #1 on one line", old.replace('\n', "\\n")),
            ("escaped", breaks("\\n")),
            ("escaped twice", breaks("\\\\n")),
            ("escaped four times", breaks("\\\\\\\\n")),
            ("escaped, of Windows", breaks("\\r\\n")),
            ("of Windows", breaks("\r\n")),
            ("of an old Mac", breaks("\r")),
            ("spaces for line breaks", breaks(" ")),
            ("nothing for line breaks", breaks("")),
            ("a backslash at the end of each line", breaks("\\\n")),
            ("quoted", format!("\"{pem}\"")),
            ("quoted and escaped", format!("\"{}\"", breaks("\\n"))),
            (
                "quoted with a comma after it",
                format!("\"{}\",", breaks("\\n")),
            ),
            ("quoted like a shell", format!("'{pem}'")),
            ("quoted twice", format!("'\"{pem}\"'")),
            (
                "escaped equals signs",
                breaks("\\n").replace('=', "\\u003d"),
            ),
            ("indented", breaks("\n    ")),
            ("a byte order mark", format!("\u{feff}{pem}")),
            ("with its name", format!("private_key: {pem}")),
            ("in base64", BASE64_STANDARD.encode(&pem)),
            ("in base64 of the web", BASE64_URL_SAFE_NO_PAD.encode(&pem)),
            (
                "quoted in base64",
                format!("\"{}\"\n", BASE64_STANDARD.encode(&pem)),
            ),
            ("escaped in base64", BASE64_STANDARD.encode(breaks("\\n"))),
            ("PKCS #1 in base64", BASE64_STANDARD.encode(&old)),
            (
                "without its last line",
                pem.replace("-----END PRIVATE KEY-----", ""),
            ),
            (
                "without its first line",
                pem.replace("-----BEGIN PRIVATE KEY-----", ""),
            ),
            ("without both", body.clone()),
            ("without both, quoted", format!("\"{body}\"")),
            ("four dashes", pem.replace("-----", "----")),
            (
                "after a certificate",
                format!("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n{pem}"),
            ),
        ];
        for (name, shape) in shapes {
            let parsed = parse(&shape).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            assert!(parsed.public_eq(&key), "{name}");
        }
    }

    #[test]
    fn what_is_no_rsa_key_is_named_and_not_quoted() {
        let (key, pem, old) = rsa();
        let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
        let ec = EcKey::generate(&curve).expect("a key");
        let ec_old = text(ec.private_key_to_pem().expect("PEM"));
        let ec_key = PKey::from_ec_key(ec).expect("a key");
        let ec_new = text(ec_key.private_key_to_pem_pkcs8().expect("PEM"));
        let cipher = Cipher::aes_128_cbc();
        let encrypted = key
            .private_key_to_pem_pkcs8_passphrase(cipher, b"hush")
            .expect("PEM");
        let old_encrypted = key
            .rsa()
            .and_then(|rsa| rsa.private_key_to_pem_passphrase(cipher, b"hush"));
        let public = text(key.public_key_to_pem().expect("PEM"));
        let public_body: String = public.lines().filter(|line| !line.contains('-')).collect();
        let cut = |at: usize| pem[..at].to_owned();
        let shapes = [
            (ec_new, "is an EC key"),
            (ec_old, "is an EC key"),
            (text(encrypted), "is encrypted"),
            (text(old_encrypted.expect("PEM")), "is encrypted"),
            (public, "is a public key"),
            (public_body, "is a public key"),
            (
                "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n".to_owned(),
                "is a certificate",
            ),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----\n"
                    .to_owned(),
                "of SSH",
            ),
            (
                "-----BEGIN EC PARAMETERS-----\nBggq\n-----END EC PARAMETERS-----\n".to_owned(),
                "another kind",
            ),
            (cut(400), "is truncated"),
            (cut(401), "is truncated"),
            (cut(402), "is truncated"),
            (cut(403), "is truncated"),
            (old[..800].to_owned(), "is truncated"),
            (
                format!("{}\n-----END PRIVATE KEY-----\n", cut(700)),
                "is truncated",
            ),
            ("-----BEGIN PRIVATE KEY-----\n".to_owned(), "is truncated"),
            (pem.replace("MII", "M!I"), "is damaged"),
            (pem.replacen("MII", "MII....", 1), "is damaged"),
            ("{\"type\": \"service_account\"}".to_owned(), "is JSON"),
            (
                BASE64_STANDARD.encode("{\"type\": \"service_account\"}"),
                "is JSON",
            ),
            ("hush".to_owned(), "is not an RSA key"),
            ("/run/secrets/key.pem".to_owned(), "is damaged"),
        ];
        for (shape, reason) in shapes {
            let error = parse(&shape).expect_err(reason);
            let said = format!("{error:#} {error:?} {:?}", error.hints());
            assert!(error.to_string().contains(reason), "{reason}: {said}");
            assert!(!error.hints().is_empty(), "{said}");
            let lines = shape.split(['\n', ' ']).filter(|line| line.len() > 40);
            assert!(
                lines.chain(["hush"]).all(|line| !said.contains(line)),
                "{said}"
            );
        }
    }
}
