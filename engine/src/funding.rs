//! Funding payments: zero-sum between the accounts of a market, and corrections that run the same way backwards.
//!
//! In: the dues of all positions, and what each payer has. Out: payments that sum to zero. A payer pays no more than it
//! has, the receivers share what was collected; the fund is never touched and no claim is ever opened.

use crate::apportion::apportion;
use crate::id::{AccountId, Leg, MarketIx};
use crate::margin::{Due, Posting, Scope};
use crate::money::{Money, Rate};
use crate::number::{self, Overflow, Rounding, SCALE_MAX};
use crate::reject::{Code, Reject};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// How many payments of a market can still be corrected.
pub const KEPT: usize = 8;

/// What one position was due and paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The account.
    pub account: AccountId,
    /// The leg.
    pub leg: Leg,
    /// Signed value at the mark then.
    pub weight: Money,
    /// Received (+) or paid (−) so far.
    pub moved: Money,
}

/// A payment that can still be corrected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Payment {
    id: SmolStr,
    shares: Vec<Share>,
}

/// The payments of all markets that can still be corrected.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Funding {
    payments: BTreeMap<MarketIx, Vec<Payment>>,
}

impl Funding {
    /// Refuses an id that is known.
    ///
    /// # Errors
    /// [`Code::DuplicateFunding`].
    pub fn check_new(&self, market: MarketIx, id: &str) -> Result<(), Reject> {
        match self.payments.get(&market).is_some_and(|kept| kept.iter().any(|payment| payment.id == id)) {
            true => Err(Reject::new(Code::DuplicateFunding, "id")),
            false => Ok(()),
        }
    }

    /// Settles a payment at `rate`: longs pay shorts when it is positive.
    ///
    /// # Errors
    /// Overflow only.
    pub fn pay(
        &mut self,
        (market, asset_scale): (MarketIx, u32),
        id: SmolStr,
        rate: Rate,
        dues: Vec<Due>,
    ) -> Result<Vec<Posting>, Reject> {
        let dues = merge_house(dues)?;
        let mut parts = Vec::with_capacity(dues.len());
        for due in &dues {
            let amount = number::mul(-due.weight.get(), rate.get(), SCALE_MAX, Rounding::Nearest)?;
            parts.push(Part { target: Money::new(amount), cap: due.cap, purse: (&due.account, due.scope) });
        }
        let moves = settle(&parts, asset_scale)?;
        let mut shares = Vec::with_capacity(dues.len());
        for (due, moved) in dues.into_iter().zip(moves) {
            shares.push(Share { account: due.account, leg: due.leg, weight: due.weight, moved });
        }
        let postings = postings(market, shares.iter().map(|share| (share, share.moved)));
        let kept = self.payments.entry(market).or_default();
        kept.push(Payment { id, shares });
        if kept.len() > KEPT {
            kept.remove(0);
        }
        Ok(postings)
    }

    /// Who was part of a payment, to ask what each has now.
    ///
    /// # Errors
    /// [`Code::UnknownFunding`].
    pub fn parties(&self, market: MarketIx, of: &str) -> Result<Vec<(AccountId, Leg)>, Reject> {
        let payment = self.find(market, of).ok_or(Reject::new(Code::UnknownFunding, "of"))?;
        Ok(payment.shares.iter().map(|share| (share.account.clone(), share.leg)).collect())
    }

    fn find(&self, market: MarketIx, of: &str) -> Option<&Payment> {
        self.payments.get(&market)?.iter().find(|payment| payment.id == of)
    }

    /// Replaces the rate of an earlier payment: everybody moves from what it has paid to what it would have.
    ///
    /// # Errors
    /// [`Code::UnknownFunding`], overflow.
    pub fn correct(
        &mut self,
        (market, asset_scale): (MarketIx, u32),
        of: &str,
        rate: Rate,
        caps: &BTreeMap<(AccountId, Leg), (Scope, Option<Money>)>,
    ) -> Result<Vec<Posting>, Reject> {
        let unknown = Reject::new(Code::UnknownFunding, "of");
        let payment = self.find(market, of).ok_or(unknown)?;
        let mut parts = Vec::with_capacity(payment.shares.len());
        for share in &payment.shares {
            let wanted = number::mul(-share.weight.get(), rate.get(), SCALE_MAX, Rounding::Nearest)?;
            let known = caps.get(&(share.account.clone(), share.leg)).copied();
            let (scope, cap) = known.unwrap_or((Scope::Cross, Some(Money::ZERO)));
            parts.push(Part { target: Money::new(wanted).minus(share.moved)?, cap, purse: (&share.account, scope) });
        }
        let moves = settle(&parts, asset_scale)?;
        let postings = postings(market, payment.shares.iter().zip(moves.iter().copied()));
        let kept = self.payments.get_mut(&market).ok_or(unknown)?;
        let payment = kept.iter_mut().find(|payment| payment.id == of).ok_or(unknown)?;
        for (share, moved) in payment.shares.iter_mut().zip(moves) {
            share.moved = share.moved.plus(moved)?;
        }
        Ok(postings)
    }
}

fn postings<'s>(market: MarketIx, moves: impl Iterator<Item = (&'s Share, Money)>) -> Vec<Posting> {
    let post = |(share, amount): (&Share, Money)| Posting::Pay {
        account: share.account.clone(),
        market,
        leg: share.leg,
        amount,
    };
    moves.filter(|(_, amount)| !amount.is_zero()).map(post).collect()
}

/// What the fund has taken over pays and receives on the venue's account: funding never touches the fund.
fn merge_house(dues: Vec<Due>) -> Result<Vec<Due>, Reject> {
    let mut house = Money::ZERO;
    let mut merged: Vec<Due> = Vec::with_capacity(dues.len());
    for due in dues {
        if due.account.is_house() {
            house = house.plus(due.weight)?;
        } else {
            merged.push(due);
        }
    }
    if !house.is_zero() {
        merged.push(Due { account: AccountId::venue(), leg: Leg::Net, weight: house, scope: Scope::Cross, cap: None });
    }
    merged.sort_by(|a, b| (&a.account, a.leg).cmp(&(&b.account, b.leg)));
    Ok(merged)
}

struct Part<'a> {
    /// What it should receive (+) or pay (−), exactly.
    target: Money,
    /// Most it can pay; none for no limit.
    cap: Option<Money>,
    /// Whose money that is: two legs may share it.
    purse: (&'a AccountId, Scope),
}

/// Payments at the asset's scale that sum to zero.
///
/// Shape:  a payer pays its due rounded up, but no more than it has; the receivers share what was collected in
///         proportion to what they are due, by largest remainder (source: Vega's settlement shares pro rata, whose last
///         winner takes the remainder; vectors vega-sr-*).
fn settle(parts: &[Part<'_>], scale: u32) -> Result<Vec<Money>, Reject> {
    let mut moves = vec![Money::ZERO; parts.len()];
    let mut collected = Money::ZERO;
    let mut spent: BTreeMap<(&AccountId, Scope), Money> = BTreeMap::new();
    let mut weights = vec![0_u128; parts.len()];
    for ((part, moved), weight) in parts.iter().zip(&mut moves).zip(&mut weights) {
        if part.target.is_negative() {
            let due = part.target.abs().quantise(scale, Rounding::Ceil)?;
            let taken = spent.entry(part.purse).or_default();
            let paid = match part.cap {
                Some(cap) => due.min(cap.minus(*taken)?.or_zero()),
                None => due,
            };
            *taken = taken.plus(paid)?;
            *moved = -paid;
            collected = collected.plus(paid)?;
        } else {
            *weight = units(part.target.get(), SCALE_MAX)?;
        }
    }
    if weights.iter().all(|weight| *weight == 0) {
        // Nobody to receive it: nobody pays.
        return Ok(vec![Money::ZERO; parts.len()]);
    }
    let shares = apportion(units(collected.get(), scale)?, &weights)?;
    for ((share, weight), moved) in shares.into_iter().zip(&weights).zip(&mut moves) {
        if *weight > 0 {
            let share = i128::try_from(share).map_err(|_| Overflow)?;
            *moved = Money::new(Decimal::try_from_i128_with_scale(share, scale).map_err(|_| Overflow)?);
        }
    }
    Ok(moves)
}

/// A figure in units of 10^−scale; it has no finer digit.
fn units(value: Decimal, scale: u32) -> Result<u128, Reject> {
    let unit = Decimal::try_from_i128_with_scale(1, scale).map_err(|_| Overflow)?;
    let whole = number::div(value, unit, 0, Rounding::Floor)?;
    Ok(u128::try_from(whole.mantissa()).map_err(|_| Overflow)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::parse;

    fn due(account: &str, weight: &str, cap: &str) -> Due {
        Due {
            account: AccountId(account.into()),
            leg: Leg::Net,
            weight: Money::new(parse(weight).unwrap()),
            scope: Scope::Cross,
            cap: Some(Money::new(parse(cap).unwrap())),
        }
    }

    fn amounts(postings: &[Posting]) -> Vec<(String, String)> {
        let shown = |posting: &Posting| match posting {
            Posting::Pay { account, amount, .. } => (account.to_string(), amount.to_string()),
            other => panic!("{other:?}"),
        };
        postings.iter().map(shown).collect()
    }

    fn pay(rate: &str, dues: Vec<Due>) -> (Funding, Vec<Posting>) {
        let mut funding = Funding::default();
        let rate = Rate::new(parse(rate).unwrap());
        let postings = funding.pay((MarketIx(0), 2), "f".into(), rate, dues).unwrap();
        (funding, postings)
    }

    fn text(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, amount)| ((*name).to_owned(), (*amount).to_owned())).collect()
    }

    #[test]
    fn longs_pay_shorts_at_a_positive_rate() {
        let (_, postings) = pay("0.01", vec![due("a", "1000", "50"), due("b", "-1000", "50")]);
        assert_eq!(amounts(&postings), text(&[("a", "-10"), ("b", "10")]));
    }

    #[test]
    fn a_payer_pays_no_more_than_it_has_and_the_receivers_share_it() {
        let dues = vec![due("a", "3000", "10"), due("b", "-1000", "0"), due("c", "-1000", "0"), due("d", "-1000", "0")];
        let (_, postings) = pay("0.01", dues);
        assert_eq!(amounts(&postings), text(&[("a", "-10"), ("b", "3.34"), ("c", "3.33"), ("d", "3.33")]));
    }

    #[test]
    fn a_correction_moves_everybody_to_the_other_rate() {
        let (mut funding, _) = pay("0.01", vec![due("a", "1000", "50"), due("b", "-1000", "50")]);
        let caps = |a: &str, b: &str| {
            let cap = |name: &str, cap: &str| {
                ((AccountId(name.into()), Leg::Net), (Scope::Cross, Some(Money::new(parse(cap).unwrap()))))
            };
            BTreeMap::from([cap("a", a), cap("b", b)])
        };
        let back = funding.correct((MarketIx(0), 2), "f", Rate::new(parse("-0.01").unwrap()), &caps("9", "9")).unwrap();
        assert_eq!(amounts(&back), text(&[("a", "9"), ("b", "-9")]), "b has 9 of the 20");
        let rest =
            funding.correct((MarketIx(0), 2), "f", Rate::new(parse("-0.01").unwrap()), &caps("0", "99")).unwrap();
        assert_eq!(amounts(&rest), text(&[("a", "11"), ("b", "-11")]));
        assert!(funding.correct((MarketIx(0), 2), "g", Rate::ZERO, &BTreeMap::new()).is_err());
    }

    #[test]
    fn without_a_receiver_nobody_pays() {
        assert!(pay("0.01", vec![due("a", "1000", "50")]).1.is_empty());
    }
}
