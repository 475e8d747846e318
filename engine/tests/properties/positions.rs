//! One position: its liquidation price is the engine's own breach, and a fill at its bankruptcy price leaves nothing.

use crate::cases;
use backstop_engine::command::Envelope;
use backstop_engine::event::{Event, Fact};
use backstop_engine::id::AccountId;
use backstop_engine::reference::{Options, Reference};
use backstop_engine::view::PositionView;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;

/// A trader with one position, and sometimes a second one in a market that does not move.
#[derive(Debug, Clone)]
struct Trader {
    inverse: bool,
    long: bool,
    isolated: bool,
    steps: bool,
    lots: u32,
    entry: u32,
    margin_percent: u32,
    beside: bool,
}

fn traders() -> impl Strategy<Value = Trader> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (flags, 100..50_000_u32, 20_000..200_000_u32, 7..60_u32).prop_map(
        |((inverse, long, isolated, steps, beside), lots, entry, margin_percent)| {
            let beside = beside && !isolated;
            Trader { inverse, long, isolated, steps, lots, entry, margin_percent, beside }
        },
    )
}

/// Prices are half units; the tick is 0.5.
fn price(halves: i64) -> String {
    Decimal::new(halves * 5, 1).to_string()
}

struct Desk {
    engine: Reference,
}

impl Desk {
    fn send(&mut self, command: &serde_json::Value) -> Vec<Event> {
        let command = Envelope::read(&command.to_string()).unwrap().command;
        let done = self.engine.submit(&command, 0).unwrap();
        assert_eq!(done.result, Ok(()), "{command:?}");
        done.events
    }

    /// The trader at work, the position priced at its entry.
    fn open(trader: &Trader, venue: &str) -> Self {
        let mut desk = Self { engine: Reference::new(Options::default()) };
        let asset = if trader.inverse { "BTC" } else { "USDT" };
        desk.send(&json!({"type": "list_asset", "asset": asset, "scale": if trader.inverse { 8 } else { 6 }}));
        let tiers = if trader.steps {
            let limits = if trader.inverse { ["1", "5"] } else { ["20000", "300000"] };
            json!([{"notional_limit": limits[0], "initial_rate": "0.02", "maintenance_rate": "0.01"},
                   {"notional_limit": limits[1], "initial_rate": "0.05", "maintenance_rate": "0.025"},
                   {"initial_rate": "0.06", "maintenance_rate": "0.05"}])
        } else {
            json!([{"initial_rate": "0.06", "maintenance_rate": "0.03"}])
        };
        for market in ["M", "N"] {
            desk.send(&json!({"type": "list_market", "market": market, "kind": if trader.inverse { "inverse" } else { "linear" },
                "asset": asset, "contract_size": if trader.inverse { "100" } else { "1" }, "tick_size": "0.5", "venue": venue,
                "lot_size": if trader.inverse { "1" } else { "0.001" }, "tiers": tiers}));
        }
        desk.send(&json!({"type": "fund_credit", "asset": asset, "source": "seed_capital", "amount": "1000000"}));
        let quantity = desk.quantity(trader, trader.lots);
        // Margin as a share of the notional at entry, at the asset's scale.
        let size = if trader.inverse {
            Decimal::from(trader.lots) * Decimal::from(200) / Decimal::from(trader.entry)
        } else {
            Decimal::new(i64::from(trader.lots), 3) * Decimal::from(trader.entry) / Decimal::TWO
        };
        let margin = (size * Decimal::new(i64::from(trader.margin_percent), 2)).round_dp(6);
        desk.send(&json!({"type": "deposit", "account": "t", "asset": asset, "amount": margin.to_string()}));
        desk.send(&json!({"type": "deposit", "account": "other", "asset": asset, "amount": "100000000"}));
        if trader.isolated {
            desk.send(&json!({"type": "set_margin_mode", "account": "t", "market": "M", "mode": "isolated"}));
        }
        let (buyer, seller) = if trader.long { ("t", "other") } else { ("other", "t") };
        let entry = price(i64::from(trader.entry));
        desk.send(&json!({"type": "price", "market": "M", "source": "a", "price": entry}));
        desk.send(&json!({"type": "price", "market": "N", "source": "a", "price": entry}));
        desk.send(&json!({"type": "fill", "market": "M", "price": entry, "quantity": quantity, "buyer": buyer,
            "seller": seller, "trade": "t1"}));
        if trader.beside {
            let quantity = desk.quantity(trader, (trader.lots / 10).max(1));
            desk.send(&json!({"type": "fill", "market": "N", "price": entry, "quantity": quantity, "buyer": seller,
                "seller": buyer, "trade": "t2"}));
        }
        desk.send(&json!({"type": "tick"}));
        desk
    }

    fn quantity(&self, trader: &Trader, lots: u32) -> String {
        if trader.inverse { lots.to_string() } else { Decimal::new(i64::from(lots), 3).to_string() }
    }

    fn position(&self) -> Option<PositionView> {
        let view = self.engine.account(&AccountId("t".into()))?;
        view.positions.into_iter().find(|position| position.market == "M")
    }

    fn wallet(&self) -> Decimal {
        self.engine.account(&AccountId("t".into())).unwrap().assets[0].wallet.get()
    }

    /// Is the trader liquidated at this price?
    fn is_breached_at(&mut self, halves: i64) -> bool {
        self.send(&json!({"type": "price", "market": "M", "source": "a", "price": price(halves)}));
        let events = self.send(&json!({"type": "tick"}));
        events.iter().any(|event| matches!(&event.fact, Fact::LiquidationStarted { account, .. } if account.0 == "t"))
    }
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn a_position_is_liquidated_at_its_liquidation_price_and_not_one_tick_before(trader in traders()) {
        let Some(position) = Desk::open(&trader, "external").position() else { return Ok(()) };
        let Some(breach) = position.liquidation_price else { return Ok(()) };
        let halves = breach.get() * Decimal::TWO;
        // The tick on the safe side, and the one at or beyond the breach. Where a tick is worth less than the rounding of
        // maintenance (one unit of the asset) the next one decides.
        let (safe, beyond) = if trader.long {
            (halves.floor() + Decimal::ONE, halves.floor())
        } else {
            (halves.ceil() - Decimal::ONE, halves.ceil())
        };
        let slack = if trader.inverse { 1 } else { 0 };
        let away = if trader.long { slack } else { -slack };
        let (safe, beyond) = (i64::try_from(safe).unwrap() + away, i64::try_from(beyond).unwrap() - away);
        if beyond < 1 || safe < 1 {
            return Ok(());
        }
        prop_assert!(!Desk::open(&trader, "external").is_breached_at(safe), "safe {} of {breach}: {position:?}", price(safe));
        prop_assert!(Desk::open(&trader, "external").is_breached_at(beyond), "at {} of {breach}: {position:?}", price(beyond));
    }

    #[test]
    fn a_fill_at_the_bankruptcy_price_leaves_exactly_zero_or_the_rounding(trader in traders()) {
        let trader = Trader { beside: false, ..trader };
        let mut desk = Desk::open(&trader, "external");
        let Some(position) = desk.position() else { return Ok(()) };
        let Some(breach) = position.liquidation_price else { return Ok(()) };
        let own = desk.wallet() - position.isolated_margin.map_or(desk.wallet(), |margin| margin.get());
        let at = (breach.get() * Decimal::TWO).floor();
        let at = i64::try_from(at).unwrap() + if trader.long { -2 } else { 2 };
        if at < 1 || !desk.is_breached_at(at) {
            return Ok(());
        }
        let (id, order) = desk.engine.queue().orders().next().map(|(id, order)| (*id, order.clone())).unwrap();
        let (quantity, bankruptcy) = (order.left, order.bankruptcy);
        let events = desk.send(&json!({"type": "liquidation_fill", "order": id.to_string(), "trade": "v",
            "price": bankruptcy.to_string(), "quantity": quantity.to_string()}));
        let settled = events.iter().find_map(|event| match &event.fact {
            Fact::LiquidationSettled { fee, surplus, shortfall, .. } => Some((fee.get(), surplus.get(), shortfall.get())),
            _ => None,
        });
        prop_assert_eq!(settled, Some((Decimal::ZERO, Decimal::ZERO, Decimal::ZERO)));
        let left = desk.wallet() - own;
        // A tick of the whole position, and a unit of the asset.
        let size = quantity.get() * Decimal::from(if trader.inverse { 100 } else { 1 });
        let tick = if trader.inverse {
            let (low, high) = (bankruptcy.get() - Decimal::new(5, 1), bankruptcy.get() + Decimal::new(5, 1));
            size / low.max(Decimal::new(5, 1)) - size / high
        } else {
            size / Decimal::TWO
        };
        let unit = if trader.inverse { Decimal::new(2, 8) } else { Decimal::new(2, 6) };
        prop_assert!(left >= Decimal::ZERO && left <= tick + unit, "left {left}, tick {tick}, {trader:?}");
        prop_assert_eq!(desk.position().map(|position| position.quantity), None);
    }
}
