//! Histories of what the engine makes of scenarios.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::unwrap_used)]

use crate::venue::{files, read};
use backstop_actors::history::{History, Reader};
use backstop_engine::command::Envelope;
use backstop_engine::event::Event;
use backstop_engine::flow::EntryOutcome;
use backstop_engine::reference::{Options, Reference};
use std::path::Path;

/// What the engine makes of commands.
pub(crate) struct Played {
    pub(crate) engine: Reference,
    pub(crate) entries: Vec<EntryOutcome>,
}

pub(crate) fn play(commands: &[Envelope]) -> Played {
    let mut engine = Reference::new(Options::default());
    let mut entries = Vec::new();
    for envelope in commands {
        entries.extend(engine.submit(&envelope.command, envelope.time.unwrap()));
    }
    Played { engine, entries }
}

/// Every scenario, one after the other; their times do not run backwards within each.
pub(crate) fn scenarios() -> Vec<Played> {
    files().iter().map(|path| play(&read(&std::fs::read_to_string(path).unwrap()))).collect()
}

pub(crate) fn opened(path: &Path, played: &Played) -> History {
    let mut history = History::open(path).unwrap();
    history.know(played.engine.admission().rules());
    history
}

pub(crate) fn written(path: &Path, played: &Played) -> Reader {
    let mut history = opened(path, played);
    for entry in &played.entries {
        history.take(entry.seq, &entry.events).unwrap();
    }
    history.commit().unwrap();
    Reader::open(path).unwrap()
}

pub(crate) fn events(played: &Played) -> impl Iterator<Item = &Event> {
    played.entries.iter().flat_map(|entry| &entry.events)
}
