//! What is known of markets for good: their asset, and what a quantity is worth.

use super::HistoryError;
use backstop_engine::money::{Notional, Price, Quantity};
use backstop_engine::number::{self, Rounding};
use backstop_engine::rules::{Kind, Market};
use rusqlite::{Connection, Row, params};
use rust_decimal::Decimal;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// A market's contract. None of it may change once it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contract {
    pub(super) asset: SmolStr,
    inverse: bool,
    size: Decimal,
    written: bool,
}

impl Contract {
    /// The size of a quantity at a price in the settlement asset, to 8 decimals: a figure to look at, never to post.
    pub(super) fn notional(&self, quantity: Quantity, price: Price) -> Notional {
        let (quantity, price) = (quantity.get().abs(), price.get());
        let size = if self.inverse {
            number::mul_div(quantity, self.size, price, 8, Rounding::Nearest)
        } else {
            number::mul_exact(quantity, self.size).and_then(|units| number::mul(units, price, 8, Rounding::Nearest))
        };
        size.map_or(Notional::ZERO, Notional::new)
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<(SmolStr, Self)> {
        let text = |place| row.get::<_, String>(place);
        let size = text(3)?.parse().unwrap_or(Decimal::ONE);
        Ok((text(0)?.into(), Self { asset: text(1)?.into(), inverse: row.get(2)?, size, written: true }))
    }
}

/// All contracts by market.
#[derive(Debug, Default)]
pub(super) struct Contracts(BTreeMap<SmolStr, Contract>);

impl Contracts {
    pub(super) fn load(db: &Connection) -> Result<Self, HistoryError> {
        let mut statement = db.prepare_cached("SELECT market, asset, inverse, contract_size FROM markets")?;
        Ok(Self(statement.query_map([], Contract::read)?.collect::<Result<_, _>>()?))
    }

    pub(super) fn know(&mut self, market: &Market, asset: &SmolStr) {
        let contract = || Contract {
            asset: asset.clone(),
            inverse: market.kind == Kind::Inverse,
            size: market.contract_size.get(),
            written: false,
        };
        self.0.entry(market.name.clone()).or_insert_with(contract);
    }

    pub(super) fn of(&self, market: &str) -> Option<&Contract> {
        self.0.get(market)
    }

    pub(super) fn notional(&self, market: &str, quantity: Quantity, price: Price) -> Notional {
        self.of(market).map_or(Notional::ZERO, |contract| contract.notional(quantity, price))
    }

    pub(super) fn write(&mut self, db: &Connection) -> Result<(), HistoryError> {
        for (market, contract) in self.0.iter_mut().filter(|(_, contract)| !contract.written) {
            let size = contract.size.normalize().to_string();
            let row = params![market.as_str(), contract.asset.as_str(), contract.inverse, size];
            db.prepare_cached("INSERT OR IGNORE INTO markets VALUES (?, ?, ?, ?)")?.execute(row)?;
            contract.written = true;
        }
        Ok(())
    }
}
