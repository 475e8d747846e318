//! What is told to whoever listens: the events of a batch, encoded once for all of them.

use backstop_engine::event::Event;
use backstop_engine::flow::EntryOutcome;
use backstop_engine::id::{Millis, Seq};
use std::sync::{Arc, OnceLock};

/// How far the publisher is. Everything up to here can be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The last command told.
    pub seq: Seq,
    /// Its time.
    pub time: Millis,
    /// How many events there have been.
    pub events: u64,
}

impl Progress {
    pub(super) fn after(&mut self, entry: &EntryOutcome) {
        (self.seq, self.time) = (entry.seq, entry.time);
        self.events = entry.events.last().map_or(self.events, |event| event.seq);
    }
}

/// The events of some commands in a row.
#[derive(Debug)]
pub struct Told {
    /// The last of the commands.
    pub seq: Seq,
    /// Its time.
    pub time: Millis,
    /// What happened, in order; never empty.
    pub events: Vec<ToldEvent>,
}

/// An event, with its form in JSON made when somebody first asks for it.
#[derive(Debug)]
pub struct ToldEvent {
    /// The event.
    pub event: Event,
    body: OnceLock<Arc<str>>,
}

impl ToldEvent {
    /// As the API shows it: the same text for every listener.
    pub fn body(&self) -> &Arc<str> {
        self.body.get_or_init(|| super::body(&self.event).into())
    }
}

impl From<Event> for ToldEvent {
    fn from(event: Event) -> Self {
        Self { event, body: OnceLock::new() }
    }
}
