//! The marks in force: kept for every tick in which something came of them, and the latest for the next start.

use super::{HistoryError, body, day_of, integer};
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

    fn write(&mut self, db: &Connection, market: &str) -> Result<(), HistoryError> {
        if !self.written {
            self.written = true;
            let (day, event, time) = (integer(day_of(self.time)), integer(self.event), integer(self.time));
            let sql = "INSERT OR REPLACE INTO latest_marks VALUES (?, ?, ?, ?, ?)";
            db.prepare_cached(sql)?.execute(params![market, day, event, time, self.text()])?;
        }
        Ok(())
    }
}

/// The marks in force by market.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<SmolStr, Mark>);

impl Marks {
    pub(super) fn load(db: &Connection) -> Result<Self, HistoryError> {
        let sql = "SELECT market, event, time, body FROM markets JOIN latest_marks AS l USING (market)
            WHERE l.day = (SELECT max(day) FROM latest_marks AS o WHERE o.market = l.market)";
        let mut statement = db.prepare(sql)?;
        let marks = statement.query_map([], |row| {
            let number = |place| row.get::<_, i64>(place).map(|number| u64::try_from(number).unwrap_or_default());
            let said = Said::Text(row.get(3)?);
            // Whether it is kept is for the table to say.
            let mark = Mark { event: number(1)?, time: number(2)?, said, kept: false, written: true };
            Ok((SmolStr::from(row.get::<_, String>(0)?), mark))
        })?;
        Ok(Self(marks.collect::<Result<_, _>>()?))
    }

    /// A new mark is in force. The last one of a day stays.
    pub(super) fn update(&mut self, db: &Connection, market: &SmolStr, event: &Event) -> Result<(), HistoryError> {
        let said = Said::Event(Box::new(event.clone()));
        let mark = Mark { event: event.seq, time: event.time, said, kept: false, written: false };
        match self.0.insert(market.clone(), mark) {
            Some(mut before) if day_of(before.time) != day_of(event.time) => before.write(db, market),
            _ => Ok(()),
        }
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
        self.0.iter_mut().try_for_each(|(market, mark)| mark.write(db, market))
    }
}
