//! How an export is written: one canonical JSON object a line, each line ended by a line feed.
//!
//! | line | fields |
//! |---|---|
//! | first | `type` `header`, `format` 1, `from`, `to` (days, inclusive), `assets` `[{asset, last_entry, last_hash, pools {pool: balance}}]` as they were before the first line, `previous_root` (the hash of the last day root before; zeros when there is none) |
//! | an entry of the ledger | the `fund_entry` event as the API shows it |
//! | a receipt | `type` `receipt`, `receipt`: the document, with its `id` |
//! | the end of a day | `type` `day_root`, `root` `{day, leaves, root, ledger, previous_root}`, `signature`, `key` |
//! | last | `type` `end`, `lines` before it, `sha256` of all bytes before it, `signature`, `key` |
//!
//! Entries and receipts stand before the root of their day and after that of the day before; entries in the order of their
//! numbers, receipts in the order of their ids' bytes; the two may alternate. What comes after the last root belongs to a day
//! that is still open. A complete export begins with `last_entry` 0, [`crate::fund::GENESIS`] and no pools for each asset.
//!
//! The last line is signed with Ed25519 over `backstop/export/1`, a line feed, and the canonical JSON of `lines` and
//! `sha256`: so no byte of an export is without a hash that is signed.

use super::day::line_of;
use super::{Hash, NotCanonical, SignedRoot, SigningKey};
use crate::fund::hex;
use crate::money::Money;
use ed25519_dalek::Signer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// The format that is written.
pub const FORMAT: u32 = 1;
/// Tells a signature of an export from any other.
const PURPOSE: &str = "backstop/export/1\n";

/// The ledger of an asset before an export begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// The asset.
    pub asset: SmolStr,
    /// The number of its last entry; 0 when there is none.
    pub last_entry: u64,
    /// The hash of that entry; [`crate::fund::GENESIS`] when there is none.
    pub last_hash: String,
    /// The balance of each pool after it.
    pub pools: BTreeMap<SmolStr, Money>,
}

impl Opening {
    /// A ledger from its first entry on.
    pub fn empty(asset: impl Into<SmolStr>) -> Self {
        let last_hash = crate::fund::GENESIS.to_owned();
        Self { asset: asset.into(), last_entry: 0, last_hash, pools: BTreeMap::new() }
    }
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: u32,
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// Every asset, by name.
    pub assets: Vec<Opening>,
    /// The hash of the last day root before it.
    pub previous_root: Hash,
}

/// A line between the first and the last.
#[derive(Debug, Clone, Copy)]
pub enum Record<'r> {
    /// An entry of the ledger: the JSON of its `fund_entry` event.
    Entry(&'r Value),
    /// A receipt.
    Receipt(&'r Value),
    /// The end of a day.
    Day(&'r SignedRoot),
}

/// Writes the lines of an export and keeps their hash. It does not check what it is given: [`super::verify_export`] does.
#[derive(Debug, Clone)]
pub struct Writer {
    hasher: Sha256,
    lines: u64,
}

impl Writer {
    /// The first line.
    ///
    /// # Errors
    /// [`NotCanonical`], which a header always is.
    pub fn new(header: &Header) -> Result<(Self, String), NotCanonical> {
        let mut writer = Self { hasher: Sha256::new(), lines: 0 };
        let first = writer.write(&typed("header", header)?)?;
        Ok((writer, first))
    }

    /// The next line.
    ///
    /// # Errors
    /// [`NotCanonical`]; nothing is written then.
    pub fn record(&mut self, record: Record<'_>) -> Result<String, NotCanonical> {
        match record {
            Record::Entry(event) => self.write(event),
            Record::Receipt(receipt) => self.write(&json!({ "type": "receipt", "receipt": receipt })),
            Record::Day(root) => self.write(&typed("day_root", root)?),
        }
    }

    /// The last line.
    ///
    /// # Errors
    /// [`NotCanonical`], which it always is.
    pub fn end(self, key: &SigningKey) -> Result<String, NotCanonical> {
        let signed = end_bytes(self.lines, &Hash(self.hasher.finalize().into()))?;
        let (signature, key) = (hex(&key.sign(signed.1.as_bytes()).to_bytes()), hex(key.verifying_key().as_bytes()));
        let mut end = signed.0;
        if let Value::Object(fields) = &mut end {
            fields.insert("type".to_owned(), "end".into());
            fields.insert("signature".to_owned(), signature.into());
            fields.insert("key".to_owned(), key.into());
        }
        Ok(line_of(&end)? + "\n")
    }

    fn write(&mut self, value: &Value) -> Result<String, NotCanonical> {
        let line = line_of(value)? + "\n";
        self.hasher.update(line.as_bytes());
        self.lines = self.lines.saturating_add(1);
        Ok(line)
    }
}

/// What the last line says of those before it, and the bytes that are signed.
pub(super) fn end_bytes(lines: u64, sha256: &Hash) -> Result<(Value, String), NotCanonical> {
    let said = json!({ "lines": lines, "sha256": sha256 });
    let text = line_of(&said)?;
    Ok((said, format!("{PURPOSE}{text}")))
}

fn typed(kind: &str, value: &impl Serialize) -> Result<Value, NotCanonical> {
    let mut value = serde_json::to_value(value).map_err(|_| NotCanonical)?;
    if let Value::Object(fields) = &mut value {
        fields.insert("type".to_owned(), kind.into());
    }
    Ok(value)
}
