//! One record of the journal as bytes. Version 1, all numbers little endian:
//!
//! ```text
//!  0  mark "BREC"          16  batch number, from 1     48  hash of the record before (32)
//!  4  length of payload    24  first sequence number    80  payload
//!  8  kind (1)             32  last sequence number         hash (32): SHA-256 of everything above
//!  9  zero (7)             40  time of the last command
//! ```
//!
//! The payload of a batch is what `postcard` writes of its commands. A seal has none: it says that the daemon ended in
//! good order, so whatever is damaged before it was safe once. The hash is checksum and chain in one: it covers the hash
//! before it, so no record can be changed, dropped or moved without the next one showing it.

use backstop_engine::command::Command;
use backstop_engine::id::{Millis, Seq};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use smol_str::SmolStr;

/// A SHA-256.
pub type Hash = [u8; 32];

/// Who numbered a command, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    /// The producer.
    pub producer: SmolStr,
    /// Its number.
    pub number: u64,
}

/// What is written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Written {
    /// A command that took the next place in the order.
    Command {
        /// Its time.
        time: Millis,
        /// What it says.
        command: Command,
        /// Who numbered it.
        numbered: Option<Numbered>,
    },
    /// A numbered command that was refused before it took a place: its number is used, and its answer stands.
    Refused {
        /// Who numbered it.
        numbered: Numbered,
        /// The stable code.
        code: SmolStr,
        /// One sentence.
        message: String,
        /// The field.
        field: String,
    },
}

impl Written {
    /// Did it take a place in the order?
    pub fn is_command(&self) -> bool {
        matches!(self, Self::Command { .. })
    }
}

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Commands.
    Batch,
    /// The end of a daemon's life in good order.
    Seal,
}

/// Where the journal stands after a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Position {
    /// The number of the record.
    pub batch: u64,
    /// Its hash.
    pub hash: Hash,
    /// The last sequence number up to it.
    pub seq: Seq,
}

/// A record whose bytes are sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is.
    pub kind: Kind,
    /// Where the journal stands after it.
    pub position: Position,
    /// The first sequence number in it; one more than the last if it has none.
    pub first: Seq,
    /// Time of the last command up to it.
    pub time: Millis,
    /// The hash of the record before it.
    pub before: Hash,
    /// Its payload.
    pub payload: &'a [u8],
}

const MARK: [u8; 4] = *b"BREC";
const HEAD: usize = 80;
const HASH: usize = 32;

/// Bytes of a record around its payload.
pub const FRAME: usize = HEAD + HASH;

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsound {
    /// They end too early.
    #[error("it ends too early")]
    Short,
    /// They do not begin as a record does.
    #[error("it does not begin as a record does")]
    Mark,
    /// Their hash is another.
    #[error("its checksum does not match")]
    Hash,
    /// The kind is unknown.
    #[error("its kind is unknown")]
    Kind,
    /// The payload is not one.
    #[error("its payload cannot be read")]
    Payload,
}

/// Writes a record.
///
/// # Errors
/// [`Unsound::Payload`] when the commands cannot be written or are more than a record holds, 4 GiB.
pub fn encode(
    kind: Kind,
    before: &Position,
    commands: &[Written],
    time: Millis,
) -> Result<(Vec<u8>, Position), Unsound> {
    let count = commands.iter().filter(|written| written.is_command()).count();
    let (first, last) =
        (before.seq.saturating_add(1), before.seq.saturating_add(u64::try_from(count).unwrap_or(u64::MAX)));
    let mut bytes = Vec::with_capacity(FRAME.saturating_add(commands.len().saturating_mul(96)));
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&[u8::from(kind == Kind::Seal), 0, 0, 0, 0, 0, 0, 0]);
    let batch = before.batch.saturating_add(1);
    for number in [batch, first, last, time] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&before.hash);
    if kind == Kind::Batch {
        bytes = postcard::to_extend(commands, bytes).map_err(|_| Unsound::Payload)?;
    }
    let length = u32::try_from(bytes.len().saturating_sub(HEAD)).map_err(|_| Unsound::Payload)?;
    if let Some(place) = bytes.get_mut(4..8) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    let hash: Hash = Sha256::digest(&bytes).into();
    bytes.extend_from_slice(&hash);
    Ok((bytes, Position { batch, hash, seq: last }))
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk::<8>().map(|found| u64::from_le_bytes(*found))
}

fn hash(bytes: &[u8], at: usize) -> Option<Hash> {
    bytes.get(at..)?.first_chunk::<HASH>().copied()
}

/// Reads the record that bytes begin with, and says how many bytes it takes.
///
/// # Errors
/// [`Unsound`].
pub fn decode(bytes: &[u8]) -> Result<(Record<'_>, usize), Unsound> {
    let mark = bytes.first_chunk::<4>().ok_or(Unsound::Short)?;
    if *mark != MARK {
        return Err(Unsound::Mark);
    }
    let length = bytes.get(4..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Unsound::Short)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| Unsound::Short)?;
    let end = HEAD.checked_add(length).ok_or(Unsound::Short)?;
    let (content, rest) = bytes.split_at_checked(end).ok_or(Unsound::Short)?;
    let stated = rest.first_chunk::<HASH>().ok_or(Unsound::Short)?;
    let found: Hash = Sha256::digest(content).into();
    if found != *stated {
        return Err(Unsound::Hash);
    }
    let kind = match content.get(8) {
        Some(0) => Kind::Batch,
        Some(1) => Kind::Seal,
        _ => return Err(Unsound::Kind),
    };
    let read = |at| number(content, at).ok_or(Unsound::Short);
    let record = Record {
        kind,
        position: Position { batch: read(16)?, hash: found, seq: read(32)? },
        first: read(24)?,
        time: read(40)?,
        before: hash(content, 48).ok_or(Unsound::Short)?,
        payload: content.get(HEAD..).unwrap_or_default(),
    };
    Ok((record, end.saturating_add(HASH)))
}

impl Record<'_> {
    /// Its commands.
    ///
    /// # Errors
    /// [`Unsound::Payload`].
    pub fn commands(&self) -> Result<Vec<Written>, Unsound> {
        match self.kind {
            Kind::Seal => Ok(Vec::new()),
            Kind::Batch => postcard::from_bytes(self.payload).map_err(|_| Unsound::Payload),
        }
    }
}

/// Where in damaged bytes a sound record begins again, if one does.
pub fn next_sound(bytes: &[u8]) -> Option<usize> {
    let starts = bytes.windows(MARK.len()).enumerate().skip(1).filter(|(_, window)| **window == MARK);
    starts.map(|(at, _)| at).find(|at| bytes.get(*at..).is_some_and(|rest| decode(rest).is_ok()))
}
