//! The largest of a UTC day: cuts and shortfalls, and how far a source stood from its index.

use super::{HistoryError, day_of, integer};
use backstop_engine::event::{Event, SourceState, SourceView};
use backstop_engine::money::Price;
use backstop_engine::number::{self, Rounding};
use rusqlite::{Connection, OptionalExtension, params};
use rust_decimal::Decimal;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// How many are kept.
const KEPT: usize = 10;

/// Asset, day, and what is compared.
type Key = (SmolStr, u64, &'static str);

/// The largest, largest first: amount and event.
#[derive(Debug, Default)]
struct Largest {
    found: Vec<(Decimal, u64)>,
    changed: bool,
}

/// The worst source of a market.
#[derive(Debug)]
struct Deviation {
    day: u64,
    deviation: Decimal,
    /// What has not been written yet.
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    source: SourceView,
    index: Price,
    event: u64,
    time: u64,
}

/// The extremes of the days that have been looked at since the last start.
#[derive(Debug, Default)]
pub(super) struct Extremes {
    largest: BTreeMap<Key, Largest>,
    deviations: BTreeMap<SmolStr, Deviation>,
}

impl Extremes {
    /// An amount that may be one of the largest of its day.
    pub(super) fn compare(
        &mut self,
        db: &Connection,
        event: &Event,
        asset: &SmolStr,
        what: &'static str,
        amount: Decimal,
    ) -> Result<(), HistoryError> {
        let key = (asset.clone(), day_of(event.time), what);
        if !self.largest.contains_key(&key) {
            self.largest.insert(key.clone(), Largest { found: written(db, &key)?, changed: false });
        }
        let Some(largest) = self.largest.get_mut(&key) else { return Ok(()) };
        // Of equal ones the first stays.
        let place = largest.found.partition_point(|(known, _)| *known >= amount);
        if place < KEPT {
            largest.found.insert(place, (amount, event.seq));
            largest.found.truncate(KEPT);
            largest.changed = true;
        }
        Ok(())
    }

    /// The sources of a mark. Stale ones are left out: their distance is their age.
    pub(super) fn observe(
        &mut self,
        db: &Connection,
        event: &Event,
        market: &SmolStr,
        index: Price,
        sources: &[SourceView],
    ) -> Result<(), HistoryError> {
        let off = |source: &SourceView| {
            let apart = number::sub(source.price.get(), index.get()).ok()?.abs();
            number::div(apart, index.get(), 12, Rounding::Nearest).ok()
        };
        let fresh = sources.iter().filter(|source| source.state != SourceState::Stale);
        // Of equal ones the first stays.
        let worst = fresh.filter_map(|source| Some((off(source)?, source))).rev().max_by_key(|(off, _)| *off);
        let Some((deviation, source)) = worst else { return Ok(()) };
        let day = day_of(event.time);
        if self.deviations.get(market).is_none_or(|known| known.day != day) {
            self.write_deviation(db, market)?;
            let known = worst_of(db, market, day)?;
            // Below every deviation there can be.
            let deviation = known.unwrap_or(Decimal::NEGATIVE_ONE);
            self.deviations.insert(market.clone(), Deviation { day, deviation, seen: None });
        }
        if let Some(known) = self.deviations.get_mut(market).filter(|known| deviation > known.deviation) {
            let seen = Seen { source: source.clone(), index, event: event.seq, time: event.time };
            *known = Deviation { day, deviation, seen: Some(seen) };
        }
        Ok(())
    }

    fn write_deviation(&mut self, db: &Connection, market: &SmolStr) -> Result<(), HistoryError> {
        let Some(known) = self.deviations.get_mut(market) else { return Ok(()) };
        let Some(seen) = known.seen.take() else { return Ok(()) };
        let sql = "INSERT OR REPLACE INTO deviations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        db.prepare_cached(sql)?.execute(params![
            market.as_str(),
            integer(known.day),
            known.deviation.normalize().to_string(),
            seen.source.source.as_str(),
            super::word(&seen.source.state),
            seen.source.price.to_string(),
            seen.index.to_string(),
            integer(seen.event),
            integer(seen.time),
        ])?;
        Ok(())
    }

    /// Writes what has changed.
    pub(super) fn write(&mut self, db: &Connection) -> Result<(), HistoryError> {
        for ((asset, day, what), largest) in self.largest.iter_mut().filter(|(_, largest)| largest.changed) {
            largest.changed = false;
            let delete = "DELETE FROM largest WHERE asset = ? AND day = ? AND what = ?";
            db.prepare_cached(delete)?.execute(params![asset.as_str(), integer(*day), what])?;
            for (amount, event) in &largest.found {
                let row = params![asset.as_str(), integer(*day), what, integer(*event), amount.normalize().to_string()];
                db.prepare_cached("INSERT INTO largest VALUES (?, ?, ?, ?, ?)")?.execute(row)?;
            }
        }
        // Days that are over are read again in the rare case that they are needed.
        while self.largest.len() > DAYS {
            self.largest.pop_first();
        }
        let markets: Vec<SmolStr> = self
            .deviations
            .iter()
            .filter(|(_, known)| known.seen.is_some())
            .map(|(market, _)| market.clone())
            .collect();
        markets.iter().try_for_each(|market| self.write_deviation(db, market))
    }
}

/// Lists that stay in memory.
const DAYS: usize = 64;

fn written(db: &Connection, (asset, day, what): &Key) -> Result<Vec<(Decimal, u64)>, HistoryError> {
    let sql = "SELECT amount, event FROM largest WHERE asset = ? AND day = ? AND what = ? ORDER BY event";
    let mut statement = db.prepare_cached(sql)?;
    let rows = statement.query_map(params![asset.as_str(), integer(*day), what], |row| {
        Ok((row.get::<_, String>(0)?.parse::<Decimal>().unwrap_or_default(), super::reader::number(row, 1)?))
    })?;
    let mut found = rows.collect::<Result<Vec<_>, _>>()?;
    found.sort_by(|(one, _), (other, _)| other.cmp(one));
    Ok(found)
}

fn worst_of(db: &Connection, market: &SmolStr, day: u64) -> Result<Option<Decimal>, HistoryError> {
    let sql = "SELECT deviation FROM deviations WHERE market = ? AND day = ?";
    let mut statement = db.prepare_cached(sql)?;
    let found: Option<String> =
        statement.query_row(params![market.as_str(), integer(day)], |row| row.get(0)).optional()?;
    Ok(found.and_then(|deviation| deviation.parse().ok()))
}
