//! Claims: what a liquidation lost beyond its margin, and what of that nobody has paid yet.

use super::coverage::Coverage;
use super::ledger::About;
use super::{Fund, OpenClaim, SHARED, SHARED_POOL};
use crate::event::{ClaimStatus, Fact, Layer};
use crate::id::{AssetIx, ClaimId};
use crate::money::Money;
use crate::reject::{Code, Reject};
use crate::rules::Market;
use std::collections::BTreeSet;

fn status(amount: Money, paid: Money) -> ClaimStatus {
    if paid >= amount {
        ClaimStatus::Paid
    } else if paid.is_positive() {
        ClaimStatus::PartPaid
    } else {
        ClaimStatus::Open
    }
}

impl Fund {
    /// Opens a claim of which `paid` is paid at once. The rest is a liability that nobody backs.
    pub(super) fn claim(
        &mut self,
        market: &Market,
        coverage: &Coverage,
        amount: Money,
        paid: Money,
    ) -> Result<(), Reject> {
        self.next_claim = self.next_claim.saturating_add(1);
        let claim = ClaimId(self.next_claim);
        let liquidation = coverage.liquidation;
        self.facts.push(Fact::Claim { claim, liquidation, amount, paid, status: status(amount, paid) });
        if paid >= amount {
            return Ok(());
        }
        let fund = self.funds.get_mut(&market.asset).ok_or(Reject::new(Code::UnknownAsset, "asset"))?;
        let account = coverage.account.clone();
        fund.claims.open(claim, OpenClaim { liquidation, account, market: market.index, amount, paid });
        fund.liability = fund.liability.plus(amount.minus(paid)?)?;
        let (asset, liability) = (fund.asset.name.clone(), fund.liability);
        self.facts.push(Fact::Unbacked { asset, liability });
        Ok(())
    }

    /// Pays open claims, oldest first, with what is free.
    pub(super) fn pay_claims(&mut self, asset: AssetIx) -> Result<(), Reject> {
        let Some(fund) = self.funds.get(&asset) else { return Ok(()) };
        if fund.claims.is_empty() || !fund.has_free()? {
            return Ok(());
        }
        let before = fund.liability;
        // Nothing is added while claims are paid, so a market that could pay nothing stays dry.
        let (mut last, mut dry) = (None, BTreeSet::new());
        while let Some((id, claim)) = self.funds.get(&asset).and_then(|fund| fund.claims.next(last, &dry)) {
            let claim = claim.clone();
            last = Some(id);
            let market = self.rules.market(claim.market)?.clone();
            let own = (market.pool.name != SHARED).then_some(Layer::MarketPool);
            let mut open = claim.amount.minus(claim.paid)?;
            for layer in own.into_iter().chain([Layer::SharedPool, Layer::InjectionLine]) {
                let amount = open.min(self.payable(&market, layer)?);
                if !amount.is_positive() {
                    continue;
                }
                let about = About {
                    market: Some(claim.market),
                    liquidation: Some(claim.liquidation),
                    account: Some(claim.account.clone()),
                };
                self.pay(&market, layer, amount, about)?;
                self.mark_paid(asset, id, amount)?;
                open = open.minus(amount)?;
            }
            if open.is_positive() {
                dry.insert(claim.market);
            }
        }
        self.tell_liability(asset, before);
        Ok(())
    }

    /// Withdrawals bore part of what is owed: the oldest claims are smaller by it.
    pub(super) fn write_down(&mut self, asset: AssetIx, amount: Money) -> Result<(), Reject> {
        let Some(fund) = self.funds.get_mut(&asset) else { return Ok(()) };
        let before = fund.liability;
        fund.haircuts.add(amount.get())?;
        let mut open = amount;
        while open.is_positive() {
            let fund = self.funds.get_mut(&asset).ok_or(Reject::new(Code::UnknownAsset, "asset"))?;
            let Some((id, claim)) = fund.claims.oldest() else { break };
            let part = open.min(claim.amount.minus(claim.paid)?);
            open = open.minus(part)?;
            self.mark_paid(asset, id, part)?;
        }
        self.tell_liability(asset, before);
        // More came than is owed (two withdrawals in one batch): it is cash for later.
        if open.is_positive() {
            let reason = crate::event::Reason::Surplus;
            self.enter(asset, &SHARED_POOL, reason, open, About::default())?;
        }
        Ok(())
    }

    fn mark_paid(&mut self, asset: AssetIx, id: ClaimId, amount: Money) -> Result<(), Reject> {
        let fund = self.funds.get_mut(&asset).ok_or(Reject::new(Code::UnknownAsset, "asset"))?;
        let Some(OpenClaim { liquidation, amount: total, paid, .. }) = fund.claims.pay(id, amount)? else {
            return Ok(());
        };
        fund.liability = fund.liability.minus(amount)?;
        let status = status(total, paid);
        self.facts.push(Fact::Claim { claim: id, liquidation, amount: total, paid, status });
        Ok(())
    }

    fn tell_liability(&mut self, asset: AssetIx, before: Money) {
        if let Some(fund) = self.funds.get(&asset)
            && fund.liability != before
        {
            let (asset, liability) = (fund.asset.name.clone(), fund.liability);
            self.facts.push(Fact::Unbacked { asset, liability });
        }
    }
}
