//! What a shard tells about its accounts: breaches at a tick, candidates for ADL, dues of a funding payment, views.

use super::Scope;
use super::account::{Account, Position};
use super::accounts::Place;
use super::assess::{Valued, isolated_equity, margin_ratio, mode_of, value_for_breach};
use super::price::{Standing, liquidation_price};
use super::shard::{AHEAD, Shard};
use crate::event::Fact;
use crate::flow::Cap;
use crate::id::{AccountId, AssetIx, Leg, LiquidationId, MarketIx};
use crate::money::{Money, Notional, Price, Quantity};
use crate::number::{self, Rounding, SCALE_MAX};
use crate::reject::Reject;
use crate::rules::Market;
use crate::view::{AccountView, AssetView, PositionView};
use std::collections::BTreeSet;

/// A position of a reported scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionReport {
    /// The market.
    pub market: MarketIx,
    /// The leg.
    pub leg: Leg,
    /// Signed quantity.
    pub quantity: Quantity,
    /// Cost basis.
    pub cost: Money,
    /// Size at the mark.
    pub notional: Notional,
    /// Maintenance margin.
    pub maintenance: Money,
    /// What open liquidation orders may still close.
    pub locked: Quantity,
}

/// A scope that is at or below maintenance, or is being liquidated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The account.
    pub account: AccountId,
    /// The asset.
    pub asset: AssetIx,
    /// Cross, or one isolated position.
    pub scope: Scope,
    /// Equity of the scope.
    pub equity: Money,
    /// Its maintenance margin.
    pub maintenance: Money,
    /// Its open positions.
    pub positions: Vec<PositionReport>,
    /// The liquidation under way, if any.
    pub liquidation: Option<LiquidationId>,
}

/// A position the fund has taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inventory {
    /// The market.
    pub market: MarketIx,
    /// Signed quantity.
    pub quantity: Quantity,
    /// Cost basis.
    pub cost: Money,
    /// What open orders may still close.
    pub locked: Quantity,
}

/// What a position owes (+) or is owed (−) by a funding payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// The account.
    pub account: AccountId,
    /// The leg.
    pub leg: Leg,
    /// Signed value at the mark: positive for a long.
    pub weight: Money,
    /// What stands behind it: positions of one scope pay out of one purse.
    pub scope: Scope,
    /// Most it can pay; none for the house.
    pub cap: Option<Money>,
}

impl Shard {
    /// Evaluates every account: the scopes at or below maintenance and those under liquidation. In no particular order.
    ///
    /// # Errors
    /// Overflow only, which the limits of input exclude.
    pub fn evaluate(&self) -> Result<Vec<Report>, Reject> {
        let mut reports = Vec::new();
        for account in self.accounts.values() {
            self.report_account(account, &mut reports)?;
        }
        Ok(reports)
    }

    /// Evaluates some of the accounts.
    pub(super) fn evaluate_some(&self, places: &[Place]) -> Result<Vec<Report>, Reject> {
        let mut reports = Vec::new();
        for next in places.chunks(AHEAD) {
            self.accounts.fetch(next.iter().copied());
            for account in next.iter().filter_map(|place| self.accounts.at(*place)) {
                self.report_account(account, &mut reports)?;
            }
        }
        Ok(reports)
    }

    fn report_account(&self, account: &Account, reports: &mut Vec<Report>) -> Result<(), Reject> {
        let idle = account.liquidations.is_empty();
        if account.id.is_house() || (idle && self.figures.is_safe(account) == Some(true)) {
            return Ok(());
        }
        for (place, position) in account.positions.iter().enumerate() {
            let asset = self.rules.market(position.market)?.asset;
            if position.isolated.is_some() {
                self.report_isolated(account, asset, position, reports)?;
            } else if !self.has_cross(account, asset, place)? {
                self.report_cross(account, asset, reports)?;
            }
        }
        for (asset, scope, id) in &account.liquidations {
            // Nothing left of it: the queue claims what it lacks, and closes it.
            let gone = match scope {
                Scope::Cross => !self.has_cross(account, *asset, usize::MAX)?,
                Scope::Isolated(market, leg) => account.position(*market, *leg).is_none(),
            };
            if gone {
                // A cross scope may end below zero when its loss was larger than its last positions.
                let equity = match scope {
                    Scope::Cross => self.report(account, *asset)?.equity.min(Money::ZERO),
                    Scope::Isolated(..) => Money::ZERO,
                };
                reports.push(Report {
                    account: account.id.clone(),
                    asset: *asset,
                    scope: *scope,
                    equity,
                    maintenance: Money::ZERO,
                    positions: Vec::new(),
                    liquidation: Some(*id),
                });
            }
        }
        Ok(())
    }

    /// Is there a cross position of the asset among the first `places`?
    fn has_cross(&self, account: &Account, asset: AssetIx, places: usize) -> Result<bool, Reject> {
        for position in account.positions.iter().take(places).filter(|position| position.isolated.is_none()) {
            if self.rules.market(position.market)?.asset == asset {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn report_cross(&self, account: &Account, asset: AssetIx, reports: &mut Vec<Report>) -> Result<(), Reject> {
        let liquidation = account.liquidation(asset, Scope::Cross);
        let (mut equity, mut maintenance) = (account.wallet(asset), Money::ZERO);
        let mut positions = Vec::with_capacity(account.positions.len());
        for position in &account.positions {
            let market = self.rules.market(position.market)?;
            if market.asset != asset {
                continue;
            }
            if let Some(margin) = position.isolated {
                equity = equity.minus(margin)?;
                continue;
            }
            let (pnl, report) = self.position_report(market, position)?;
            equity = equity.plus(pnl)?;
            maintenance = maintenance.plus(report.maintenance)?;
            positions.push(report);
        }
        if equity > maintenance && liquidation.is_none() {
            return Ok(());
        }
        let (account, scope) = (account.id.clone(), Scope::Cross);
        reports.push(Report { account, asset, scope, equity, maintenance, positions, liquidation });
        Ok(())
    }

    fn report_isolated(
        &self,
        account: &Account,
        asset: AssetIx,
        position: &Position,
        reports: &mut Vec<Report>,
    ) -> Result<(), Reject> {
        let liquidation = account.liquidation(asset, position.scope());
        let (pnl, report) = self.position_report(self.rules.market(position.market)?, position)?;
        let (equity, maintenance) = (position.isolated.unwrap_or_default().plus(pnl)?, report.maintenance);
        if equity > maintenance && liquidation.is_none() {
            return Ok(());
        }
        let (account, scope, positions) = (account.id.clone(), position.scope(), vec![report]);
        reports.push(Report { account, asset, scope, equity, maintenance, positions, liquidation });
        Ok(())
    }

    /// A position as a report has it, and its PnL.
    fn position_report(&self, market: &Market, position: &Position) -> Result<(Money, PositionReport), Reject> {
        let valued = value_for_breach(market, position, self.marks.price(position.market))?;
        let report = PositionReport {
            market: position.market,
            leg: position.leg,
            quantity: position.quantity,
            cost: position.cost,
            notional: valued.notional,
            maintenance: valued.maintenance,
            locked: position.locked,
        };
        Ok((valued.pnl, report))
    }

    /// What the fund has taken over, where this shard holds the fund's account.
    pub fn inventory(&self) -> Vec<Inventory> {
        let Some(account) = self.accounts.get(&AccountId::fund()) else { return Vec::new() };
        let of = |position: &Position| Inventory {
            market: position.market,
            quantity: position.quantity,
            cost: position.cost,
            locked: position.locked,
        };
        account.positions.iter().map(of).collect()
    }

    /// What every position of a market owes or is owed per unit of rate, with what it has.
    ///
    /// # Errors
    /// Overflow only.
    pub fn dues(&self, market: MarketIx, mark: Price) -> Result<Vec<Due>, Reject> {
        let rules = self.rules.market(market)?.clone();
        let mut dues = Vec::new();
        for account in self.accounts.values() {
            for position in account.positions.iter().filter(|open| open.market == market) {
                let notional = rules.notional(position.quantity, mark)?;
                let weight = Money::new(notional.get());
                dues.push(Due {
                    account: account.id.clone(),
                    leg: position.leg,
                    weight: if position.quantity.is_negative() { -weight } else { weight },
                    scope: position.scope(),
                    cap: self.payable(account, rules.asset, market, position.leg)?,
                });
            }
        }
        Ok(dues)
    }

    /// What an account could pay now for a position; none for the house.
    fn payable(&self, account: &Account, asset: AssetIx, market: MarketIx, leg: Leg) -> Result<Option<Money>, Reject> {
        if account.id.is_house() {
            return Ok(None);
        }
        let scale = self.rules.asset(asset)?.scale;
        let equity = match account.position(market, leg).filter(|position| position.isolated.is_some()) {
            Some(position) => {
                // Never more than its margin: funding does not reach into the rest of the wallet.
                let equity = self.isolated(account, position)?.0;
                equity.min(position.isolated.unwrap_or_default())
            }
            None => self.report(account, asset)?.equity,
        };
        Ok(Some(equity.or_zero().quantise(scale, Rounding::Floor)?))
    }

    /// What each of some accounts could pay now.
    ///
    /// # Errors
    /// Overflow only.
    pub fn caps(&self, market: MarketIx, who: &[(AccountId, Leg)]) -> Result<Vec<Cap>, Reject> {
        let asset = self.rules.market(market)?.asset;
        let mut caps = Vec::new();
        for (id, leg) in who {
            if let Some(account) = self.accounts.get(id) {
                let scope = account.position(market, *leg).map_or(Scope::Cross, Position::scope);
                caps.push((id.clone(), *leg, (scope, self.payable(account, asset, market, *leg)?)));
            }
        }
        Ok(caps)
    }

    /// The account as the API shows it.
    pub fn view(&self, id: &AccountId) -> Option<AccountView> {
        let account = self.accounts.get(id)?;
        let mut assets: BTreeSet<AssetIx> = account.wallets.iter().map(|(asset, _)| *asset).collect();
        for position in &account.positions {
            if let Ok(market) = self.rules.market(position.market) {
                assets.insert(market.asset);
            }
        }
        Some(AccountView {
            account: id.clone(),
            assets: assets.into_iter().filter_map(|asset| self.asset_view(account, asset).ok()).collect(),
            positions: account
                .positions
                .iter()
                .filter_map(|position| self.position_view(account, position).ok())
                .collect(),
        })
    }

    /// The facts that show a changed account: the asset, and the positions of the market.
    pub(super) fn facts_of(&self, id: &AccountId, market: Option<MarketIx>) -> Vec<Fact> {
        let Some(view) = self.view(id) else { return Vec::new() };
        let name = market.and_then(|market| self.rules.market(market).ok()).map(|market| market.name.clone());
        let asset = |asset| Fact::AccountUpdated { account: id.clone(), asset: Box::new(asset) };
        let shown = |position: &PositionView| Some(&position.market) == name.as_ref();
        let position = |position| Fact::PositionUpdated { account: id.clone(), position: Box::new(position) };
        let mut positions: Vec<PositionView> = view.positions.into_iter().filter(shown).collect();
        if let (Some(account), Some(market)) = (self.accounts.get(id), market) {
            positions.extend(self.flat_views(account, market));
        }
        view.assets.into_iter().map(asset).chain(positions.into_iter().map(position)).collect()
    }

    /// The legs of a market that are not open: whoever follows positions must hear of that too.
    fn flat_views(&self, account: &Account, market: MarketIx) -> Vec<PositionView> {
        let legs: &[Leg] = if account.hedge { &[Leg::Long, Leg::Short] } else { &[Leg::Net] };
        let Ok(rules) = self.rules.market(market) else { return Vec::new() };
        let flat = |leg: &Leg| PositionView {
            market: rules.name.clone(),
            leg: *leg,
            quantity: Quantity::ZERO,
            entry_price: None,
            mark: self.marks.price(market),
            unrealised_pnl: Money::ZERO,
            mode: account.settings(market).mode,
            isolated_margin: None,
            maintenance_margin: Money::ZERO,
            margin_ratio: None,
            liquidation_price: None,
            bankruptcy_price: None,
            adl_quantile: None,
            adl_rank: None,
            adl_of: None,
            adl_contracts_ahead: None,
            adl_price: None,
        };
        legs.iter().filter(|leg| account.position(market, **leg).is_none()).map(flat).collect()
    }

    fn asset_view(&self, account: &Account, asset: AssetIx) -> Result<AssetView, Reject> {
        let report = self.report(account, asset)?;
        Ok(AssetView {
            asset: self.rules.asset(asset)?.name.clone(),
            wallet: account.wallet(asset),
            equity: report.equity,
            initial_margin: report.initial.plus(report.orders)?,
            maintenance_margin: report.maintenance,
            margin_ratio: report.ratio(),
            available: report.available()?.or_zero(),
        })
    }

    fn position_view(&self, account: &Account, position: &Position) -> Result<PositionView, Reject> {
        let market = self.rules.market(position.market)?;
        let mark = self.marks.price(position.market);
        let (_, valued) = self.isolated(account, position)?;
        let (scope_equity, scope_maintenance) = self.backing(market, account, position, &valued)?;
        let entry = entry_price(market, position);
        Ok(PositionView {
            market: market.name.clone(),
            leg: position.leg,
            quantity: position.quantity,
            entry_price: entry,
            mark,
            unrealised_pnl: valued.pnl,
            mode: mode_of(position),
            isolated_margin: position.isolated,
            maintenance_margin: valued.maintenance,
            margin_ratio: margin_ratio(scope_maintenance, scope_equity),
            liquidation_price: self.liquidation_price(market, account, position, &valued),
            bankruptcy_price: self.bankruptcy_of(market, account, position, &valued)?,
            adl_quantile: None,
            adl_rank: None,
            adl_of: None,
            adl_contracts_ahead: None,
            adl_price: None,
        })
    }

    /// Equity and maintenance margin of what stands behind a position: its own when isolated, the account's when cross.
    pub(super) fn backing(
        &self,
        market: &Market,
        account: &Account,
        position: &Position,
        valued: &Valued,
    ) -> Result<(Money, Money), Reject> {
        if position.isolated.is_some() {
            return Ok((isolated_equity(position, valued)?, valued.maintenance));
        }
        let report = self.report(account, market.asset)?;
        Ok((report.equity, report.maintenance))
    }

    /// On the grid of marks, rounded towards the safe side of the breach: at this mark the scope is in breach.
    fn liquidation_price(
        &self,
        market: &Market,
        account: &Account,
        position: &Position,
        valued: &Valued,
    ) -> Option<Price> {
        let exact = self.liquidation_price_exact(market, account, position, valued).ok().flatten()?;
        let rounding = if position.quantity.is_negative() { Rounding::Ceil } else { Rounding::Floor };
        number::quantise(exact.get(), market.mark_scale, rounding).ok().map(Price::new)
    }

    fn liquidation_price_exact(
        &self,
        market: &Market,
        account: &Account,
        position: &Position,
        valued: &Valued,
    ) -> Result<Option<Price>, Reject> {
        let mark = self.marks.price(market.index);
        if let Some(margin) = position.isolated {
            let standing = Standing { base: margin, mark };
            return liquidation_price(market, &[position], position.side(), standing);
        }
        let report = self.report(account, market.asset)?;
        let legs: Vec<&Position> =
            account.positions.iter().filter(|open| open.market == market.index && open.isolated.is_none()).collect();
        let (mut pnl, mut maintenance) = (valued.pnl, valued.maintenance);
        for leg in legs.iter().filter(|leg| leg.leg != position.leg) {
            let (_, other) = self.isolated(account, leg)?;
            pnl = pnl.plus(other.pnl)?;
            maintenance = maintenance.plus(other.maintenance)?;
        }
        let others = report.maintenance.minus(maintenance)?;
        let base = report.equity.minus(pnl)?.minus(others)?;
        liquidation_price(market, &legs, position.side(), Standing { base, mark })
    }
}

/// Equity allotted to a position: by its share of the scope's maintenance margin, exact to 14 decimals, rounded down.
pub(crate) fn share_of(equity: Money, maintenance: Money, of: Money) -> Result<Money, Reject> {
    if of.is_zero() || maintenance == of {
        return Ok(equity);
    }
    let share = number::mul_div(equity.get(), maintenance.get(), of.get(), SCALE_MAX, Rounding::Floor)?;
    Ok(Money::new(share))
}

/// The average price of what is open: the price at which the position is worth its cost.
pub(super) fn entry_price(market: &Market, position: &Position) -> Option<Price> {
    let size = number::mul_exact(position.quantity.get(), market.contract_size.get()).ok()?;
    let (numerator, denominator) = match market.kind {
        crate::rules::Kind::Linear => (position.cost.get(), size),
        crate::rules::Kind::Inverse => (-size, position.cost.get()),
    };
    let price = number::div(numerator, denominator, market.mark_scale, Rounding::Nearest).ok()?;
    (price.is_sign_positive() && !price.is_zero()).then(|| Price::new(price))
}
