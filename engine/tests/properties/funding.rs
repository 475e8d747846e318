//! Funding payments and corrections among accounts that have less than they owe, some of them with both legs.

use crate::cases;
use backstop_engine::command::{Command, Envelope};
use backstop_engine::event::{Event, Fact};
use backstop_engine::money::Money;
use backstop_engine::reference::{Options, Reference};
use proptest::prelude::*;
use serde_json::json;

/// Accounts h0 to h2 hedge, n0 to n2 do not.
const NAMES: [&str; 6] = ["h0", "h1", "h2", "n0", "n1", "n2"];

fn send(engine: &mut Reference, command: &serde_json::Value) -> Vec<Event> {
    let command = Envelope::read(&command.to_string()).unwrap().command;
    let done = engine.submit(&command, 0).unwrap();
    if matches!(command, Command::Funding { .. } | Command::FundingCorrection { .. }) {
        assert_eq!(done.result, Ok(()));
    }
    done.events
}

fn equities(engine: &Reference) -> Vec<(String, Money)> {
    let accounts = engine.shards().iter().flat_map(|shard| shard.accounts().map(move |account| (shard, account)));
    let own = accounts.filter(|(_, account)| !account.id.is_house());
    own.map(|(shard, account)| (account.id.to_string(), shard.view(&account.id).unwrap().assets[0].equity)).collect()
}

proptest! {
    #![proptest_config(cases(200))]

    #[test]
    fn a_funding_payment_or_correction_takes_from_nobody_more_than_he_has(
        deposits in prop::collection::vec(1..3_000_u32, 6),
        fills in prop::collection::vec((0..6_usize, 0..6_usize, 1..40_u32, any::<bool>(), any::<bool>()), 3..12),
        rates in prop::collection::vec((-900..900_i64, 0..3_usize, any::<bool>()), 1..10),
        isolated in any::<bool>(),
    ) {
        let mut engine = Reference::new(Options { shards: 2, shows_accounts: false });
        send(&mut engine, &json!({"type": "list_asset", "asset": "USDT", "scale": 2}));
        send(&mut engine, &json!({"type": "list_market", "market": "M", "kind": "linear", "asset": "USDT", "tick_size": "1",
            "lot_size": "1", "tiers": [{"initial_rate": "0.01", "maintenance_rate": "0.001"}]}));
        for (name, deposit) in NAMES.iter().zip(&deposits) {
            send(&mut engine, &json!({"type": "deposit", "account": name, "asset": "USDT", "amount": deposit.to_string()}));
            let mode = if name.starts_with('h') { "hedge" } else { "one_way" };
            send(&mut engine, &json!({"type": "set_position_mode", "account": name, "mode": mode}));
            if isolated && name.ends_with('1') {
                send(&mut engine, &json!({"type": "set_margin_mode", "account": name, "market": "M", "mode": "isolated"}));
            }
        }
        for (buyer, seller, lots, buyer_long, seller_long) in fills {
            let mut fill = json!({"type": "fill", "market": "M", "price": "100", "quantity": lots.to_string(),
                "buyer": NAMES[buyer], "seller": NAMES[seller], "trade": "t"});
            let leg = |long: bool| if long { "long" } else { "short" };
            if buyer < 3 {
                fill["buyer_leg"] = json!(leg(buyer_long));
            }
            if seller < 3 {
                fill["seller_leg"] = json!(leg(seller_long));
            }
            send(&mut engine, &fill);
        }
        send(&mut engine, &json!({"type": "price", "market": "M", "source": "a", "price": "100"}));
        send(&mut engine, &json!({"type": "tick"}));
        let mut paid = 0;
        for (rate, of, corrects) in rates {
            let before = equities(&engine);
            let rate = rust_decimal::Decimal::new(rate, 3).to_string();
            let command = if corrects && paid > 0 {
                json!({"type": "funding_correction", "market": "M", "of": format!("f{}", of % paid), "rate": rate})
            } else {
                paid += 1;
                json!({"type": "funding", "market": "M", "rate": rate, "id": format!("f{}", paid - 1)})
            };
            let events = send(&mut engine, &command);
            let touches = |event: &Event| matches!(event.fact, Fact::Claim { .. } | Fact::FundEntry(_) | Fact::Unbacked { .. });
            prop_assert!(!events.iter().any(touches), "{events:?}");
            for ((name, had), (_, has)) in before.iter().zip(equities(&engine)) {
                prop_assert!(!has.is_negative() || has >= *had, "{name} had {had}, has {has} after {command}");
            }
            let (balance, sound) = engine.audit().unwrap();
            prop_assert!(balance.holds() && sound, "{balance:?}");
        }
    }
}
