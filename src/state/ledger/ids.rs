//! The keys of users and the hashes of tokens in the ledger: short, comparable, and a token cannot be recovered.

use std::fmt;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::csv_writer::hex;
use crate::error::{Error, ErrorKind, Result};

const UUID_LENGTH: usize = 16;

/// The key of a user: the 16 bytes of a UUID, so that its spelling does not matter; any other id as text, padded with
/// zero bytes to at least 17 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserKey(Box<[u8]>);

impl UserKey {
    /// Returns the key of an id from a file. Only the hyphenated form counts as a UUID.
    pub fn of(id: &str) -> Self {
        if let Some(uuid) = hyphenated(id) {
            return Self(uuid.as_bytes().as_slice().into());
        }
        let mut bytes = id.as_bytes().to_vec();
        bytes.resize(bytes.len().max(UUID_LENGTH + 1), 0);
        Self(bytes.into())
    }

    /// Returns the UUID, if the id is one.
    pub fn uuid(&self) -> Option<Uuid> {
        Uuid::from_slice(&self.0).ok()
    }

    pub(in crate::state) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(in crate::state) fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<Uuid> for UserKey {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.as_bytes().as_slice().into())
    }
}

/// Writes the id; a UUID in lower case.
impl fmt::Display for UserKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.uuid() {
            Some(uuid) => uuid.fmt(out),
            None => out.write_str(String::from_utf8_lossy(&self.0).trim_end_matches('\0')),
        }
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// Parses the hyphenated form of a UUID, the only one that every history accepts.
pub(crate) fn hyphenated(id: &str) -> Option<Uuid> {
    (id.len() == 36).then(|| Uuid::try_parse(id).ok()).flatten()
}

/// The first half of a token's SHA-256.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash([u8; 16]);

impl TokenHash {
    /// Hashes a token.
    pub fn of(token: &str) -> Self {
        let digest = Sha256::digest(token.as_bytes());
        let mut half = [0; 16];
        half.copy_from_slice(&digest[..16]);
        Self(half)
    }

    pub(in crate::state) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(in crate::state) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        bytes.try_into().map(Self).map_err(|_| {
            Error::new(
                ErrorKind::Failed,
                "the ledger contains a token hash of a wrong length",
            )
        })
    }
}

/// Writes it in hexadecimal, like `left(encode(sha256(convert_to(token, 'UTF8')), 'hex'), 32)` in PostgreSQL.
impl fmt::Display for TokenHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_spelling_of_a_uuid_does_not_matter() {
        let lower = UserKey::of("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        assert_eq!(lower, UserKey::of("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"));
        assert_eq!(lower.to_string(), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
        assert!(
            UserKey::of("a0eebc999c0b4ef8bb6d6bb9bd380a11")
                .uuid()
                .is_none()
        );
    }

    #[test]
    fn a_token_cannot_be_read_back() {
        let hash = TokenHash::of("token-of-alice");
        assert_eq!(hash.bytes().len(), 16);
        assert!(!format!("{hash:?}").contains("alice"));
    }

    proptest! {
        #[test]
        fn different_ids_have_different_keys_and_come_back_as_they_were(a in "[^\\x00]{0,40}", b in "[^\\x00]{0,40}") {
            prop_assert_eq!(UserKey::of(&a) == UserKey::of(&b), a == b);
            prop_assert_eq!(UserKey::of(&a).to_string(), a);
        }
    }
}
