//! A segment: one file of the journal, named by the number of its first batch. Version 1:
//!
//! ```text
//!  0  mark "BSTPJRNL"      16  number of its first batch       32  hash of the record before (32)
//!  8  version (2)          24  last sequence number before     64  SHA-256 of everything above (32)
//! 10  zero (6)                                                 96  records
//! ```

use super::record::{self, Hash, Kind, Position, Record, Unsound};
use sha2::{Digest, Sha256};

/// The version that is written.
pub const VERSION: u16 = 1;

const MARK: [u8; 8] = *b"BSTPJRNL";
const SUMMED: usize = 64;

/// Where records begin.
pub(super) const HEAD: usize = 96;

/// The ending of segments.
pub(super) const ENDING: &str = "journal";

/// The name of the segment that begins after a position.
pub(super) fn name(before: &Position) -> String {
    format!("{:020}.{ENDING}", before.batch.saturating_add(1))
}

/// The number of the first batch in the segment of a name; none for other files.
pub(super) fn first_batch(name: &str) -> Option<u64> {
    name.strip_suffix(ENDING)?.strip_suffix('.')?.parse().ok()
}

/// What is wrong with a segment, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The file does not begin as a segment does.
    #[error("the file does not begin as a segment does")]
    Head,
    /// It was written by a newer version.
    #[error("it is in version {0} of the journal; this program reads versions up to {VERSION}")]
    Newer(u16),
    /// A record is not sound.
    #[error("a record is not sound: {0}")]
    Record(#[from] Unsound),
    /// A record does not follow the one before.
    #[error("a record does not follow the one before it")]
    Chain,
}

/// Writes the head of the segment that begins after a position.
pub(super) fn head(before: &Position) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEAD);
    bytes.extend_from_slice(&MARK);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&[0; 6]);
    bytes.extend_from_slice(&before.batch.saturating_add(1).to_le_bytes());
    bytes.extend_from_slice(&before.seq.to_le_bytes());
    bytes.extend_from_slice(&before.hash);
    let sum: Hash = Sha256::digest(&bytes).into();
    bytes.extend_from_slice(&sum);
    bytes
}

fn read_head(bytes: &[u8]) -> Result<Position, Damage> {
    let (summed, rest) = bytes.split_at_checked(SUMMED).ok_or(Damage::Head)?;
    let sum: Hash = Sha256::digest(summed).into();
    let number = |at: usize| summed.get(at..).and_then(|rest| rest.first_chunk::<8>()).map(|n| u64::from_le_bytes(*n));
    if !summed.starts_with(&MARK) || rest.first_chunk::<32>() != Some(&sum) {
        return Err(Damage::Head);
    }
    match summed.get(8..).and_then(|rest| rest.first_chunk::<2>()).map(|version| u16::from_le_bytes(*version)) {
        Some(VERSION) => {}
        Some(newer) if newer > VERSION => return Err(Damage::Newer(newer)),
        _ => return Err(Damage::Head),
    }
    let hash = summed.get(32..).and_then(|rest| rest.first_chunk::<32>()).copied();
    let (first, seq, hash) = number(16).zip(number(24)).zip(hash).map(|((a, b), c)| (a, b, c)).ok_or(Damage::Head)?;
    Ok(Position { batch: first.checked_sub(1).ok_or(Damage::Head)?, hash, seq })
}

/// Reads the records of a segment one after another.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    last: Position,
    sealed: bool,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// A record, and where it begins.
    Record(usize, Record<'a>),
    /// Nothing: the segment ends here.
    End,
    /// What is here is no record, and none follows: a write that was under way when everything stopped.
    Torn(usize, Damage),
    /// What is here is no record, but sound ones follow.
    Bad(usize, Damage),
}

impl<'a> Reader<'a> {
    /// Begins to read.
    ///
    /// # Errors
    /// [`Damage::Head`], [`Damage::Newer`].
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, Damage> {
        Ok(Self { bytes, at: HEAD, last: read_head(bytes)?, sealed: false })
    }

    /// Where the journal stands after what has been read.
    pub(super) fn position(&self) -> Position {
        self.last
    }

    /// Was the last record a seal?
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Reads on.
    pub(super) fn next(&mut self) -> Next<'a> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Next::End;
        }
        let at = self.at;
        match record::decode(rest) {
            Ok((record, taken)) if self.follows(&record) => {
                self.at = self.at.saturating_add(taken);
                self.last = record.position;
                self.sealed = record.kind == Kind::Seal;
                Next::Record(at, record)
            }
            // Its bytes are sound, so this is no torn write: another record has been here, or is missing.
            Ok(_) => Next::Bad(at, Damage::Chain),
            Err(unsound) => match record::next_sound(rest) {
                Some(_) => Next::Bad(at, unsound.into()),
                None => Next::Torn(at, unsound.into()),
            },
        }
    }

    fn follows(&self, record: &Record<'_>) -> bool {
        record.before == self.last.hash
            && Some(record.position.batch) == self.last.batch.checked_add(1)
            && Some(record.first) == self.last.seq.checked_add(1)
            && record.position.seq >= self.last.seq
    }
}
