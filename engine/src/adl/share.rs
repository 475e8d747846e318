//! The policies: how a position is scored, and how a need is shared among those who have room.

use super::ranking::Ranking;
use crate::apportion::apportion;
use crate::margin::Candidate;
use crate::money::{Quantity, Rate};
use crate::number::{self, Overflow, Rounding};
use crate::reject::Reject;
use crate::rules::{AdlPolicy, Market};
use rust_decimal::Decimal;

/// Decimals of a score: two positions that are nearer than that tie, and go by name.
const SCORE_SCALE: u32 = 8;
/// A loser without leverage comes after every other loser.
const LAST: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, true, 0);

fn ratio(numerator: Decimal, denominator: Decimal) -> Result<Decimal, Overflow> {
    if denominator.is_zero() {
        return Ok(Decimal::ZERO);
    }
    number::div(numerator, denominator, SCORE_SCALE, Rounding::Nearest)
}

/// The score of a position: the higher, the earlier.
///
/// Shape:  `queue`: r·λ for a winner, r÷λ for a loser, with r = PnL ÷ |cost| and λ = net notional ÷ equity of the
///         scope; `account_ratio`: (Σ PnL ÷ Σ |cost|) × (maintenance ÷ equity) of the scope; `leverage_water_filling`: λ;
///         `pro_rata`: r (only shown, size decides).
/// Rounds: each quotient and product to the nearest at 8 decimals.
/// Source: Binance "ADL ranking", BitMEX "auto-deleveraging".
pub(super) fn score(policy: AdlPolicy, candidate: &Candidate) -> Result<Rate, Reject> {
    let gain = ratio(candidate.pnl.get(), candidate.cost.abs().get())?;
    let leverage = ratio(candidate.net_notional.get(), candidate.equity.get())?;
    let product = |a, b| number::mul(a, b, SCORE_SCALE, Rounding::Nearest);
    Ok(Rate::new(match policy {
        AdlPolicy::Queue if candidate.pnl.is_positive() => product(gain, leverage)?,
        AdlPolicy::Queue if leverage.is_zero() => LAST,
        AdlPolicy::Queue => ratio(gain, leverage)?,
        AdlPolicy::AccountRatio => {
            let gain = ratio(candidate.scope_pnl.get(), candidate.scope_cost.get())?;
            product(gain, ratio(candidate.maintenance.get(), candidate.equity.get())?)?
        }
        AdlPolicy::ProRata => gain,
        AdlPolicy::LeverageWaterFilling => leverage,
    }))
}

/// Shares `need` among the places in `room`, none of which gives more than its room. Nearest in rank first where the
/// policy ranks.
pub(super) fn choose(
    market: &Market,
    policy: AdlPolicy,
    ranking: &Ranking,
    room: &[(usize, Quantity)],
    need: Quantity,
) -> Result<Vec<(usize, Quantity)>, Reject> {
    match policy {
        AdlPolicy::Queue | AdlPolicy::AccountRatio => in_order(room, need),
        AdlPolicy::ProRata => {
            // By name, so that equal remainders go by name.
            let mut named: Vec<(usize, Quantity)> = room.to_vec();
            named.sort_by(|a, b| name(ranking, a.0).cmp(&name(ranking, b.0)));
            let weights = lots(market, named.iter().map(|(_, quantity)| *quantity))?;
            by_weight(market, &named, &weights, need)
        }
        AdlPolicy::LeverageWaterFilling => water_filling(market, ranking, room, need),
    }
}

fn name(ranking: &Ranking, place: usize) -> Option<(&crate::id::AccountId, crate::id::Leg)> {
    ranking.at(place).map(|(candidate, _)| (&candidate.account, candidate.leg))
}

fn in_order(room: &[(usize, Quantity)], need: Quantity) -> Result<Vec<(usize, Quantity)>, Reject> {
    let (mut open, mut chosen) = (need, Vec::new());
    for (place, most) in room {
        if !open.is_positive() {
            break;
        }
        let taken = open.min(*most);
        open = open.minus(taken)?;
        chosen.push((*place, taken));
    }
    Ok(chosen)
}

fn lots(market: &Market, quantities: impl Iterator<Item = Quantity>) -> Result<Vec<u128>, Reject> {
    quantities.map(|quantity| to_lots(market, quantity)).collect()
}

fn to_lots(market: &Market, quantity: Quantity) -> Result<u128, Reject> {
    let whole = number::div(quantity.get(), market.lot_size.get(), 0, Rounding::Floor)?;
    Ok(u128::try_from(whole.mantissa()).map_err(|_| Overflow)?)
}

fn from_lots(market: &Market, lots: u128) -> Result<Quantity, Reject> {
    let whole = i128::try_from(lots).map_err(|_| Overflow)?;
    let whole = Decimal::try_from_i128_with_scale(whole, 0).map_err(|_| Overflow)?;
    Ok(Quantity::new(number::mul_exact(whole, market.lot_size.get())?))
}

/// In proportion to weights, by largest remainder, within each one's room; what a full one cannot give goes to the rest.
fn by_weight(
    market: &Market,
    room: &[(usize, Quantity)],
    weights: &[u128],
    need: Quantity,
) -> Result<Vec<(usize, Quantity)>, Reject> {
    let most = lots(market, room.iter().map(|(_, quantity)| *quantity))?;
    let mut weights = weights.to_vec();
    let mut given = vec![0_u128; room.len()];
    let mut open = to_lots(market, need)?;
    while open > 0 && weights.iter().any(|weight| *weight > 0) {
        let shares = apportion(open, &weights)?;
        let mut moved = 0_u128;
        for (place, share) in shares.iter().enumerate() {
            let (Some(sum), Some(top), Some(weight)) = (given.get_mut(place), most.get(place), weights.get_mut(place))
            else {
                continue;
            };
            let taken = (*share).min(top.saturating_sub(*sum));
            *sum = sum.saturating_add(taken);
            moved = moved.saturating_add(taken);
            if *sum == *top {
                *weight = 0;
            }
        }
        if moved == 0 {
            break;
        }
        open = open.saturating_sub(moved);
    }
    let pairs = room.iter().zip(given).filter(|(_, lots)| *lots > 0);
    pairs.map(|((place, _), lots)| Ok((*place, from_lots(market, lots)?))).collect()
}

/// Lowers the highest leverages to one level λ at which Σ (notional − λ·equity) is what is needed. The level depends on
/// the total only, so two steps come to the same as one.
fn water_filling(
    market: &Market,
    ranking: &Ranking,
    room: &[(usize, Quantity)],
    need: Quantity,
) -> Result<Vec<(usize, Quantity)>, Reject> {
    // Notional per contract is the same for all, so contracts stand for notional: leverage ∝ quantity ÷ equity.
    let mut tanks: Vec<(usize, Quantity, Decimal)> = Vec::with_capacity(room.len());
    for (place, most) in room {
        if let Some((candidate, _)) = ranking.at(*place) {
            tanks.push((*place, *most, candidate.equity.get()));
        }
    }
    let level_of = |quantity: Quantity, equity: Decimal| number::div(quantity.get(), equity, 14, Rounding::Nearest);
    let mut levels = Vec::with_capacity(tanks.len());
    for (place, most, equity) in tanks {
        levels.push((level_of(most, equity)?, place, most, equity));
    }
    levels.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| name(ranking, a.1).cmp(&name(ranking, b.1))));
    let total = levels.iter().try_fold(Decimal::ZERO, |sum, tank| number::add(sum, tank.2.get()))?;
    if total <= need.get() {
        return Ok(levels.into_iter().map(|(_, place, most, _)| (place, most)).collect());
    }
    let (mut quantity, mut equity, mut level) = (Decimal::ZERO, Decimal::ZERO, Decimal::ZERO);
    for (at, tank) in levels.iter().enumerate() {
        quantity = number::add(quantity, tank.2.get())?;
        equity = number::add(equity, tank.3)?;
        let next = levels.get(at.saturating_add(1)).map_or(Decimal::ZERO, |tank| tank.0);
        let rest = number::sub(quantity, need.get())?;
        if !rest.is_sign_negative() {
            level = number::div(rest, equity, 14, Rounding::Nearest)?;
            if level >= next {
                break;
            }
        }
    }
    let mut chosen: Vec<(usize, Quantity)> = Vec::new();
    let mut weights: Vec<u128> = Vec::new();
    for (_, place, most, equity) in &levels {
        let kept = number::mul(level, *equity, 12, Rounding::Nearest)?;
        let over = number::sub(most.get(), kept)?.max(Decimal::ZERO);
        chosen.push((*place, *most));
        let units = number::mul_div(over, Decimal::from(1_000_000_u64), market.lot_size.get(), 0, Rounding::Nearest)?;
        weights.push(u128::try_from(units.mantissa()).map_err(|_| Overflow)?);
    }
    by_weight(market, &chosen, &weights, need)
}
