//! Vega's settlement rounds, as the two rules of Backstop that they fall into: what a loser lacks is a shortfall that the
//! fund pays first come, first served, while it can; what was collected is shared among the winners as a funding payment
//! is.

use crate::case::{Case, figure, shown};
use crate::world::{ASSET, flat, listing};
use backstop_engine::admission::Admission;
use backstop_engine::command::Envelope;
use backstop_engine::fund::{Fund, FundReply, FundRequest};
use backstop_engine::funding::Funding;
use backstop_engine::id::{AccountId, Leg, LiquidationId, MarketIx, OrderId};
use backstop_engine::margin::{Due, Posting, Scope};
use backstop_engine::money::{Money, Rate};
use backstop_engine::number;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

const MARKET: MarketIx = MarketIx(0);

/// A fund in whole units with this much in its shared pool.
fn fund(pool: Decimal) -> Fund {
    let (mut admission, mut fund) = (Admission::default(), Fund::default());
    let mut commands = vec![
        json!({"type": "list_asset", "asset": ASSET, "scale": 0}),
        listing("M", &flat(Decimal::new(1, 2)), json!({})),
    ];
    if !pool.is_zero() {
        commands.push(json!({
            "type": "fund_credit", "asset": ASSET, "source": "seed_capital", "amount": pool.to_string(),
        }));
    }
    for command in commands {
        let command = Envelope::read(&command.to_string()).unwrap().command;
        let entry = admission.admit(&command, 0).unwrap();
        fund.at(entry.seq, entry.time);
        fund.apply(&entry.instruction).unwrap();
    }
    fund
}

/// What the fund pays of a shortfall.
fn cover(fund: &mut Fund, number: u64, shortfall: Money) -> Money {
    let order = OrderId(number);
    let (liquidation, account) = (LiquidationId(number), AccountId("loser".into()));
    let (scope, market) = (Scope::Cross, MARKET);
    fund.ask(&FundRequest::Reserve { order, liquidation, account, scope, market, asked: shortfall }).unwrap();
    let settle = FundRequest::Settle { order, step: 1, fee: Money::ZERO, surplus: Money::ZERO, shortfall };
    let (reply, _) = fund.ask(&settle).unwrap();
    fund.ask(&FundRequest::Release { order }).unwrap();
    let FundReply::Settled { paid, owed } = reply else { panic!("{reply:?}") };
    assert_eq!(paid.plus(owed).unwrap(), shortfall);
    paid
}

pub(crate) fn round(case: &Case) -> Value {
    let mut fund = fund(case.figure("insurance_pool"));
    let mut dues = Vec::new();
    // Numbered, so that the order by name is that of the vector.
    for (loser, number) in case.list("losers").iter().zip(1..) {
        let has = ["margin", "general", "bond"].map(|part| figure(&loser[part]));
        let has = has.iter().fold(Money::ZERO, |sum, part| sum.plus(Money::new(*part)).unwrap());
        let loss = Money::new(figure(&loser["loss"]));
        let lacks = loss.minus(has).unwrap().or_zero();
        let paid = if lacks.is_positive() { cover(&mut fund, number, lacks) } else { Money::ZERO };
        let cap = Some(has.plus(paid).unwrap());
        dues.push(Due {
            account: AccountId(format!("loser-{number:02}").into()),
            leg: Leg::Net,
            weight: loss,
            scope: Scope::Cross,
            cap,
        });
    }
    for (winner, number) in case.list("winners").iter().zip(1..) {
        let weight = -Money::new(figure(&winner["amount"]));
        let account = AccountId(format!("winner-{number:02}").into());
        dues.push(Due { account, leg: Leg::Net, weight, scope: Scope::Cross, cap: Some(Money::ZERO) });
    }
    let mut funding = Funding::default();
    let postings = funding.pay((MARKET, 0), "round".into(), Rate::new(Decimal::ONE), dues).unwrap();
    let (mut collected, mut received) = (Decimal::ZERO, Decimal::ZERO);
    let mut shares = Map::new();
    for posting in &postings {
        let Posting::Pay { account, amount, .. } = posting else { panic!("{posting:?}") };
        match account.0.strip_prefix("winner-") {
            Some(number) => {
                let winner = &case.list("winners")[number.parse::<usize>().unwrap() - 1];
                shares.insert(winner["party"].as_str().unwrap().to_owned(), shown(amount.get()));
                received = number::add(received, amount.get()).unwrap();
            }
            None => collected = number::sub(collected, amount.get()).unwrap(),
        }
    }
    assert_eq!(received, collected, "all that was collected is shared");
    assert!(fund.audit().unwrap());
    let pool = fund.view(ASSET).unwrap().balance.get();
    let of = |key: &str| -> Value {
        let named = case.expected.get(key).and_then(Value::as_object).into_iter().flatten();
        let share = |party: &String| shares.get(party).cloned().unwrap_or(json!("0"));
        named.map(|(party, _)| (party.clone(), share(party))).collect::<Map<_, _>>().into()
    };
    json!({
        "collected": shown(collected),
        "insurance_pool_after": shown(pool),
        "payouts": of("payouts"),
        "payouts_derived": of("payouts_derived"),
    })
}
