//! Whether an export holds, line by line; see [`super::export`] for what the lines are.

use super::day::is_day;
use super::export::end_bytes;
use super::tree::{receipt_digest, root_of_leaves};
use super::{FORMAT, Hash, Header, LedgerHead, PublicKey, Signature, SignedRoot, day_of, read_public_key};
use crate::canonical::{canonical, unhex};
use crate::event::{LedgerEntry, Reason};
use crate::fund::{GENESIS, entry_hash, hex};
use crate::id::{AccountId, LiquidationId, Millis, Seq};
use crate::money::Money;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, Read};

/// Most bytes of a line, its line feed included.
pub const LINE_MAX: u64 = 1 << 28;

/// What an export holds, when all of it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The first day.
    pub from: String,
    /// The last day.
    pub to: String,
    /// The key that has signed it, in lower-case hex.
    pub key: String,
    /// Entries of the ledger.
    pub entries: u64,
    /// Receipts under a root.
    pub receipts: u64,
    /// Days with a root.
    pub days: u64,
    /// Entries and receipts after the last root, of a day still open.
    pub open: u64,
    /// Where each ledger stands.
    pub ledger: Vec<LedgerHead>,
    /// The hash of the last day root, or of the one before the export.
    pub last_root: Hash,
}

/// The first line that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Fault {
    /// Counts from 1.
    pub line: u64,
    /// The asset and number of the entry, the id of the receipt or the day of the root, once that much is known.
    pub about: Option<String>,
    /// What is wrong.
    pub kind: FaultKind,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.about {
            Some(about) => write!(formatter, "line {}, {about}: {}", self.line, self.kind),
            None => write!(formatter, "line {}: {}", self.line, self.kind),
        }
    }
}

/// What can be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultKind {
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// The export ends before its last line, or within a line.
    #[error("the export ends here, without its last line")]
    Truncated,
    /// Something follows the last line.
    #[error("something follows the last line")]
    Trailing,
    /// It has more than [`LINE_MAX`] bytes.
    #[error("it has more than {LINE_MAX} bytes")]
    TooLong,
    /// It is not the canonical JSON of anything.
    #[error("it is not canonical JSON")]
    NotCanonical,
    /// It is canonical JSON, but not a line of an export in its place.
    #[error("it is no line of an export here: {0}")]
    Form(String),
    /// It is in a format that this program does not read.
    #[error("it is in format {0}; this program reads format {FORMAT}")]
    Format(u32),
    /// An entry of an asset that the first line does not name.
    #[error("the first line names no such asset")]
    UnknownAsset,
    /// Entries are missing, or out of order.
    #[error("entry {0} should follow")]
    MissingEntry(u64),
    /// An entry does not hold the hash of the one before.
    #[error("the hash of the entry before is another")]
    BrokenChain,
    /// An entry does not have the hash it says.
    #[error("it does not have the hash it says")]
    WrongHash,
    /// A balance is not the one before and the amount.
    #[error("the balance is not the one before and the amount, {0}")]
    WrongBalance(String),
    /// Cash left for no shortfall, or came in as one, or a pool is below zero.
    #[error("an amount of this sign has another reason, or the pool is below zero")]
    WrongReason,
    /// A receipt stands twice, or out of order.
    #[error("its id does not come after that of the receipt before")]
    ReceiptOrder,
    /// The root is of an earlier day, or of one that the first line excludes, or an entry before it is of another day.
    #[error("an entry or a root is out of its day")]
    WrongDay,
    /// The root does not hold the hash of the one before.
    #[error("the hash of the root before is another")]
    WrongPrevious,
    /// The receipts are not as many as the root says.
    #[error("the day has {0} receipts here")]
    MissingReceipt(u64),
    /// The receipts do not have this root.
    #[error("the receipts have another root, {0}")]
    WrongRoot(Hash),
    /// The ledgers do not stand where the root says.
    #[error("the ledgers stand elsewhere")]
    WrongLedger,
    /// It is signed by another key than the one asked for, or than the lines before.
    #[error("it is signed by another key")]
    WrongKey,
    /// The signature is not that of the key.
    #[error("the signature is not that of the key")]
    WrongSignature,
    /// The bytes before the last line are not those that were signed.
    #[error("the lines before it are not those that were signed")]
    WrongBytes,
}

/// Reads an export to its end and checks all of it; `key` is the venue's, known from elsewhere. Without one the export is
/// only shown to be what whoever signed it says, see [`Summary::key`].
///
/// # Errors
/// [`Fault`]: the first line that does not hold.
pub fn verify_export(mut reader: impl BufRead, key: Option<&PublicKey>) -> Result<Summary, Fault> {
    let mut state = State { key: key.map(|key| hex(key.as_bytes())), ..State::default() };
    let mut line = Vec::new();
    loop {
        let number = state.line.saturating_add(1);
        let fault = |kind| Fault { line: number, about: None, kind };
        line.clear();
        let read = reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line);
        let read = read.map_err(|error| fault(FaultKind::Unreadable(error.to_string())))?;
        match (state.ended, line.pop()) {
            (true, None) => return Ok(state.summary()),
            (true, Some(_)) => return Err(fault(FaultKind::Trailing)),
            (false, Some(b'\n')) => {}
            (false, Some(_)) if u64::try_from(read).is_ok_and(|read| read >= LINE_MAX) => {
                return Err(fault(FaultKind::TooLong));
            }
            (false, _) => return Err(fault(FaultKind::Truncated)),
        }
        let mut about = None;
        state.take(&line, &mut about).map_err(|kind| Fault { line: number, about, kind })?;
    }
}

/// The ledger of one asset so far.
#[derive(Debug, Clone)]
struct Chain {
    last_entry: u64,
    last_hash: String,
    pools: BTreeMap<SmolStr, Money>,
}

/// What has been read.
#[derive(Default)]
struct State {
    line: u64,
    hasher: Sha256,
    key: Option<String>,
    header: Option<Header>,
    chains: BTreeMap<SmolStr, Chain>,
    /// Of the open day: when its entries were, and its receipts.
    days: Vec<String>,
    leaves: Vec<Hash>,
    last_id: Option<String>,
    last_day: Option<String>,
    last_root: Hash,
    entries: u64,
    receipts: u64,
    roots: u64,
    open: u64,
    ended: bool,
}

/// A ledger entry as the API shows it. It is written again to see that it has no other form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    #[serde(rename = "type")]
    kind: String,
    seq: u64,
    time: Millis,
    cause: Seq,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rules: Option<Hash>,
    entry: u64,
    asset: SmolStr,
    pool: SmolStr,
    reason: Reason,
    amount: Money,
    balance: Money,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    market: Option<SmolStr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    liquidation: Option<LiquidationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    account: Option<AccountId>,
    previous_hash: String,
    hash: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReceiptLine {
    receipt: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    lines: u64,
    sha256: Hash,
    signature: String,
    key: String,
}

fn form<T: DeserializeOwned>(value: Value) -> Result<T, FaultKind> {
    serde_json::from_value(value).map_err(|error| FaultKind::Form(error.to_string()))
}

impl State {
    fn take(&mut self, line: &[u8], about: &mut Option<String>) -> Result<(), FaultKind> {
        let mut value: Value = serde_json::from_slice(line).map_err(|_| FaultKind::NotCanonical)?;
        if canonical(&value).is_none_or(|text| text.as_bytes() != line) {
            return Err(FaultKind::NotCanonical);
        }
        let kind = value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        if kind != "fund_entry"
            && let Value::Object(fields) = &mut value
        {
            fields.remove("type");
        }
        match (kind.as_str(), self.header.is_some()) {
            ("header", false) => self.header(form(value)?)?,
            ("fund_entry", true) => self.entry(value, about)?,
            ("receipt", true) => self.receipt(&form::<ReceiptLine>(value)?.receipt, about)?,
            ("day_root", true) => self.day(&form(value)?, about)?,
            ("end", true) => self.end(&form(value)?)?,
            _ => return Err(FaultKind::Form(format!("type {kind:?}"))),
        }
        self.line = self.line.saturating_add(1);
        self.hasher.update(line);
        self.hasher.update(b"\n");
        Ok(())
    }

    fn header(&mut self, header: Header) -> Result<(), FaultKind> {
        if header.format != FORMAT {
            return Err(FaultKind::Format(header.format));
        }
        if !is_day(&header.from) || !is_day(&header.to) || header.from > header.to {
            return Err(FaultKind::Form("its days".to_owned()));
        }
        for opening in &header.assets {
            let (last_entry, last_hash) = (opening.last_entry, opening.last_hash.clone());
            let begins = last_entry > 0 || (last_hash == GENESIS && opening.pools.is_empty());
            let follows = self.chains.last_key_value().is_none_or(|(last, _)| *last < opening.asset);
            if !begins || !follows || unhex::<32>(&last_hash).is_none() {
                return Err(FaultKind::Form(format!("the ledger of {}", opening.asset)));
            }
            let chain = Chain { last_entry, last_hash, pools: opening.pools.clone() };
            self.chains.insert(opening.asset.clone(), chain);
        }
        self.last_root = header.previous_root;
        self.header = Some(header);
        Ok(())
    }

    fn entry(&mut self, value: Value, about: &mut Option<String>) -> Result<(), FaultKind> {
        let line: EntryLine = form(value.clone())?;
        *about = Some(format!("entry {} of {}", line.entry, line.asset));
        // Figures have one text each.
        if serde_json::to_value(&line).ok() != Some(value) {
            return Err(FaultKind::NotCanonical);
        }
        let chain = self.chains.get_mut(&line.asset).ok_or(FaultKind::UnknownAsset)?;
        let next = chain.last_entry.saturating_add(1);
        if line.entry != next {
            return Err(FaultKind::MissingEntry(next));
        }
        if line.previous_hash != chain.last_hash {
            return Err(FaultKind::BrokenChain);
        }
        let entry = LedgerEntry {
            entry: line.entry,
            asset: line.asset,
            pool: line.pool,
            reason: line.reason,
            amount: line.amount,
            balance: line.balance,
            market: line.market,
            liquidation: line.liquidation,
            account: line.account,
            previous_hash: line.previous_hash,
            hash: line.hash,
        };
        if entry_hash(&entry, line.cause, line.time) != entry.hash {
            return Err(FaultKind::WrongHash);
        }
        let leaves = entry.reason == Reason::Shortfall;
        if entry.amount.is_zero() || entry.amount.is_negative() != leaves || entry.balance.is_negative() {
            return Err(FaultKind::WrongReason);
        }
        let before = chain.pools.get(&entry.pool).copied().unwrap_or_default();
        match before.plus(entry.amount) {
            Ok(balance) if balance == entry.balance => {}
            Ok(balance) => return Err(FaultKind::WrongBalance(balance.to_string())),
            Err(overflow) => return Err(FaultKind::WrongBalance(overflow.to_string())),
        }
        chain.pools.insert(entry.pool, entry.balance);
        (chain.last_entry, chain.last_hash) = (entry.entry, entry.hash);
        let day = day_of(line.time);
        let late = self.last_day.as_ref().is_some_and(|last| day <= *last);
        let outside = self.header.as_ref().is_some_and(|header| day < header.from || day > header.to);
        if late || outside {
            return Err(FaultKind::WrongDay);
        }
        if self.days.last() != Some(&day) {
            self.days.push(day);
        }
        self.entries = self.entries.saturating_add(1);
        self.open = self.open.saturating_add(1);
        Ok(())
    }

    fn receipt(&mut self, receipt: &Value, about: &mut Option<String>) -> Result<(), FaultKind> {
        let (id, leaf) = receipt_digest(receipt).map_err(|_| FaultKind::Form("a receipt without an id".to_owned()))?;
        *about = Some(format!("receipt {id}"));
        if self.last_id.as_ref().is_some_and(|last| *last >= id) {
            return Err(FaultKind::ReceiptOrder);
        }
        self.last_id = Some(id);
        self.leaves.push(leaf);
        self.open = self.open.saturating_add(1);
        Ok(())
    }

    fn day(&mut self, signed: &SignedRoot, about: &mut Option<String>) -> Result<(), FaultKind> {
        let root = &signed.root;
        *about = Some(format!("day {}", root.day));
        let follows = self.last_day.as_ref().is_none_or(|last| *last < root.day);
        let inside = self.header.as_ref().is_some_and(|header| header.from <= root.day && root.day <= header.to);
        if !is_day(&root.day) || !follows || !inside || self.days.iter().any(|day| *day != root.day) {
            return Err(FaultKind::WrongDay);
        }
        if root.previous_root != self.last_root {
            return Err(FaultKind::WrongPrevious);
        }
        let count = u64::try_from(self.leaves.len()).unwrap_or(u64::MAX);
        if root.leaves != count {
            return Err(FaultKind::MissingReceipt(count));
        }
        let found = root_of_leaves(std::mem::take(&mut self.leaves));
        if root.root != found {
            return Err(FaultKind::WrongRoot(found));
        }
        if root.ledger != self.heads() {
            return Err(FaultKind::WrongLedger);
        }
        let key = self.key(&signed.key)?;
        if !signed.is_signed_by(&key) {
            return Err(FaultKind::WrongSignature);
        }
        self.last_root = root.hash();
        self.last_day = Some(root.day.clone());
        self.last_id = None;
        self.days.clear();
        self.open = 0;
        self.receipts = self.receipts.saturating_add(count);
        self.roots = self.roots.saturating_add(1);
        Ok(())
    }

    fn end(&mut self, end: &EndLine) -> Result<(), FaultKind> {
        let found = Hash(self.hasher.clone().finalize().into());
        if end.lines != self.line || end.sha256 != found {
            return Err(FaultKind::WrongBytes);
        }
        let key = self.key(&end.key)?;
        let signature = unhex::<64>(&end.signature).map(|bytes| Signature::from_bytes(&bytes));
        let signed = end_bytes(end.lines, &end.sha256).map_err(|_| FaultKind::NotCanonical)?;
        let holds = |signature: Signature| key.verify_strict(signed.1.as_bytes(), &signature).is_ok();
        if !signature.is_some_and(holds) {
            return Err(FaultKind::WrongSignature);
        }
        self.ended = true;
        Ok(())
    }

    /// The key that a line names: the one asked for, or that of the first line that is signed.
    fn key(&mut self, named: &str) -> Result<PublicKey, FaultKind> {
        if self.key.get_or_insert_with(|| named.to_owned()) != named {
            return Err(FaultKind::WrongKey);
        }
        read_public_key(named).ok_or(FaultKind::WrongKey)
    }

    fn heads(&self) -> Vec<LedgerHead> {
        let begun = self.chains.iter().filter(|(_, chain)| chain.last_entry > 0);
        let head = |(asset, chain): (&SmolStr, &Chain)| LedgerHead {
            asset: asset.clone(),
            last_entry: chain.last_entry,
            last_hash: chain.last_hash.clone(),
        };
        begun.map(head).collect()
    }

    fn summary(self) -> Summary {
        let ledger = self.heads();
        let (from, to) = self.header.map(|header| (header.from, header.to)).unwrap_or_default();
        Summary {
            from,
            to,
            key: self.key.unwrap_or_default(),
            entries: self.entries,
            receipts: self.receipts,
            days: self.roots,
            open: self.open,
            ledger,
            last_root: self.last_root,
        }
    }
}
