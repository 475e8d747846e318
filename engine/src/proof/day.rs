//! The root of a day: what the venue signs.

use super::{Hash, NotCanonical, PublicKey, Signature, SigningKey};
use crate::canonical::{canonical, sha256, unhex};
use crate::fund::hex;
use crate::id::Millis;
use ed25519_dalek::Signer;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// Tells a signature of a day root from any other.
const PURPOSE: &str = "backstop/day-root/1\n";

/// Where the ledger of an asset stands at the end of a day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LedgerHead {
    /// The asset.
    pub asset: SmolStr,
    /// The number of its last entry.
    pub last_entry: u64,
    /// The hash of that entry, in lower-case hex.
    pub last_hash: String,
}

/// What a day comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DayRoot {
    /// The UTC day, as `2025-10-10`.
    pub day: String,
    /// How many receipts it has.
    pub leaves: u64,
    /// The root of their tree.
    pub root: Hash,
    /// The ledgers that have an entry, by the name of the asset.
    pub ledger: Vec<LedgerHead>,
    /// [`DayRoot::hash`] of the day before that has a root; zeros on the first.
    pub previous_root: Hash,
}

impl DayRoot {
    /// The bytes that are signed and hashed, see [`super`].
    fn signed_bytes(&self) -> String {
        // A root is strings and whole numbers: it can always be written.
        let text = serde_json::to_value(self).ok().and_then(|value| canonical(&value)).unwrap_or_default();
        format!("{PURPOSE}{text}")
    }

    /// Its own hash, which the next day's root holds.
    pub fn hash(&self) -> Hash {
        Hash(sha256(self.signed_bytes().as_bytes()))
    }
}

/// Signs the root of a day.
pub fn sign(root: &DayRoot, key: &SigningKey) -> Signature {
    key.sign(root.signed_bytes().as_bytes())
}

/// Is it the signature of this root by this key? Strict: no other signature of the same root passes.
pub fn verify(root: &DayRoot, signature: &Signature, key: &PublicKey) -> bool {
    key.verify_strict(root.signed_bytes().as_bytes(), signature).is_ok()
}

/// The root of a day with its signature, as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRoot {
    /// The root.
    pub root: DayRoot,
    /// Ed25519, in lower-case hex.
    pub signature: String,
    /// The public key, in lower-case hex.
    pub key: String,
}

impl SignedRoot {
    /// Signs a root.
    pub fn new(root: DayRoot, key: &SigningKey) -> Self {
        let signature = hex(&sign(&root, key).to_bytes());
        Self { root, signature, key: hex(key.verifying_key().as_bytes()) }
    }

    /// Its signature; none when it is not one.
    pub fn signature(&self) -> Option<Signature> {
        unhex::<64>(&self.signature).map(|bytes| Signature::from_bytes(&bytes))
    }

    /// Is it signed by this key, and does it say so?
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        self.key == hex(key.as_bytes()) && self.signature().is_some_and(|signature| verify(&self.root, &signature, key))
    }
}

/// A public key from its 64 digits of lower-case hex; none when they are not one.
pub fn read_public_key(text: &str) -> Option<PublicKey> {
    PublicKey::from_bytes(&unhex(text)?).ok()
}

/// A signing key from its secret 32 bytes as 64 digits of lower-case hex.
pub fn read_signing_key(text: &str) -> Option<SigningKey> {
    unhex(text).map(|bytes| SigningKey::from_bytes(&bytes))
}

/// A document as its canonical line, without the line feed.
pub(super) fn line_of(value: &impl Serialize) -> Result<String, NotCanonical> {
    serde_json::to_value(value).ok().and_then(|value| canonical(&value)).ok_or(NotCanonical)
}

/// The UTC day of a time, as `2025-10-10`; days have 86,400,000 milliseconds, as Unix time counts them.
///
/// Shape: the proleptic Gregorian calendar by eras of 400 years (146,097 days), counted from 1 March of the year 0.
pub fn day_of(time: Millis) -> String {
    let parts = |value: u64, by: u64| (value.checked_div(by).unwrap_or(0), value.checked_rem(by).unwrap_or(0));
    // 719,468 days from 0000-03-01 to 1970-01-01.
    let days = parts(time, 86_400_000).0.saturating_add(719_468);
    let (era, day) = parts(days, 146_097);
    // Less the leap days so far: one in 4 years, but in 100, but in 400.
    let leaps = parts(day, 1_460).0.saturating_add(parts(day, 146_096).0).saturating_sub(parts(day, 36_524).0);
    let year = parts(day.saturating_sub(leaps), 365).0;
    let before = year.saturating_mul(365).saturating_add(parts(year, 4).0).saturating_sub(parts(year, 100).0);
    let day = day.saturating_sub(before);
    // Months from March on have 153 days in five.
    let month = parts(day.saturating_mul(5).saturating_add(2), 153).0;
    let first = parts(month.saturating_mul(153).saturating_add(2), 5).0;
    let day = day.saturating_sub(first).saturating_add(1);
    let (month, next) = if month < 10 { (month.saturating_add(3), 0) } else { (month.saturating_sub(9), 1) };
    let year = era.saturating_mul(400).saturating_add(year).saturating_add(next);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Is it written as [`day_of`] writes a day of the years 0000 to 9999, the calendar aside?
pub(super) fn is_day(text: &str) -> bool {
    let digit = |place: usize, byte: u8| if place == 4 || place == 7 { byte == b'-' } else { byte.is_ascii_digit() };
    text.len() == 10 && text.bytes().enumerate().all(|(place, byte)| digit(place, byte))
}
