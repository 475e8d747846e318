use super::*;
use crate::demo::candles::Tape;
use std::collections::BTreeMap;

fn listing(accounts: usize) -> Listing {
    Listing::new(&Tape::october().unwrap(), accounts)
}

#[test]
fn every_market_sums_to_zero_and_nobody_trades_with_himself() {
    let listing = listing(5_000);
    let population = Population::new(&listing, 5_000, 3);
    assert_eq!(population.accounts.len(), 5_000);
    let mut lots: BTreeMap<(usize, Side), u64> = BTreeMap::new();
    let mut legs: BTreeMap<(usize, usize, Side), u64> = BTreeMap::new();
    for (place, account) in population.accounts.iter().enumerate() {
        for leg in &account.legs {
            *lots.entry((leg.contract, leg.side)).or_default() += leg.lots;
            *legs.entry((place, leg.contract, leg.side)).or_default() += leg.lots;
        }
    }
    for contract in 0..listing.contracts.len() {
        let of = |side| lots.get(&(contract, side)).copied().unwrap_or(0);
        assert_eq!(of(Side::Long), of(Side::Short), "{contract}");
        assert!(of(Side::Long) > 0);
    }
    for trade in &population.trades {
        assert_ne!(trade.buyer, trade.seller);
        for (account, side) in [(trade.buyer, Side::Long), (trade.seller, Side::Short)] {
            *legs.get_mut(&(account, trade.contract, side)).unwrap() -= trade.lots;
        }
    }
    assert!(legs.values().all(|open| *open == 0), "trades open exactly the positions");
}

#[test]
fn the_seed_decides_everything() {
    let listing = listing(1_000);
    assert_eq!(Population::new(&listing, 1_000, 7), Population::new(&listing, 1_000, 7));
    assert_ne!(Population::new(&listing, 1_000, 7), Population::new(&listing, 1_000, 8));
}

#[test]
fn the_population_is_calibrated_as_documented() {
    let listing = listing(50_000);
    for seed in [1, 2, 3, 4, 5] {
        let summary = Population::new(&listing, 50_000, seed).summary(&listing);
        let shown = format!("seed {seed}: {summary:?}");
        let within = |value: f64, wanted: f64, tolerance: f64| {
            assert!((value / wanted - 1.0).abs() <= tolerance, "{value} is not {wanted}: {shown}");
        };
        for (value, wanted) in summary.short_leverage.into_iter().zip([0.43, 3.2, 6.5]) {
            within(value, wanted, 0.12);
        }
        within(summary.tail_leverage_mean, 60.0, 0.12);
        within(summary.tail_interest_percent[0], 3.5, 0.15);
        within(summary.tail_interest_percent[1], 1.9, 0.15);
        within(summary.top_100_percent, 56.0, 0.12);
        within(summary.tail_index, 0.8, 0.15);
        within(as_float(summary.hedged), 12_500.0, 0.05);
    }
}

#[test]
fn deposits_cover_the_margin_and_leverage_stays_within_the_brackets() {
    let listing = listing(20_000);
    let population = Population::new(&listing, 20_000, 11);
    for (place, account) in population.accounts.iter().enumerate() {
        let mut margin = Decimal::ZERO;
        for leg in &account.legs {
            let contract = &listing.contracts[leg.contract];
            let notional = contract.notional(contract.quantity(leg.lots));
            let max = contract.leverage_max(notional.to_f64().unwrap());
            assert!(leg.leverage >= Decimal::ONE && leg.leverage <= max, "{place}: {} above {max}", leg.leverage);
            assert!(notional <= contract.tiers.last().unwrap().limit, "{place}");
            margin += notional / leg.leverage;
        }
        assert!(account.deposit.0 > margin, "{place}: {} does not cover {margin}", account.deposit);
    }
}

#[test]
fn hedged_accounts_hold_both_sides() {
    let listing = listing(2_000);
    let population = Population::new(&listing, 2_000, 5);
    let hedged: Vec<&Account> = population.accounts.iter().filter(|account| account.class == Class::Hedged).collect();
    let both = |account: &&&Account| {
        let has = |side| account.legs.iter().any(|leg| leg.side == side);
        has(Side::Long) && has(Side::Short)
    };
    assert!(hedged.iter().filter(both).count() * 100 >= hedged.len() * 99);
    let first = population.accounts.iter().position(|account| account.class == Class::Hedged).unwrap();
    assert!(population.is_hedged(&Population::name(first)));
    assert!(!population.is_hedged("a000000") && !population.is_hedged("b1"));
}
