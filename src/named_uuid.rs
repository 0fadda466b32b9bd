//! UUIDs that are made from a name: the same name gives the same one, in every process.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// Returns the UUID (version 8) of a name.
pub(crate) fn named_uuid(name: &str) -> Uuid {
    let digest = Sha256::digest(name.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}
