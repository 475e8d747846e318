//! The state hash: equal states have equal hashes, whatever the number of shards.
//!
//! Every part is hashed (SHA-256 over its canonical binary form, in which a decimal has no trailing zeros), and the
//! hashes are added modulo 2^256: a sum does not depend on the order or the place of its terms. Sequence numbers and
//! times of commands are not part of the state, so a refused command leaves the hash as it was.

use ethnum::U256;
use serde::Serialize;
use sha2::{Digest, Sha256};

/// A sum of hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateHash(U256);

impl StateHash {
    /// Adds one part of the state under its name.
    pub fn part(&mut self, name: &str, value: &impl Serialize) {
        // Writing to memory fails for no value of the engine; a part that could not be written must not go unnoticed.
        self.written(name, &postcard::to_stdvec(value).unwrap_or_else(|_| b"unwritable".to_vec()));
    }

    /// Adds one part of the state that has been written down already.
    pub fn written(&mut self, name: &str, bytes: &[u8]) {
        let mut hasher = Sha256::new();
        hasher.update(name.as_bytes());
        hasher.update(b"\n");
        hasher.update(bytes);
        self.0 = self.0.wrapping_add(U256::from_be_bytes(hasher.finalize().into()));
    }

    /// Adds the parts of another sum.
    pub fn merge(&mut self, other: Self) {
        self.0 = self.0.wrapping_add(other.0);
    }

    /// In lower-case hex.
    pub fn text(self) -> String {
        crate::fund::hex(&self.0.to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_parts_does_not_matter_and_their_content_does() {
        let sum = |parts: &[(&str, u32)]| {
            let mut hash = StateHash::default();
            parts.iter().for_each(|(name, value)| hash.part(name, value));
            hash.text()
        };
        assert_eq!(sum(&[("a", 1), ("b", 2)]), sum(&[("b", 2), ("a", 1)]));
        assert_ne!(sum(&[("a", 1), ("b", 2)]), sum(&[("a", 2), ("b", 1)]));
    }
}
