//! A random venue: markets, accounts and commands drawn from small numbers, played on the reference one by one.
//!
//! Every command is checked when it is played: the books balance to the last digit, Σ quantity is zero, the fund is
//! sound, nothing but a shortfall leaves it, a refusal changes nothing, and ADL stays within its bounds.

use backstop_engine::command::{Command, Envelope};
use backstop_engine::event::{Event, Fact, Reason};
use backstop_engine::id::{AccountId, Leg, Millis, Side};
use backstop_engine::money::{Money, Quantity};
use backstop_engine::reference::{Options, Reference};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;
use std::collections::BTreeMap;

/// What the venue allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything is closed inside, in the same tick: after a tick nobody is in breach.
    AtRest,
    /// Also external venues and pace: liquidations take their time.
    Mixed,
}

/// A market, as indices into lists of what is possible.
#[derive(Debug, Clone)]
pub struct Spec {
    inverse: bool,
    tiers: u8,
    policy: u8,
    at_mark: bool,
    reduce: u8,
    takeover: bool,
    surplus: u8,
    depth: u8,
    fee: bool,
    pool: u8,
    hedged: bool,
    drawdown: bool,
    external: bool,
    pace: bool,
}

fn spec() -> impl Strategy<Value = Spec> {
    let rules = (any::<bool>(), 0..3_u8, 0..4_u8, prop::bool::weighted(0.2), 0..3_u8, any::<bool>(), 0..3_u8);
    let rest =
        (0..4_u8, any::<bool>(), 0..3_u8, any::<bool>(), prop::bool::weighted(0.2), any::<bool>(), any::<bool>());
    (rules, rest).prop_map(|((inverse, tiers, policy, at_mark, reduce, takeover, surplus), rest)| {
        let (depth, fee, pool, hedged, drawdown, external, pace) = rest;
        let venue = (takeover, surplus, depth, fee, pool);
        let (takeover, surplus, depth, fee, pool) = venue;
        Spec {
            inverse,
            tiers,
            policy,
            at_mark,
            reduce,
            takeover,
            surplus,
            depth,
            fee,
            pool,
            hedged,
            drawdown,
            external,
            pace,
        }
    })
}

/// One step: a kind and numbers it makes its figures of.
pub type Step = (u8, u8, u8, u8, u32, u32);

/// A whole run. It shows itself as nothing: the message of a failure has it as a scenario file.
#[derive(Clone)]
pub struct Script {
    /// The markets.
    pub markets: Vec<Spec>,
    /// Seed capital of the fund, in thousands.
    pub seed: u32,
    /// Deposits, one for each account.
    pub deposits: Vec<u32>,
    /// What happens.
    pub steps: Vec<Step>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "a run of {} steps in {} markets", self.steps.len(), self.markets.len())
    }
}

/// Random runs of up to `length` steps.
pub fn scripts(length: usize) -> impl Strategy<Value = Script> {
    let step = (0..40_u8, 0..9_u8, 0..9_u8, 0..3_u8, 0..10_000_u32, 0..10_000_u32);
    let deposits = prop::collection::vec(1..60_u32, 9);
    (prop::collection::vec(spec(), 2..4), 0..8_u32, deposits, prop::collection::vec(step, 10..length))
        .prop_map(|(markets, seed, deposits, steps)| Script { markets, seed, deposits, steps })
}

/// A venue that is being played.
pub struct World {
    pub engine: Reference,
    kind: Kind,
    specs: Vec<Spec>,
    ticks: Vec<u64>,
    time: Millis,
    fundings: u32,
    trades: u32,
    /// What was played, to be played again.
    pub log: Vec<(Command, Millis)>,
    /// What came of it.
    pub tape: Vec<Event>,
}

/// The last account is the venue's own: trades with it leave the open interest lopsided.
fn name(account: u8) -> String {
    if account == 8 { "house:venue".to_owned() } else { format!("a{account}") }
}

fn leg_of(account: u8, y: u32) -> Option<&'static str> {
    let hedge = account == 6 || account == 7;
    hedge.then_some(if y.is_multiple_of(2) { "long" } else { "short" })
}

impl World {
    /// Lists the markets, endows the fund and the accounts, gives every market a price and ticks once.
    pub fn new(script: &Script, kind: Kind, shards: usize) -> Self {
        let mut world = Self {
            engine: Reference::new(Options { shards, shows_accounts: true }),
            kind,
            specs: script.markets.clone(),
            ticks: script.markets.iter().map(|_| 100_000).collect(),
            time: 0,
            fundings: 0,
            trades: 0,
            log: Vec::new(),
            tape: Vec::new(),
        };
        world.must(json!({"type": "list_asset", "asset": "USDT", "scale": 6, "when_unbacked": "haircut"}));
        world.must(json!({"type": "list_asset", "asset": "BTC", "scale": 8}));
        for market in 0..script.markets.len() {
            let list = world.listing(market, &script.markets[market].clone());
            world.must(list);
        }
        for (asset, unit) in [("USDT", "000"), ("BTC", ".01")] {
            if script.seed > 0 {
                let amount = format!("{}{unit}", script.seed);
                world.must(json!({"type": "fund_credit", "asset": asset, "source": "seed_capital", "amount": amount}));
            }
        }
        for (account, deposit) in script.deposits.iter().enumerate().take(8) {
            let id = name(u8::try_from(account).unwrap());
            world.must(json!({"type": "deposit", "account": id, "asset": "USDT", "amount": format!("{deposit}00")}));
            let coins = Decimal::new(i64::from(*deposit), 3);
            world.must(json!({"type": "deposit", "account": id, "asset": "BTC", "amount": coins.to_string()}));
        }
        for account in ["a6", "a7"] {
            world.must(json!({"type": "set_position_mode", "account": account, "mode": "hedge"}));
        }
        for account in ["a4", "a5", "a7"] {
            world.must(json!({"type": "set_margin_mode", "account": account, "market": "M1", "mode": "isolated"}));
        }
        for market in 0..script.markets.len() {
            world.price(market, "a");
        }
        world.must(json!({"type": "tick"}));
        world
    }

    fn listing(&self, market: usize, spec: &Spec) -> serde_json::Value {
        let tiers = match spec.tiers {
            0 => json!([{"initial_rate": "0.1", "maintenance_rate": "0.05"}]),
            1 => json!([{"notional_limit": "1", "initial_rate": "0.05", "maintenance_rate": "0.02"},
                        {"notional_limit": "20000", "initial_rate": "0.1", "maintenance_rate": "0.04"},
                        {"initial_rate": "0.2", "maintenance_rate": "0.1"}]),
            _ => json!([{"notional_limit": "5000", "initial_rate": "0.02", "maintenance_rate": "0.01"},
                        {"initial_rate": "0.05", "maintenance_rate": "0.025"}]),
        };
        let reduce = match spec.reduce {
            0 => json!("full"),
            1 => json!("tier_step"),
            _ => json!({"fraction": "0.3"}),
        };
        let surplus = match spec.surplus {
            0 => json!("fund"),
            1 => json!("account"),
            _ => json!({"fund_share": "0.37"}),
        };
        let policy = ["queue", "pro_rata", "leverage_water_filling", "account_ratio"][usize::from(spec.policy)];
        let coin = spec.inverse;
        let embedded = match spec.depth {
            0 => json!({}),
            1 => json!({"depth_per_bp": if coin { "0.01" } else { "500" }, "recovery_ms": 5000}),
            2 => json!({"depth_per_bp": if coin { "1" } else { "20000" }, "recovery_ms": 0}),
            _ => json!({"depth_per_bp": if coin { "0.001" } else { "50" }, "recovery_ms": 60000}),
        };
        let mixed = self.kind == Kind::Mixed;
        let external = mixed && spec.external;
        let venue = if external { json!("external") } else { json!({"embedded": embedded}) };
        let mut liquidation = json!({"reduce": reduce, "surplus": surplus, "order_ttl_ms": 3000,
            "residual": if spec.takeover { "takeover" } else { "adl" }, "fee_rate": if spec.fee { "0.005" } else { "0" },
            "restore_ratio": if spec.reduce == 2 { "1.1" } else { "1" }});
        if mixed && spec.pace {
            liquidation["pace_per_second"] = json!(if coin { "0.3" } else { "9000" });
        }
        let mut adl = json!({"policy": policy, "price": if spec.at_mark { "mark" } else { "bankruptcy" }});
        if spec.hedged {
            adl["hedge_group"] = json!("g");
        }
        if spec.drawdown {
            adl["drawdown"] = json!({"window_ms": 60000, "start": "0.3", "stop": "0.2"});
        }
        let pool = match spec.pool {
            0 => json!({}),
            1 => {
                json!({"name": "own", "shared_draw_cap": if coin { "0.01" } else { "700" }, "window_ms": CAP_WINDOW_MS})
            }
            _ => json!({"shared_draw_cap": if coin { "0.02" } else { "1500" }, "window_ms": CAP_WINDOW_MS}),
        };
        json!({"type": "list_market", "market": format!("M{market}"), "kind": if coin { "inverse" } else { "linear" },
            "asset": if coin { "BTC" } else { "USDT" }, "contract_size": if coin { "10" } else { "1" },
            "tick_size": "0.5", "lot_size": if coin { "1" } else { "0.001" }, "tiers": tiers, "liquidation": liquidation,
            "adl": adl, "pool": pool, "venue": venue, "oracle": {"stale_after_ms": 3_000_000_000_u64}})
    }

    fn lots(&self, market: usize, lots: u32) -> String {
        if self.specs[market].inverse { (lots * 5).to_string() } else { Decimal::new(i64::from(lots), 3).to_string() }
    }

    fn price_text(&self, market: usize, permille: i64) -> String {
        let ticks = i64::try_from(self.ticks[market]).unwrap();
        Decimal::new((ticks * (1_000 + permille) / 1_000).max(1) * 5, 1).to_string()
    }

    fn price(&mut self, market: usize, source: &str) {
        let price = self.price_text(market, 0);
        self.must(json!({"type": "price", "market": format!("M{market}"), "source": source, "price": price}));
    }

    fn must(&mut self, command: serde_json::Value) {
        let text = command.to_string();
        assert_eq!(self.send(&text), Ok(()), "{text}");
    }

    /// Plays one step of a script. A step may be refused; it may not break anything.
    pub fn step(&mut self, step: Step) {
        let (kind, a, b, m, x, y) = step;
        let market = usize::from(m) % self.specs.len();
        let (id, name_m) = (name(a % 8), format!("M{market}"));
        let coin = self.specs[market].inverse;
        let asset = if coin { "BTC" } else { "USDT" };
        let money = |x: u32| if coin { Decimal::new(i64::from(x) + 1, 5) } else { Decimal::from(x + 1) }.to_string();
        let rate = || (Decimal::new(i64::from(x) - 5_000, 4) * Decimal::new(2, 1)).to_string();
        let command = match kind {
            0..=12 => self.fill(market, a, b, x, y),
            13..=17 => {
                let moved = i64::from(x % 401) - 200;
                self.ticks[market] = (self.ticks[market] * u64::try_from(1_000 + moved).unwrap() / 1_000).max(20);
                self.price(market, if y % 8 == 0 { "last" } else { "a" });
                return;
            }
            18..=24 => {
                self.time += u64::from(y % 3) * 1_000;
                json!({"type": "tick"})
            }
            25 => json!({"type": "deposit", "account": id, "asset": asset, "amount": money(x)}),
            26 => json!({"type": "withdraw", "account": id, "asset": asset, "amount": money(x)}),
            27 => {
                json!({"type": "set_leverage", "account": id, "market": name_m, "leverage": (x % 30 + 1).to_string()})
            }
            28 => {
                let amount = format!("{}{}", if y.is_multiple_of(2) { "" } else { "-" }, money(x % 2_000));
                let mut command = json!({"type": "move_margin", "account": id, "market": name_m, "amount": amount});
                if let Some(leg) = leg_of(a % 8, y / 2) {
                    command["leg"] = json!(leg);
                }
                command
            }
            29 => {
                json!({"type": "reserve_margin", "account": id, "market": name_m, "amount": money(x), "order": format!("o{}", y % 5)})
            }
            30 => {
                json!({"type": "release_margin", "account": id, "market": name_m, "amount": money(x), "order": format!("o{}", y % 5)})
            }
            31 | 32 => {
                self.fundings += 1;
                json!({"type": "funding", "market": name_m, "rate": rate(), "id": format!("f{}", self.fundings)})
            }
            33 => {
                let of = y % (self.fundings + 1);
                json!({"type": "funding_correction", "market": name_m, "of": format!("f{of}"), "rate": rate()})
            }
            34 => {
                let source = ["seed_capital", "trading_fee_share", "injection"][(y % 3) as usize];
                let pool = if y.is_multiple_of(2) { "shared" } else { "own" };
                json!({"type": "fund_credit", "asset": asset, "pool": pool, "source": source, "amount": money(x / 10)})
            }
            35 => json!({"type": "set_injection_line", "asset": asset, "limit": money(x / 5)}),
            36 => {
                // New rules for a listed market, from the next tick on; kind and pool stay.
                let mut spec = self.specs[(market + 1) % self.specs.len()].clone();
                (spec.inverse, spec.pool, spec.external) = (coin, self.specs[market].pool, self.specs[market].external);
                self.listing(market, &spec)
            }
            _ => match self.outside(x, y) {
                Some(command) => command,
                None => self.fill(market, a, b, x, y),
            },
        };
        let _ = self.send(&command.to_string());
    }

    fn fill(&mut self, market: usize, a: u8, b: u8, x: u32, y: u32) -> serde_json::Value {
        let permille = i64::from(y % 41) - 20;
        self.trades += 1;
        let mut command = json!({"type": "fill", "market": format!("M{market}"), "buyer": name(a), "seller": name(b),
            "price": self.price_text(market, permille), "quantity": self.lots(market, x % 2_000 + 1),
            "trade": format!("t{}", self.trades)});
        if y.is_multiple_of(7) {
            (command["buyer_fee"], command["seller_fee"]) = (json!("0.0002"), json!("-0.0001"));
        }
        for (field, leg) in [("buyer_leg", leg_of(a, y)), ("seller_leg", leg_of(b, y / 2))] {
            if let Some(leg) = leg {
                command[field] = json!(leg);
            }
        }
        command
    }

    /// A fill or the end of an open external order.
    fn outside(&self, x: u32, y: u32) -> Option<serde_json::Value> {
        let orders: Vec<_> = self.engine.queue().orders().collect();
        let (id, order) = *orders.get(x as usize % orders.len().max(1))?;
        if y.is_multiple_of(4) {
            return Some(json!({"type": "liquidation_done", "order": id.to_string(), "status": "expired"}));
        }
        let coin = self.specs[usize::from(order.market.0)].inverse;
        let lot = if coin { Decimal::ONE } else { Decimal::new(1, 3) };
        let lots = (order.left.get() / lot / Decimal::from(y % 3 + 1)).floor().max(Decimal::ONE);
        let price = if y.is_multiple_of(5) { order.limit } else { order.bankruptcy };
        Some(json!({"type": "liquidation_fill", "order": id.to_string(), "trade": format!("v{x}"),
            "price": price.to_string(), "quantity": (lots * lot).normalize().to_string()}))
    }

    /// No market has drawn more on the shared pool than its cap; what the injection line gave passed through.
    pub fn check_caps(&self) {
        let mut drawn: BTreeMap<String, Money> = BTreeMap::new();
        for event in &self.tape {
            let Fact::FundEntry(entry) = &event.fact else { continue };
            let counts = matches!(entry.reason, Reason::Shortfall | Reason::Injection) && entry.pool == "shared";
            if let (true, Some(market)) = (counts, &entry.market) {
                let sum = drawn.entry(market.to_string()).or_default();
                *sum = sum.minus(entry.amount).unwrap();
            }
        }
        for (market, spec) in self.specs.iter().enumerate() {
            let cap = match (spec.pool, spec.inverse) {
                (0, _) => continue,
                (1, true) => Decimal::new(1, 2),
                (1, false) => Decimal::from(700),
                (_, true) => Decimal::new(2, 2),
                (_, false) => Decimal::from(1_500),
            };
            let drawn = drawn.get(&format!("M{market}")).copied().unwrap_or_default();
            assert!(drawn.get() <= cap, "M{market} has drawn {drawn} of {cap}\n{}", self.scenario());
        }
    }

    /// What was played, as a scenario file.
    pub fn scenario(&self) -> String {
        let line = |(command, time): &(Command, Millis)| {
            let mut value = serde_json::to_value(command).unwrap();
            value["time"] = json!(time);
            value.to_string()
        };
        self.log.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn send(&mut self, text: &str) -> Result<(), String> {
        let envelope = Envelope::read(text).map_err(|malformed| malformed.to_string())?;
        let before = positions(&self.engine);
        let equities = is_funding(&envelope.command).then(|| equities(&self.engine));
        let hash = self.engine.state_hash().unwrap();
        self.log.push((envelope.command.clone(), self.time));
        let outcome = self.engine.submit(&envelope.command, self.time);
        let (balance, sound) = self.engine.audit().unwrap();
        assert!(balance.holds(), "not conserved: {balance:?}\n{}", self.scenario());
        assert!(sound, "the fund's books or the running sums are wrong\n{}", self.scenario());
        let refused = match outcome {
            Err(reject) => Some(reject),
            Ok(done) => {
                self.check_events(&envelope.command, &done.events, &before);
                self.tape.extend(done.events);
                done.result.err()
            }
        };
        if let Some(reject) = refused {
            assert_eq!(
                self.engine.state_hash().unwrap(),
                hash,
                "a refusal changed the state: {reject}\n{}",
                self.scenario()
            );
            return Err(reject.to_string());
        }
        if let Some(before) = equities {
            self.check_funding(&before);
        }
        if envelope.command == Command::Tick && self.kind == Kind::AtRest {
            self.check_rest();
        }
        Ok(())
    }

    fn check_events(&self, command: &Command, events: &[Event], before: &Positions) {
        let after = positions(&self.engine);
        let mut need: BTreeMap<u64, (Side, Quantity)> = BTreeMap::new();
        let mut cuts: BTreeMap<Place, Quantity> = BTreeMap::new();
        for event in events {
            match &event.fact {
                Fact::FundEntry(entry) if entry.amount.is_negative() => {
                    assert_eq!(entry.reason, Reason::Shortfall, "{}", self.scenario());
                }
                Fact::Claim { .. } | Fact::FundEntry(_) if is_funding(command) => {
                    panic!("a funding payment touched the fund: {event:?}\n{}", self.scenario());
                }
                Fact::AdlTriggered { side, quantity, liquidation, .. } => {
                    need.insert(liquidation.0, (*side, *quantity));
                }
                Fact::Deleveraged(cut) => {
                    let (side, left) = need.get_mut(&cut.liquidation.0).expect("triggered before");
                    assert_eq!(cut.side, *side, "the wrong side\n{}", self.scenario());
                    *left = left.minus(cut.quantity).unwrap();
                    assert!(!left.is_negative(), "more than the need: {cut:?}\n{}", self.scenario());
                    let place = (cut.account.clone(), cut.market.to_string(), cut.leg.unwrap_or(Leg::Net));
                    let sum = cuts.get(&place).copied().unwrap_or_default();
                    cuts.insert(place, sum.plus(cut.quantity).unwrap());
                }
                _ => {}
            }
        }
        for (place, cut) in cuts {
            let held = before[&place];
            let left = after.get(&place).copied().unwrap_or_default();
            assert!(cut <= held.abs(), "{place:?} held {held}, cut {cut}\n{}", self.scenario());
            let same_side = left.is_zero() || left.is_negative() == held.is_negative();
            assert!(same_side, "{place:?} flipped from {held} to {left}\n{}", self.scenario());
        }
    }

    /// Funding takes from nobody what he does not have, and makes nothing.
    fn check_funding(&self, before: &Equities) {
        let after = equities(&self.engine);
        for (scope, equity) in &after {
            let had = before.get(scope).copied().unwrap_or_default();
            let pays_what_it_has = !equity.is_negative() || *equity >= had;
            assert!(pays_what_it_has, "{scope:?} had {had}, has {equity}\n{}", self.scenario());
        }
    }

    /// After a tick nobody is in breach, and nobody is below zero.
    fn check_rest(&self) {
        for shard in self.engine.shards() {
            for account in shard.accounts().filter(|account| !account.id.is_house()) {
                assert!(account.liquidations.is_empty(), "{} is still liquidated\n{}", account.id, self.scenario());
                let view = shard.view(&account.id).unwrap();
                for asset in &view.assets {
                    assert!(!asset.equity.is_negative(), "{} has {asset:?}\n{}", account.id, self.scenario());
                }
                for position in &view.positions {
                    let Some(margin) = position.isolated_margin else { continue };
                    let equity = margin.plus(position.unrealised_pnl).unwrap();
                    assert!(equity > position.maintenance_margin, "{} {position:?}\n{}", account.id, self.scenario());
                }
                for asset in view.assets.iter().filter(|asset| asset.maintenance_margin.is_positive()) {
                    assert!(asset.equity > asset.maintenance_margin, "{} {asset:?}\n{}", account.id, self.scenario());
                }
            }
        }
    }
}

/// Longer than any run.
pub const CAP_WINDOW_MS: Millis = 86_400_000;

type Place = (AccountId, String, Leg);
type Positions = BTreeMap<Place, Quantity>;

fn positions(engine: &Reference) -> Positions {
    let mut found = Positions::new();
    for shard in engine.shards() {
        for account in shard.accounts() {
            for position in &account.positions {
                let market = shard.rules().market(position.market).unwrap().name.to_string();
                found.insert((account.id.clone(), market, position.leg), position.quantity);
            }
        }
    }
    found
}

type Equities = BTreeMap<(AccountId, String), Money>;

/// Equity of every scope: cross by asset, isolated by market and leg.
fn equities(engine: &Reference) -> Equities {
    let mut found = Equities::new();
    for shard in engine.shards() {
        for account in shard.accounts().filter(|account| !account.id.is_house()) {
            let view = shard.view(&account.id).unwrap();
            for asset in view.assets {
                found.insert((account.id.clone(), asset.asset.to_string()), asset.equity);
            }
            for position in view.positions {
                let Some(margin) = position.isolated_margin else { continue };
                let scope = format!("{} {:?}", position.market, position.leg);
                found.insert((account.id.clone(), scope), margin.plus(position.unrealised_pnl).unwrap());
            }
        }
    }
    found
}

fn is_funding(command: &Command) -> bool {
    matches!(command, Command::Funding { .. } | Command::FundingCorrection { .. })
}
