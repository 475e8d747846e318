//! The marks in force: kept for every tick in which something came of them, and the latest for the next start.

use super::{HistoryError, body, integer};
use backstop_engine::event::Event;
use backstop_engine::id::Millis;
use rusqlite::{Connection, params};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// What a `mark_updated` says; its text is made when it is needed.
#[derive(Debug)]
enum Said {
    Event(Box<Event>),
    Text(String),
}

#[derive(Debug)]
struct Mark {
    event: u64,
    time: Millis,
    said: Said,
    /// Does it stand in `marks`?
    kept: bool,
    /// Does it stand in `latest_marks`?
    written: bool,
}

impl Mark {
    fn text(&mut self) -> &str {
        if let Said::Event(event) = &self.said {
            self.said = Said::Text(body(event));
        }
        match &self.said {
            Said::Text(text) => text,
            Said::Event(_) => "",
        }
    }
}

/// The marks in force by market.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<SmolStr, Mark>);

impl Marks {
    pub(super) fn load(db: &Connection) -> Result<Self, HistoryError> {
        let mut statement = db.prepare("SELECT market, event, time, body FROM latest_marks")?;
        let marks = statement.query_map([], |row| {
            let number = |place| row.get::<_, i64>(place).map(|number| u64::try_from(number).unwrap_or_default());
            let said = Said::Text(row.get(3)?);
            // Whether it is kept is for the table to say.
            let mark = Mark { event: number(1)?, time: number(2)?, said, kept: false, written: true };
            Ok((SmolStr::from(row.get::<_, String>(0)?), mark))
        })?;
        Ok(Self(marks.collect::<Result<_, _>>()?))
    }

    /// A new mark is in force.
    pub(super) fn update(&mut self, market: &SmolStr, event: &Event) {
        let said = Said::Event(Box::new(event.clone()));
        let mark = Mark { event: event.seq, time: event.time, said, kept: false, written: false };
        self.0.insert(market.clone(), mark);
    }

    /// Something came of the mark in force.
    pub(super) fn keep(&mut self, db: &Connection, market: &str) -> Result<(), HistoryError> {
        let Some(mark) = self.0.get_mut(market).filter(|mark| !mark.kept) else { return Ok(()) };
        mark.kept = true;
        let (event, time) = (integer(mark.event), integer(mark.time));
        let sql = "INSERT OR IGNORE INTO marks VALUES (?, ?, ?, ?)";
        db.prepare_cached(sql)?.execute(params![market, event, time, mark.text()])?;
        Ok(())
    }

    /// Writes the latest.
    pub(super) fn write(&mut self, db: &Connection) -> Result<(), HistoryError> {
        for (market, mark) in self.0.iter_mut().filter(|(_, mark)| !mark.written) {
            mark.written = true;
            let (event, time) = (integer(mark.event), integer(mark.time));
            let sql = "INSERT OR REPLACE INTO latest_marks VALUES (?, ?, ?, ?)";
            db.prepare_cached(sql)?.execute(params![market.as_str(), event, time, mark.text()])?;
        }
        Ok(())
    }
}
