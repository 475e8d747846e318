//! Liquidations with the sums of their settlements: those under way are added up here and written at each save.

use super::{HistoryError, integer};
use backstop_engine::id::{LiquidationId, Millis};
use rusqlite::{Connection, OptionalExtension, Row, params};
use rust_decimal::Decimal;
use smol_str::SmolStr;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A liquidation as far as it has come.
#[derive(Debug, Default)]
pub(super) struct Liquidation {
    pub(super) account: SmolStr,
    pub(super) asset: SmolStr,
    pub(super) market: Option<SmolStr>,
    pub(super) started: Millis,
    pub(super) equity: String,
    pub(super) maintenance_margin: String,
    ended: Option<Millis>,
    outcome: Option<String>,
    sums: Figures,
    /// Markets that it has come to, and is not known by yet.
    reached: Vec<SmolStr>,
    /// The market it has last settled in.
    last: Option<SmolStr>,
    changed: bool,
}

/// What a settlement adds.
#[derive(Debug, Default)]
pub(super) struct Figures {
    pub(super) notional: Decimal,
    pub(super) fee: Decimal,
    pub(super) surplus: Decimal,
    pub(super) shortfall: Decimal,
}

impl Figures {
    /// A sum that did not fit would stand still.
    fn add(&mut self, other: &Self) {
        let add = |sum: &mut Decimal, part: Decimal| *sum = sum.checked_add(part).unwrap_or(*sum);
        add(&mut self.notional, other.notional);
        add(&mut self.fee, other.fee);
        add(&mut self.surplus, other.surplus);
        add(&mut self.shortfall, other.shortfall);
    }
}

impl Liquidation {
    fn reach(&mut self, market: &SmolStr) {
        if self.last.as_ref() != Some(market) {
            self.last = Some(market.clone());
            self.reached.push(market.clone());
        }
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let number = |number: i64| u64::try_from(number).unwrap_or_default();
        let figure = |place| row.get::<_, String>(place).map(|text| text.parse().unwrap_or_default());
        Ok(Self {
            account: row.get::<_, String>(0)?.into(),
            asset: row.get::<_, String>(1)?.into(),
            market: row.get::<_, Option<String>>(2)?.map(SmolStr::from),
            started: number(row.get(3)?),
            ended: row.get::<_, Option<i64>>(4)?.map(number),
            outcome: row.get(5)?,
            equity: row.get(6)?,
            maintenance_margin: row.get(7)?,
            sums: Figures { notional: figure(8)?, fee: figure(9)?, surplus: figure(10)?, shortfall: figure(11)? },
            ..Self::default()
        })
    }

    fn write(&mut self, db: &Connection, id: LiquidationId) -> Result<(), HistoryError> {
        let sql = "INSERT INTO liquidations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
            ON CONFLICT (liquidation) DO UPDATE SET ended = ?6, outcome = ?7, notional = ?10, fee = ?11, surplus = ?12,
            shortfall = ?13";
        let text = |figure: Decimal| figure.normalize().to_string();
        db.prepare_cached(sql)?.execute(params![
            integer(id.0),
            self.account.as_str(),
            self.asset.as_str(),
            self.market.as_deref(),
            integer(self.started),
            self.ended.map(integer),
            self.outcome,
            self.equity,
            self.maintenance_margin,
            text(self.sums.notional),
            text(self.sums.fee),
            text(self.sums.surplus),
            text(self.sums.shortfall),
        ])?;
        for market in self.reached.drain(..) {
            let sql = "INSERT OR IGNORE INTO liquidation_markets VALUES (?, ?)";
            db.prepare_cached(sql)?.execute(params![market.as_str(), integer(id.0)])?;
        }
        self.changed = false;
        Ok(())
    }
}

/// Liquidations that are not over, and those that have changed since the last save.
#[derive(Debug, Default)]
pub(super) struct Running(BTreeMap<LiquidationId, Liquidation>);

impl Running {
    pub(super) fn start(&mut self, id: LiquidationId, mut begun: Liquidation) {
        if let Some(market) = begun.market.clone() {
            begun.reach(&market);
        }
        begun.changed = true;
        self.0.insert(id, begun);
    }

    pub(super) fn settle(
        &mut self,
        db: &Connection,
        id: LiquidationId,
        market: &SmolStr,
        figures: &Figures,
    ) -> Result<(), HistoryError> {
        if let Some(found) = self.find(db, id)? {
            found.sums.add(figures);
            found.reach(market);
            found.changed = true;
        }
        Ok(())
    }

    /// It is over: the size of what it has settled.
    pub(super) fn end(
        &mut self,
        db: &Connection,
        id: LiquidationId,
        time: Millis,
        outcome: &str,
    ) -> Result<Decimal, HistoryError> {
        let Some(found) = self.find(db, id)? else { return Ok(Decimal::ZERO) };
        (found.ended, found.outcome, found.changed) = (Some(time), Some(outcome.to_owned()), true);
        Ok(found.sums.notional)
    }

    /// The asset of a liquidation.
    pub(super) fn asset(&mut self, db: &Connection, id: LiquidationId) -> Result<SmolStr, HistoryError> {
        Ok(self.find(db, id)?.map(|found| found.asset.clone()).unwrap_or_default())
    }

    /// One under way, or else one that was written before: after a start, or for a late fill.
    fn find(&mut self, db: &Connection, id: LiquidationId) -> Result<Option<&mut Liquidation>, HistoryError> {
        match self.0.entry(id) {
            Entry::Occupied(known) => Ok(Some(known.into_mut())),
            Entry::Vacant(place) => {
                let sql =
                    "SELECT account, asset, market, started, ended, outcome, equity, maintenance_margin, notional,
                    fee, surplus, shortfall FROM liquidations WHERE liquidation = ?";
                let found = db.prepare_cached(sql)?.query_row([integer(id.0)], Liquidation::read).optional()?;
                Ok(found.map(|found| place.insert(found)))
            }
        }
    }

    /// Writes what has changed, and forgets what is over.
    pub(super) fn write(&mut self, db: &Connection) -> Result<(), HistoryError> {
        for (id, found) in self.0.iter_mut().filter(|(_, found)| found.changed) {
            found.write(db, *id)?;
        }
        self.0.retain(|_, found| found.ended.is_none());
        Ok(())
    }
}
