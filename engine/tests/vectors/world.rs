//! A market built from JSON as the API takes it, and an engine to trade it in.

use backstop_engine::command::{Command, Envelope};
use backstop_engine::id::{AccountId, Side};
use backstop_engine::money::{Price, Quantity};
use backstop_engine::number;
use backstop_engine::reference::{Options, Reference};
use backstop_engine::rules::{Market, Rules};
use backstop_engine::view::{FundView, PositionView};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::sync::Arc;

/// The settlement asset of every market here.
pub(crate) const ASSET: &str = "COIN";
/// The account on the other side of every trade.
pub(crate) const MAKER: &str = "maker";

/// Limit (none on an open last tier), initial rate, maintenance rate.
pub(crate) type Bracket = (Option<Decimal>, Decimal, Decimal);

/// One tier for all sizes, whose initial rate is its maintenance rate.
pub(crate) fn flat(rate: Decimal) -> Vec<Bracket> {
    vec![(None, rate, rate)]
}

/// `list_market`; `more` replaces or adds fields.
pub(crate) fn listing(name: &str, brackets: &[Bracket], more: Value) -> Value {
    let tiers: Vec<Value> = brackets
        .iter()
        .map(|(limit, initial, maintenance)| {
            let mut tier = json!({"initial_rate": initial.to_string(), "maintenance_rate": maintenance.to_string()});
            if let Some(limit) = limit {
                tier["notional_limit"] = json!(limit.to_string());
            }
            tier
        })
        .collect();
    let mut listing = json!({
        "type": "list_market", "market": name, "kind": "linear", "asset": ASSET,
        "tick_size": "0.01", "lot_size": "0.001", "tiers": tiers,
    });
    for (key, value) in more.as_object().unwrap() {
        listing[key] = value.clone();
    }
    listing
}

/// The market that a listing makes, or the code of the refusal.
pub(crate) fn try_market(listing: &Value, scale: u32) -> Result<Arc<Market>, String> {
    let mut rules = Rules::default();
    let asset = json!({"type": "list_asset", "asset": ASSET, "scale": scale});
    let Command::ListAsset(asset) = Envelope::read(&asset.to_string()).unwrap().command else { panic!("{asset}") };
    rules.put_asset(rules.check_asset(&asset).unwrap());
    let read = Envelope::read(&listing.to_string()).map_err(|malformed| malformed.code.as_str().to_owned())?;
    let Command::ListMarket(list) = read.command else { panic!("{listing}") };
    rules.check_market(&list).map_err(|reject| reject.code.as_str().to_owned())
}

/// The market that a listing makes.
pub(crate) fn market(listing: &Value, scale: u32) -> Arc<Market> {
    try_market(listing, scale).unwrap_or_else(|code| panic!("{code}: {listing}"))
}

/// `quantity` with the sign of a side.
pub(crate) fn signed(side: Side, quantity: Decimal) -> Quantity {
    Quantity::new(if side == Side::Buy { quantity } else { -quantity })
}

/// The engine, at the time 0, with a maker whose wallet is never in the way.
pub(crate) struct World {
    engine: Reference,
}

impl World {
    pub(crate) fn new(scale: u32) -> Self {
        let mut world = Self { engine: Reference::new(Options { shards: 3, shows_accounts: false }) };
        world.send(&json!({"type": "list_asset", "asset": ASSET, "scale": scale}));
        world.deposit(MAKER, Decimal::from(1_000_000_000_000_u64));
        world
    }

    /// Applies a command that must not be refused: its events. Everything must balance after it.
    pub(crate) fn send(&mut self, command: &Value) -> Vec<Value> {
        let read = Envelope::read(&command.to_string()).unwrap_or_else(|malformed| panic!("{command}: {malformed:?}"));
        let outcome =
            self.engine.submit(&read.command, 0).unwrap_or_else(|reject| panic!("{command}: refused: {reject}"));
        outcome.result.unwrap_or_else(|reject| panic!("{command}: refused: {reject}"));
        let (balance, sound) = self.engine.audit().unwrap();
        assert!(balance.holds() && sound, "{command}: {balance:?}");
        outcome.events.iter().map(|event| serde_json::to_value(event).unwrap()).collect()
    }

    pub(crate) fn deposit(&mut self, account: &str, amount: Decimal) {
        self.send(&json!({"type": "deposit", "account": account, "asset": ASSET, "amount": amount.to_string()}));
    }

    /// A trade with the maker.
    pub(crate) fn trade(&mut self, account: &str, market: &str, side: Side, quantity: Decimal, price: Decimal) {
        let (buyer, seller) = if side == Side::Buy { (account, MAKER) } else { (MAKER, account) };
        self.send(&json!({
            "type": "fill", "market": market, "price": price.to_string(), "quantity": quantity.to_string(),
            "buyer": buyer, "seller": seller, "trade": format!("{account}-{market}"),
        }));
    }

    /// An observation of the one source.
    pub(crate) fn price(&mut self, market: &str, price: Decimal) {
        self.send(&json!({"type": "price", "market": market, "source": "a", "price": price.to_string()}));
    }

    pub(crate) fn tick(&mut self) -> Vec<Value> {
        self.send(&json!({"type": "tick"}))
    }

    /// Puts money into the shared pool.
    pub(crate) fn endow(&mut self, amount: Decimal) {
        self.send(&json!({
            "type": "fund_credit", "asset": ASSET, "source": "seed_capital", "amount": amount.to_string(),
        }));
    }

    pub(crate) fn fund(&self) -> FundView {
        self.engine.fund(ASSET).unwrap()
    }

    pub(crate) fn mark(&self, market: &str) -> Option<Price> {
        self.engine.marks().into_iter().find(|view| view.market == market).and_then(|view| view.mark)
    }

    pub(crate) fn position(&self, account: &str, market: &str) -> PositionView {
        let view = self.engine.account(&AccountId(account.into())).unwrap();
        view.positions.into_iter().find(|position| position.market == market).unwrap()
    }

    /// An account with one position whose bankruptcy price is `bankruptcy`: entered at twice (long) or half (short) of it,
    /// with just the margin in between.
    pub(crate) fn open(&mut self, account: &str, market: &str, side: Side, quantity: Decimal, bankruptcy: Decimal) {
        let entry = match side {
            Side::Buy => number::mul_exact(bankruptcy, Decimal::TWO).unwrap(),
            Side::Sell => number::mul_exact(bankruptcy, Decimal::new(5, 1)).unwrap(),
        };
        let room = number::sub(entry, bankruptcy).unwrap().abs();
        self.deposit(account, number::mul_exact(room, quantity).unwrap());
        self.trade(account, market, side, quantity, entry);
    }
}

/// The events of one type.
pub(crate) fn events<'e>(all: &'e [Value], kind: &str) -> Vec<&'e Value> {
    all.iter().filter(|event| event["type"] == kind).collect()
}
