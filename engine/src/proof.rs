//! What anyone can check without trusting the venue: the ledger's chain of hashes, a signed root for each day, and that a
//! receipt is under it.
//!
//! In: the records of a day, and the venue's key. Out: roots, signatures, proofs, and what an export says about itself. All
//! of it is a function of its input; keys are made elsewhere.
//!
//! | file | what it decides |
//! |---|---|
//! | `day` | the root of a day and its signature |
//! | `tree` | the tree of a day's receipts, and proofs of inclusion |
//! | `export` | how an export is written |
//! | `verify` | whether an export holds, and the first line that does not |
//!
//! # Canonical forms
//!
//! * An entry of the ledger is what [`crate::fund::entry_hash`] covers; each entry holds the hash of the one before.
//! * A receipt is a JSON object with a string `id`. Its digest is SHA-256 of its canonical JSON ([`crate::canonical`]), and
//!   that digest is the leaf.
//! * The tree is that of RFC 6962 (leaves and nodes are hashed apart, so neither passes for the other), over the receipts of
//!   one UTC day in the order of their ids' bytes. Without receipts the root is SHA-256 of nothing.
//! * A day root is signed with Ed25519 over `backstop/day-root/1`, a line feed, and its canonical JSON. Its own hash, which
//!   the next day holds, is SHA-256 of the same bytes.

mod day;
mod export;
mod tree;
mod verify;

#[cfg(test)]
mod tests;

pub use day::{DayRoot, LedgerHead, SignedRoot, day_of, read_public_key, read_signing_key, sign, verify};
pub use export::{FORMAT, Header, Opening, Record, Writer};
pub use tree::{DayTree, Inclusion, NotIncluded, receipt_digest, verify_inclusion};
pub use verify::{Fault, FaultKind, LINE_MAX, Summary, verify_export};

pub use ed25519_dalek::{Signature, SigningKey, VerifyingKey as PublicKey};

use crate::canonical::unhex;
use crate::fund::hex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A SHA-256 hash; in JSON as 64 digits of lower-case hex.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for Hash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        unhex(&text).map(Self).ok_or_else(|| serde::de::Error::custom("not 64 digits of lower-case hex"))
    }
}

/// A record cannot be written: it holds a number that is not whole, or a receipt has no `id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record has no canonical form")]
pub struct NotCanonical;
