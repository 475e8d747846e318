//! A snapshot as bytes. Version 2, all numbers little endian:
//!
//! ```text
//!  0  mark "BSTPSNAP"     16  length of the head (8)     24  head, core, producers, accounts
//!  8  version (2)                                            SHA-256 of everything above (32)
//! 10  zero (6)
//! ```
//!
//! Version 1 lacked what is planned of the rules, which ends the core now, and was taken when fewer events were counted: a
//! state that went on from it would number its events twice. It is passed over, and the journal replayed.
//!
//! Head, core and producers are what `postcard` writes of them; accounts as `backstop_engine::snapshot` says.

use super::{Image, SnapshotError};
use crate::gateway::KeptProducer;
use crate::journal::{Hash, Position};
use backstop_engine::margin::Account;
use backstop_engine::snapshot::{Core, hash_accounts, read_accounts};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The version that is written.
pub const VERSION: u16 = 2;

const MARK: [u8; 8] = *b"BSTPSNAP";
const START: usize = 24;
const SUM: usize = 32;

/// What comes first: what is in the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stated {
    position: Position,
    state_hash: String,
    accounts: u64,
    core_bytes: u64,
    producers_bytes: u64,
    accounts_bytes: u64,
}

/// The parts that come before the accounts.
pub struct Head {
    stated: Stated,
    core: Vec<u8>,
    producers: Vec<u8>,
}

impl Head {
    pub(super) fn state_hash(&self) -> String {
        self.stated.state_hash.clone()
    }

    pub(super) fn accounts(&self) -> u64 {
        self.stated.accounts
    }
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Writes what comes before the accounts, and takes the state hash.
pub(super) fn head(image: &Image, producers: &[KeptProducer]) -> Result<Head, SnapshotError> {
    let written = |bytes: Result<Vec<u8>, postcard::Error>| bytes.map_err(|_| SnapshotError::Form);
    let (core, producers) = (written(postcard::to_stdvec(&image.core))?, written(postcard::to_stdvec(producers))?);
    let (mut hash, mut accounts) = (image.core.state_hash(), 0_u64);
    for part in &image.accounts {
        let (part, count) = hash_accounts(part).map_err(|_| SnapshotError::Form)?;
        hash.merge(part);
        accounts = accounts.saturating_add(count);
    }
    let stated = Stated {
        position: image.position,
        state_hash: hash.text(),
        accounts,
        core_bytes: size(core.len()),
        producers_bytes: size(producers.len()),
        accounts_bytes: size(image.accounts.iter().map(Vec::len).sum()),
    };
    Ok(Head { stated, core, producers })
}

/// Writes a snapshot, piece by piece.
///
/// # Errors
/// The first error of `write`.
pub fn encode(head: &Head, image: &Image, mut write: impl FnMut(&[u8]) -> std::io::Result<()>) -> std::io::Result<()> {
    let stated = postcard::to_stdvec(&head.stated).map_err(std::io::Error::other)?;
    let mut start = Vec::with_capacity(START);
    start.extend_from_slice(&MARK);
    start.extend_from_slice(&VERSION.to_le_bytes());
    start.extend_from_slice(&[0; 6]);
    start.extend_from_slice(&size(stated.len()).to_le_bytes());
    let mut sum = Sha256::new();
    let pieces = [&start, &stated, &head.core, &head.producers].into_iter().chain(&image.accounts);
    for piece in pieces {
        sum.update(piece);
        write(piece)?;
    }
    write(&sum.finalize())
}

/// What a snapshot holds.
pub struct Contents {
    /// Where the journal stood.
    pub position: Position,
    /// The hash of the state.
    pub state_hash: String,
    /// Everything but the accounts.
    pub core: Core,
    /// What producers have been answered.
    pub producers: Vec<KeptProducer>,
    /// The accounts.
    pub accounts: Vec<Account>,
}

/// Why bytes are no snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// They are no snapshot, or end too early.
    #[error("the file is not a whole snapshot")]
    Form,
    /// Their checksum is another.
    #[error("its checksum does not match")]
    Sum,
    /// They were written by a version that counted events in another way.
    #[error("it is in version {0} of snapshots, which counted fewer events")]
    Older(u16),
    /// They were written by a newer version.
    #[error("it is in version {0} of snapshots; this program reads versions up to {VERSION}")]
    Newer(u16),
}

/// Reads a snapshot.
///
/// # Errors
/// [`Fault`].
pub fn decode(bytes: &[u8]) -> Result<Contents, Fault> {
    let (summed, stated_sum) = bytes.split_at_checked(bytes.len().saturating_sub(SUM)).ok_or(Fault::Form)?;
    let (start, rest) = summed.split_at_checked(START).ok_or(Fault::Form)?;
    if !start.starts_with(&MARK) {
        return Err(Fault::Form);
    }
    let sum: Hash = Sha256::digest(summed).into();
    if stated_sum != sum {
        return Err(Fault::Sum);
    }
    let version = start.get(8..).and_then(|rest| rest.first_chunk::<2>()).map(|version| u16::from_le_bytes(*version));
    match version {
        Some(VERSION) => {}
        Some(older) if older < VERSION => return Err(Fault::Older(older)),
        Some(newer) => return Err(Fault::Newer(newer)),
        None => return Err(Fault::Form),
    }
    let length = start.get(16..).and_then(|rest| rest.first_chunk::<8>()).map(|length| u64::from_le_bytes(*length));
    let mut rest = rest;
    let mut piece = |length: u64| {
        let (piece, after) = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length))?;
        rest = after;
        Some(piece)
    };
    let stated: Stated =
        length.and_then(&mut piece).and_then(|head| postcard::from_bytes(head).ok()).ok_or(Fault::Form)?;
    let core = piece(stated.core_bytes).and_then(|core| postcard::from_bytes(core).ok()).ok_or(Fault::Form)?;
    let producers = piece(stated.producers_bytes);
    let producers = producers.and_then(|found| postcard::from_bytes(found).ok()).ok_or(Fault::Form)?;
    let accounts = piece(stated.accounts_bytes).and_then(|found| read_accounts(found).ok()).ok_or(Fault::Form)?;
    let Stated { position, state_hash, .. } = stated;
    Ok(Contents { position, state_hash, core, producers, accounts })
}
