//! Decides what is said to the daemon, and when: the listing, the population, then one body of prices and a tick for
//! every point of the bars' paths, each command with the time it happened.
//!
//! Risk rules, and why:
//! * liquidation `tier_step` with a fee of 0.5 %, surplus to the fund, the unfilled rest to ADL at the bankruptcy price:
//!   what the large venues do;
//! * ADL by queue, and at a fall of the pool of 30 % from its peak of 8 hours until it is less than 25 %: the field's
//!   figures;
//! * embedded venue: one percent of a market's open interest moves its price by one percent, recovered in a minute. Order
//!   books were that thin in the crashes played here; a calm one is an order of magnitude deeper;
//! * no market may draw more in a day than half the fund's seed capital, or twice its share of open interest if less,
//!   but always a tenth;
//! * mark: the median of three where spot and perpetual are both known, sent as `spot` and `last`; a file with one price
//!   is sent as `spot` alone and marks by the index, for the same price twice would say nothing more.
//!
//! At the opening both prices are the contract's own, so that nobody is liquidated by the basis before the fall.

use super::DemoError;
use super::candles::{Bar, Tape};
use super::client::Client;
use super::contracts::{Asset, Contract, Listing, Tier};
use super::figure::{Figure, grouped, minute_text, percent};
use super::gather::Fund;
use super::path::Grid;
use super::population::{Account, Leg, Population, Side};
use super::report::Setup;
use rust_decimal::Decimal;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use serde_json::{Value, json};
use std::io::Write;

/// Source of the index, and of the contract's own trades.
const SOURCE_INDEX: &str = "spot";
const SOURCE_LAST: &str = "last";
/// One basis point of a market's open interest moves its price by one basis point.
const DEPTH_PER_BP: f64 = 0.000_1;
const RECOVERY_MS: u64 = 60_000;
const DRAWDOWN_WINDOW_MS: u64 = 28_800_000;
const DAY_MS: u64 = 86_400_000;
/// Bounds of what a market may draw, as fractions of the seed capital.
const DRAW_MIN: f64 = 0.1;
const DRAW_MAX: f64 = 0.5;
/// Progress is shown so many times.
const PROGRESS_LINES: u64 = 16;

/// Everything that is to be said.
pub(super) struct Script<'a> {
    tape: &'a Tape,
    grid: &'a Grid,
    /// What is listed.
    pub(super) listing: &'a Listing,
    /// Who trades.
    pub(super) population: &'a Population,
    /// Seed capital by asset.
    pub(super) seeds: Vec<Decimal>,
}

impl<'a> Script<'a> {
    /// For a tape and a population; the fund starts with `fund` of the open interest.
    pub(super) fn new(
        tape: &'a Tape,
        grid: &'a Grid,
        listing: &'a Listing,
        population: &'a Population,
        fund: Decimal,
    ) -> Self {
        let interest = |asset: usize| -> Decimal {
            let of_asset = listing.contracts.iter().zip(&population.interest).filter(|(c, _)| c.asset == asset);
            of_asset.map(|(contract, quantity)| contract.notional(*quantity)).sum()
        };
        let seeds = listing.assets.iter().enumerate().map(|(place, _)| (interest(place) * fund).round_dp(2)).collect();
        Self { tape, grid, listing, population, seeds }
    }

    /// Before the fall: one step before the first tick.
    fn opening_time(&self) -> u64 {
        self.grid.start.saturating_sub(self.grid.step_ms)
    }

    /// Lists everything, seeds the fund, opens accounts and positions.
    ///
    /// # Errors
    /// [`DemoError::Refused`] when the listing, the fund or the opening marks are refused.
    pub(super) fn set_up(&self, client: &mut Client, progress: &mut impl Write) -> Result<Setup, DemoError> {
        let time = self.opening_time();
        for asset in &self.listing.assets {
            client.push(&json!({"type": "list_asset", "time": time, "asset": asset.name, "scale": asset.scale}))?;
        }
        for contract in &self.listing.contracts {
            client.push(&self.list_market(contract))?;
        }
        for (asset, seed) in self.listing.assets.iter().zip(&self.seeds).filter(|(_, seed)| !seed.is_zero()) {
            client.push(&json!({"type": "fund_credit", "time": time, "asset": asset.name, "source": "seed_capital",
                "amount": Figure(*seed)}))?;
        }
        for contract in &self.listing.contracts {
            self.push_price(client, time, contract, SOURCE_INDEX, contract.opening)?;
            if contract.has_last {
                self.push_price(client, time, contract, SOURCE_LAST, contract.opening)?;
            }
        }
        client.push(&json!({"type": "tick", "time": time}))?;
        client.flush()?;
        if let Some((code, first)) = client.refused.iter().next() {
            return Err(DemoError::Refused {
                command: first.command.clone(),
                code: code.clone(),
                message: first.message.clone(),
            });
        }
        for (place, account) in self.population.accounts.iter().enumerate() {
            self.open(client, place, account)?;
        }
        client.flush()?;
        writeln!(progress, "{} accounts open", self.population.accounts.len())?;
        for (number, trade) in self.population.trades.iter().enumerate() {
            let Some(contract) = self.listing.contracts.get(trade.contract) else { continue };
            let mut fill = json!({"type": "fill", "time": time, "market": contract.symbol, "trade": format!("t{number}"),
                "price": Figure(contract.opening), "quantity": Figure(contract.quantity(trade.lots)),
                "buyer": Population::name(trade.buyer), "seller": Population::name(trade.seller)});
            self.add_leg(&mut fill, "buyer_leg", trade.buyer, "long");
            self.add_leg(&mut fill, "seller_leg", trade.seller, "short");
            client.push(&fill)?;
        }
        client.flush()?;
        writeln!(progress, "{} trades opened the positions", self.population.trades.len())?;
        Ok(Setup::new(client, self))
    }

    fn add_leg(&self, fill: &mut Value, field: &str, account: usize, leg: &str) {
        let is_hedge_mode = self.population.accounts.get(account).is_some_and(|account| account.is_hedge_mode);
        if let (true, Some(fields)) = (is_hedge_mode, fill.as_object_mut()) {
            fields.insert(field.to_owned(), Value::from(leg));
        }
    }

    fn list_market(&self, contract: &Contract) -> Value {
        let asset = self.listing.assets.get(contract.asset).map_or("", |asset| asset.name.as_str());
        let seed = self.seeds.get(contract.asset).copied().unwrap_or_default();
        let tier = |tier: &Tier| {
            json!({"notional_limit": Figure(tier.limit), "initial_rate": Figure(tier.initial),
                "maintenance_rate": Figure(tier.maintenance)})
        };
        let tiers: Vec<Value> = contract.tiers.iter().map(tier).collect();
        json!({
            "type": "list_market", "time": self.opening_time(), "market": contract.symbol, "asset": asset,
            "kind": if contract.inverse { "inverse" } else { "linear" }, "contract_size": "1",
            "tick_size": Figure(contract.tick), "lot_size": Figure(contract.lot), "tiers": tiers,
            "liquidation": {"reduce": "tier_step", "restore_ratio": "1", "fee_rate": "0.005", "surplus": "fund",
                "residual": "adl"},
            "adl": {"policy": "queue", "price": "bankruptcy",
                "drawdown": {"window_ms": DRAWDOWN_WINDOW_MS, "start": "0.30", "stop": "0.25"}},
            "pool": {"name": "shared", "shared_draw_cap": Figure(self.draw_cap(contract, seed)), "window_ms": DAY_MS},
            "venue": {"embedded": {"depth_per_bp": Figure(self.depth(contract)), "recovery_ms": RECOVERY_MS}},
            "oracle": {"mark": if contract.has_last { "median_of_three" } else { "index" }, "min_sources": 1,
                "stale_after_ms": self.grid.stale_after_ms(), "band": "0.05", "when_degraded": "wait"},
        })
    }

    fn draw_cap(&self, contract: &Contract, seed: Decimal) -> Decimal {
        let share = (contract.weight * 2.0).clamp(DRAW_MIN, DRAW_MAX);
        (seed * Decimal::from_f64(share).unwrap_or_default()).round_dp(2)
    }

    fn depth(&self, contract: &Contract) -> Decimal {
        let depth = Decimal::from_f64(contract.interest * DEPTH_PER_BP).unwrap_or_default();
        depth.round_dp(4).max(Decimal::new(1, 4))
    }

    fn push_price(
        &self,
        client: &mut Client,
        time: u64,
        contract: &Contract,
        source: &str,
        price: Decimal,
    ) -> Result<(), DemoError> {
        let command = json!({"type": "price", "time": time, "market": contract.symbol, "source": source,
            "price": Figure(price)});
        Ok(client.push(&command)?)
    }

    fn open(&self, client: &mut Client, place: usize, account: &Account) -> Result<(), DemoError> {
        if account.legs.is_empty() {
            return Ok(());
        }
        let (time, name) = (self.opening_time(), Population::name(place));
        let asset = self.listing.assets.get(account.asset).map_or("", |asset: &Asset| asset.name.as_str());
        client.push(&json!({"type": "deposit", "time": time, "account": name, "asset": asset,
            "amount": account.deposit}))?;
        if account.is_hedge_mode {
            client.push(&json!({"type": "set_position_mode", "time": time, "account": name, "mode": "hedge"}))?;
        }
        let is_second = |leg: &Leg| leg.side == Side::Short && account.is_hedge_mode;
        let markets = account.legs.iter().filter(|leg| !is_second(leg) || account.legs.len() == 1);
        for leg in markets {
            let market = self.listing.contracts.get(leg.contract).map_or("", |contract| contract.symbol.as_str());
            if account.is_isolated {
                client.push(&json!({"type": "set_margin_mode", "time": time, "account": name, "market": market,
                    "mode": "isolated"}))?;
            }
            if leg.leverage > Decimal::ONE {
                client.push(&json!({"type": "set_leverage", "time": time, "account": name, "market": market,
                    "leverage": Figure(leg.leverage)}))?;
            }
        }
        Ok(())
    }

    /// Plays every tick.
    ///
    /// # Errors
    /// [`DemoError::Client`] when the daemon does not answer.
    pub(super) fn play(&self, client: &mut Client, progress: &mut impl Write) -> Result<(), DemoError> {
        let ticks = self.grid.ticks();
        let every = (ticks / PROGRESS_LINES).max(1);
        for tick in 0..ticks {
            let time = self.grid.time(tick);
            for (contract, track) in self.listing.contracts.iter().zip(&self.tape.tracks) {
                let index = self.price(&track.index, tick, contract);
                let last = track.last.as_ref().and_then(|bars| self.price(bars, tick, contract));
                for (source, price) in [(SOURCE_INDEX, index), (SOURCE_LAST, last)] {
                    if let Some(price) = price {
                        self.push_price(client, time, contract, source, price)?;
                    }
                }
            }
            client.push(&json!({"type": "tick", "time": time}))?;
            client.flush()?;
            if (tick + 1) % every == 0 || tick + 1 == ticks {
                self.show(client, tick, progress)?;
            }
        }
        Ok(())
    }

    fn price(&self, bars: &[Option<Bar>], tick: u64, contract: &Contract) -> Option<Decimal> {
        let bar = bars.get(self.grid.bar(tick)).copied().flatten()?;
        Some(self.grid.price(tick, &bar, contract.tick.scale()))
    }

    /// One line: the time, the largest market's price and fall, every fund.
    fn show(&self, client: &Client, tick: u64, progress: &mut impl Write) -> Result<(), DemoError> {
        let largest = |(a, _): &(&Contract, _), (b, _): &(&Contract, _)| a.weight.total_cmp(&b.weight);
        let both = self.listing.contracts.iter().zip(&self.tape.tracks).max_by(largest);
        let mut line = minute_text(self.grid.time(tick));
        if let Some((contract, track)) = both {
            let bars = track.last.as_ref().unwrap_or(&track.index);
            let price = self.price(bars, tick, contract);
            let shown = price.map_or("no trade".to_owned(), |price| {
                let fall = percent(price - contract.opening, contract.opening, 1);
                format!("{} ({fall})", grouped(price, contract.tick.scale()))
            });
            line.push_str(&format!("  {} {shown}", contract.symbol));
        }
        for asset in &self.listing.assets {
            let fund: Fund = client.get(&format!("/v1/fund/{}", asset.name))?;
            let places = if asset.usd > 1.0 { 4 } else { 0 };
            line.push_str(&format!("  fund {} {}", grouped(fund.balance.0, places), asset.name));
        }
        let done = (tick + 1).to_f64().unwrap_or(0.0) / self.grid.ticks().to_f64().unwrap_or(1.0);
        writeln!(progress, "{:>4.0} %  {line}", done * 100.0)?;
        progress.flush()?;
        Ok(())
    }
}

#[cfg(test)]
#[path = "script_tests.rs"]
mod tests;
