//! Answers to public reads, as long as nothing has happened since: any number of readers cost the engine one question.

use actix_web::http::header::HeaderValue;
use actix_web::web::Bytes;
use backstop_engine::id::Seq;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Most answers that are remembered, and their most bytes together.
const ANSWERS_MAX: usize = 4_096;
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Remembered {
    pub(super) seq: Seq,
    pub(super) kind: HeaderValue,
    pub(super) body: Bytes,
}

#[derive(Default)]
struct Shelf {
    by_target: BTreeMap<String, Remembered>,
    bytes: usize,
}

/// What has been answered. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Remembering(Arc<Mutex<Shelf>>);

impl Remembering {
    /// The answer to a target, if it is not older than this.
    pub(super) fn get(&self, target: &str, seq: Seq) -> Option<Remembered> {
        let shelf = self.0.lock().ok()?;
        shelf.by_target.get(target).filter(|found| found.seq >= seq).cloned()
    }

    /// Remembers an answer, and forgets all when there are too many.
    pub(super) fn put(&self, target: String, answer: Remembered) {
        let Ok(mut shelf) = self.0.lock() else { return };
        let size = answer.body.len();
        if shelf.by_target.len() >= ANSWERS_MAX || shelf.bytes.saturating_add(size) > BYTES_MAX {
            *shelf = Shelf::default();
        }
        let before = shelf.by_target.insert(target, answer).map_or(0, |old| old.body.len());
        shelf.bytes = shelf.bytes.saturating_sub(before).saturating_add(size);
    }
}
