//! Who is deleveraged: every policy takes what is needed and no more, whoever is asked first.

use crate::cases;
use backstop_engine::adl::{Cut, Ranking};
use backstop_engine::command::{Command, Envelope};
use backstop_engine::id::{AccountId, Leg, Side};
use backstop_engine::margin::{Candidate, Scope};
use backstop_engine::money::{Money, Notional, Price, Quantity};
use backstop_engine::rules::{Market, Rules};
use proptest::prelude::*;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const POLICIES: [&str; 4] = ["queue", "pro_rata", "leverage_water_filling", "account_ratio"];
/// The mark; positions are closed here or at worse prices for their holders.
const MARK: i64 = 1_000;

fn market(policy: &str) -> Arc<Market> {
    let mut rules = Rules::default();
    let read = |text: &str| Envelope::read(text).unwrap().command;
    if let Command::ListAsset(list) = read(r#"{"type":"list_asset","asset":"USDT","scale":6}"#) {
        rules.put_asset(rules.check_asset(&list).unwrap());
    }
    let tiers = r#"[{"initial_rate":"0.1","maintenance_rate":"0.05"}]"#;
    let list = format!(
        r#"{{"type":"list_market","market":"M","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1","tiers":{tiers},"adl":{{"policy":"{policy}"}}}}"#
    );
    if let Command::ListMarket(list) = read(&list) {
        return rules.check_market(&list).unwrap();
    }
    unreachable!()
}

/// A short of so many lots from so much above the mark, with so much equity beyond its maintenance.
#[derive(Debug, Clone)]
struct Short {
    lots: i64,
    gain: i64,
    equity: i64,
    hedged: i64,
}

fn shorts() -> impl Strategy<Value = Vec<Short>> {
    let short = (1..500_i64, -200..400_i64, 1..400_000_i64, prop::option::weighted(0.2, 0..500_i64));
    let short =
        short.prop_map(|(lots, gain, equity, hedged)| Short { lots, gain, equity, hedged: hedged.unwrap_or(0) });
    prop::collection::vec(short, 1..9)
}

fn money(units: i64) -> Money {
    Money::new(Decimal::from(units))
}

fn candidate(place: usize, short: &Short) -> Candidate {
    let notional = short.lots * MARK;
    let net = (notional - short.hedged * MARK).max(0);
    let maintenance = notional / 20;
    Candidate {
        account: AccountId(format!("s{place}").into()),
        leg: Leg::Net,
        quantity: Quantity::new(Decimal::from(short.lots)),
        cost: money(-short.lots * (MARK + short.gain)),
        pnl: money(short.lots * short.gain),
        notional: Notional::new(Decimal::from(notional)),
        net_notional: Notional::new(Decimal::from(net)),
        equity: money(maintenance + short.equity),
        maintenance: money(maintenance),
        scope_pnl: money(short.lots * short.gain),
        scope_cost: money(short.lots * (MARK + short.gain)),
        scope: Scope::Cross,
        hedged: short.hedged > 0,
    }
}

fn ranking(market: &Market, shorts: &[Short], turned: bool) -> Ranking {
    let mut candidates: Vec<Candidate> =
        shorts.iter().enumerate().map(|(place, short)| candidate(place, short)).collect();
    if turned {
        candidates.reverse();
    }
    Ranking::new(market, Side::Sell, Price::new(Decimal::from(MARK)), candidates).unwrap()
}

fn lots(quantity: Quantity) -> i64 {
    i64::try_from(quantity.get()).unwrap()
}

/// Closes `needs` one after the other, at so much above the mark: lots by account.
fn close(ranking: &mut Ranking, market: &Market, needs: &[i64], loss: i64) -> (BTreeMap<AccountId, i64>, Vec<Cut>) {
    let (mut sums, mut all, mut spent) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    for need in needs {
        let need = Quantity::new(Decimal::from(*need));
        let price = Price::new(Decimal::from(MARK + loss));
        for cut in ranking.select(market, need, price, &BTreeSet::new(), &mut spent).unwrap() {
            *sums.entry(cut.account.clone()).or_insert(0) += lots(cut.quantity);
            all.push(cut);
        }
    }
    (sums, all)
}

fn held(shorts: &[Short], account: &AccountId) -> (i64, i64) {
    let place: usize = account.0.trim_start_matches('s').parse().unwrap();
    (shorts[place].lots, shorts[place].lots * MARK / 20 + shorts[place].equity)
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_cut_is_never_more_than_the_need_nor_than_the_position_nor_than_its_holder_can_bear(
        shorts in shorts(), need in 1..3_000_i64, loss in 0..300_i64, policy in 0..4_usize,
    ) {
        let market = market(POLICIES[policy]);
        let (sums, cuts) = close(&mut ranking(&market, &shorts, false), &market, &[need], loss);
        prop_assert!(sums.values().sum::<i64>() <= need);
        prop_assert!(cuts.iter().all(|cut| cut.quantity.is_positive()));
        for (account, cut) in &sums {
            let (held, equity) = held(&shorts, account);
            prop_assert!(*cut <= held, "{account} held {held}, cut {cut}");
            prop_assert!(cut * loss <= equity, "{account} had {equity}, lost {}", cut * loss);
        }
        // What can be found is found.
        let found: i64 = shorts.iter().enumerate().map(|(place, short)| {
            let equity = held(&shorts, &AccountId(format!("s{place}").into())).1;
            if loss > 0 { short.lots.min(equity / loss) } else { short.lots }
        }).sum();
        prop_assert_eq!(sums.values().sum::<i64>(), need.min(found));
    }

    #[test]
    fn the_order_in_which_candidates_are_looked_at_changes_nothing(
        shorts in shorts(), need in 1..3_000_i64, loss in 0..300_i64, policy in 0..4_usize,
    ) {
        let market = market(POLICIES[policy]);
        let one = close(&mut ranking(&market, &shorts, false), &market, &[need], loss);
        let other = close(&mut ranking(&market, &shorts, true), &market, &[need], loss);
        prop_assert_eq!(one, other);
    }

    #[test]
    fn winners_are_cut_before_losers(shorts in shorts(), need in 1..3_000_i64, policy in 0..4_usize) {
        let market = market(POLICIES[policy]);
        let (sums, _) = close(&mut ranking(&market, &shorts, false), &market, &[need], 0);
        let name = |place: usize| AccountId(format!("s{place}").into());
        let cut = |place: usize| sums.get(&name(place)).copied().unwrap_or(0);
        let losers_cut = shorts.iter().enumerate().any(|(place, short)| short.gain <= 0 && cut(place) > 0);
        if losers_cut {
            for (place, short) in shorts.iter().enumerate().filter(|(_, short)| short.gain > 0) {
                prop_assert_eq!(cut(place), short.lots, "s{} still had room", place);
            }
        }
    }

    #[test]
    fn water_filling_in_two_steps_comes_to_the_same_as_in_one(
        shorts in shorts(), first in 1..1_500_i64, second in 1..1_500_i64,
    ) {
        let shorts: Vec<Short> =
            shorts.into_iter().map(|short| Short { gain: short.gain.abs() + 1, hedged: 0, ..short }).collect();
        let market = market("leverage_water_filling");
        let (one, _) = close(&mut ranking(&market, &shorts, false), &market, &[first + second], 0);
        let (two, _) = close(&mut ranking(&market, &shorts, false), &market, &[first, second], 0);
        for place in 0..shorts.len() {
            let name = AccountId(format!("s{place}").into());
            let cut = |sums: &BTreeMap<AccountId, i64>| sums.get(&name).copied().unwrap_or(0);
            prop_assert!((cut(&one) - cut(&two)).abs() <= 1, "{name}: {} against {}", cut(&one), cut(&two));
        }
    }

    #[test]
    fn water_filling_leaves_nobody_that_was_cut_above_anybody_that_was_not(shorts in shorts(), need in 1..3_000_i64) {
        let shorts: Vec<Short> =
            shorts.into_iter().map(|short| Short { gain: short.gain.abs() + 1, hedged: 0, ..short }).collect();
        let market = market("leverage_water_filling");
        let (sums, _) = close(&mut ranking(&market, &shorts, false), &market, &[need], 0);
        let state = |place: usize| {
            let name = AccountId(format!("s{place}").into());
            let (held, equity) = held(&shorts, &name);
            let cut = sums.get(&name).copied().unwrap_or(0);
            (held - cut, equity, cut)
        };
        for cut in (0..shorts.len()).filter(|place| state(*place).2 > 0) {
            for other in 0..shorts.len() {
                let ((left, equity, _), (theirs, their_equity, _)) = (state(cut), state(other));
                // (left − 1) ÷ equity ≤ … : up to a lot, nobody else stands higher than one who was cut.
                prop_assert!((theirs - 1) * equity <= (left + 1) * their_equity, "s{cut} was cut below s{other}");
            }
        }
    }

    #[test]
    fn pro_rata_takes_the_same_share_of_everybody_up_to_a_lot(shorts in shorts(), need in 1..3_000_i64) {
        let shorts: Vec<Short> =
            shorts.into_iter().map(|short| Short { gain: short.gain.abs() + 1, hedged: 0, ..short }).collect();
        let market = market("pro_rata");
        let (sums, _) = close(&mut ranking(&market, &shorts, false), &market, &[need], 0);
        let total: i64 = shorts.iter().map(|short| short.lots).sum();
        for (place, short) in shorts.iter().enumerate() {
            let cut = sums.get(&AccountId(format!("s{place}").into())).copied().unwrap_or(0);
            let exact = need.min(total) * short.lots;
            prop_assert!((cut * total - exact).abs() < total, "s{place}: {cut} of {}", short.lots);
        }
    }
}
