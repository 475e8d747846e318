//! The catalogue of metrics. Nobody else calls the `metrics` macros for domain facts, so a name stands here once.
//!
//! Labels come from closed sets (command type, refusal code, market, asset, pool, reason, side, policy, outcome, actor);
//! an account is never one. Amounts are shown as the nearest float: the exact figures are in the API.

use crate::publisher::TickFigures;
use crate::station::Depth;
use backstop_engine::event::{Event, Fact};
use backstop_engine::id::Seq;
use backstop_engine::money::Notional;
use backstop_engine::reject::Code;
use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};
use serde::Serialize;
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Bounds of histograms in seconds.
pub const SECONDS: &[f64] =
    &[0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Bounds of histograms of counts.
pub const COUNTS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0];
/// Bounds of histograms of amounts.
pub const AMOUNTS: &[f64] =
    &[0.01, 0.1, 1.0, 10.0, 100.0, 1_000.0, 10_000.0, 100_000.0, 1_000_000.0, 10_000_000.0, 100_000_000.0];

/// A metric: name, unit, what it says.
type Entry = (&'static str, Unit, &'static str);

/// Counters.
pub const COUNTERS: &[Entry] = &[
    ("backstop_commands_total", Unit::Count, "Commands applied or refused after taking a place, by type."),
    ("backstop_refusals_total", Unit::Count, "Commands refused, by code."),
    ("backstop_liquidations_total", Unit::Count, "Liquidations ended, by outcome."),
    ("backstop_liquidations_started_total", Unit::Count, "Liquidations started."),
    ("backstop_adl_selections_total", Unit::Count, "Positions deleveraged, by market, side and policy."),
    ("backstop_ticks_total", Unit::Count, "Ticks."),
    ("backstop_snapshots_total", Unit::Count, "Snapshots, by outcome: taken or failed."),
    ("backstop_stream_cuts_total", Unit::Count, "Streams that the daemon ended, by reason."),
    ("backstop_unauthorised_total", Unit::Count, "Requests whose credentials did not do, by code."),
];
/// Gauges.
pub const GAUGES: &[Entry] = &[
    ("backstop_build_info", Unit::Count, "Always 1; the version is its label."),
    ("backstop_sequence", Unit::Count, "Sequence number of the last command at a tick."),
    ("backstop_open_liquidations", Unit::Count, "Liquidations under way."),
    ("backstop_oldest_liquidation_age_seconds", Unit::Seconds, "Age of the oldest liquidation under way."),
    ("backstop_fund_balance", Unit::Count, "Cash of a pool, in units of its asset."),
    ("backstop_fund_reserved", Unit::Count, "Coverage granted and not used, in units of the asset."),
    ("backstop_fund_peak", Unit::Count, "Highest balance of the pool in its window."),
    ("backstop_fund_headroom", Unit::Count, "Free balance above the line at which ADL starts."),
    ("backstop_fund_liability", Unit::Count, "Claims that nobody has paid, in units of the asset."),
    ("backstop_oracle_age_seconds", Unit::Seconds, "Age of the freshest observation of a market."),
    ("backstop_market_degraded", Unit::Count, "1 while the market's price is not to be trusted."),
    ("backstop_open_interest", Unit::Count, "Contracts held long in a market."),
    ("backstop_position_error", Unit::Count, "Sum of all positions of a market. It is 0."),
    ("backstop_snapshot_sequence", Unit::Count, "Sequence number of the newest snapshot taken."),
    ("backstop_pending_commands", Unit::Count, "Commands that wait for the next batch."),
    ("backstop_mailbox_depth", Unit::Count, "Messages that wait for an actor."),
    ("backstop_streams", Unit::Count, "Streams that are open."),
    ("backstop_conservation_error", Unit::Count, "What is there less what came in, per asset. It is 0."),
];
/// Histograms, with the bounds of their buckets.
pub const HISTOGRAMS: &[(&str, Unit, &str, &[f64])] = &[
    ("backstop_batch_commands", Unit::Count, "Commands in a batch.", COUNTS),
    ("backstop_journal_append_seconds", Unit::Seconds, "Time to write and sync a batch.", SECONDS),
    ("backstop_snapshot_seconds", Unit::Seconds, "Time to write a snapshot.", SECONDS),
    ("backstop_tick_seconds", Unit::Seconds, "Engine time of a batch that ends with a tick.", SECONDS),
    ("backstop_tick_accounts_examined", Unit::Count, "Accounts looked at in a tick.", COUNTS),
    ("backstop_coverage_asked", Unit::Count, "Coverage asked of the fund for an order.", AMOUNTS),
    ("backstop_coverage_granted", Unit::Count, "Coverage granted for an order.", AMOUNTS),
    ("backstop_shortfall", Unit::Count, "Losses beyond margin, in units of the asset.", AMOUNTS),
    ("backstop_fund_credit", Unit::Count, "Money into a fund, by asset and reason.", AMOUNTS),
    ("backstop_fund_debit", Unit::Count, "Money out of a fund, by asset and reason.", AMOUNTS),
    ("backstop_liquidation_notional", Unit::Count, "Notional of liquidation fills, by market.", AMOUNTS),
    ("backstop_adl_quantity", Unit::Count, "Contracts deleveraged at a time, by market and side.", AMOUNTS),
    ("backstop_adl_notional", Unit::Count, "Notional deleveraged at a time, by market and side.", AMOUNTS),
];

/// Describes every metric to the recorder, and begins those whose labels are known beforehand, so that an alert sees their
/// first step; once, after it is installed.
pub fn describe(version: &'static str) {
    for (name, unit, text) in COUNTERS {
        describe_counter!(*name, *unit, *text);
    }
    for (name, unit, text) in GAUGES {
        describe_gauge!(*name, *unit, *text);
    }
    for (name, unit, text, _) in HISTOGRAMS {
        describe_histogram!(*name, *unit, *text);
    }
    gauge!("backstop_build_info", "version" => version).set(1.0);
    gauge!("backstop_streams").set(0.0);
    STREAM_CUTS.iter().for_each(|reason| counter!("backstop_stream_cuts_total", "reason" => *reason).increment(0));
    UNAUTHORISED.iter().for_each(|code| counter!("backstop_unauthorised_total", "code" => *code).increment(0));
}

/// Handles of what has been used, by name and labels: a lookup here costs less than one in the recorder.
#[derive(Default)]
pub struct Telemetry {
    counters: BTreeMap<(&'static str, [String; 3]), Counter>,
    gauges: BTreeMap<(&'static str, [String; 2]), Gauge>,
    histograms: BTreeMap<(&'static str, [String; 2]), Histogram>,
    markets: BTreeMap<SmolStr, MarketGauges>,
}

/// What is shown of a market after each tick: every market at every tick, so nothing is looked up but the market.
struct MarketGauges {
    /// None until the market has a price.
    age: Option<Gauge>,
    degraded: Gauge,
    open_interest: Gauge,
    position_error: Gauge,
}

fn market_gauge(name: &'static str, market: &SmolStr) -> Gauge {
    gauge!(name, "market" => market.to_string())
}

impl MarketGauges {
    fn new(market: &SmolStr) -> Self {
        Self {
            age: None,
            degraded: market_gauge("backstop_market_degraded", market),
            open_interest: market_gauge("backstop_open_interest", market),
            position_error: market_gauge("backstop_position_error", market),
        }
    }
}

/// What the gateway counts: every refusal passes it. The codes are a closed set, so each is there from the start.
pub struct Admissions {
    refusals: BTreeMap<&'static str, Counter>,
    pending: Gauge,
}

impl Default for Admissions {
    fn default() -> Self {
        let codes = Code::ALL.iter().map(|code| code.as_str()).chain(REQUEST_CODES.iter().copied());
        let made = |code: &'static str| {
            let refusals = counter!("backstop_refusals_total", "code" => code);
            refusals.increment(0);
            (code, refusals)
        };
        Self { refusals: codes.map(made).collect(), pending: gauge!("backstop_pending_commands") }
    }
}

/// Refusals of a whole request.
pub const REQUEST_CODES: &[&str] = &["overloaded", "storage_full", "shutting_down", "rate_limited", "too_many_streams"];
/// Why the daemon ends a stream.
pub const STREAM_CUTS: &[&str] =
    &["slow_reader", "no_answer", "invalid_credentials", "rate_limited", "malformed", "shutting_down"];
/// Refusals of whoever asks, not of what is asked.
pub const UNAUTHORISED: &[&str] = &[
    "missing_credentials",
    "invalid_credentials",
    "expired_credentials",
    "stale_timestamp",
    "replayed",
    "forbidden",
    "keys_required",
    "operator_listener",
];

/// What is seen of writing down.
pub struct Durability {
    append: Histogram,
    taken: Counter,
    failed: Counter,
    took: Histogram,
    seq: Gauge,
}

impl Default for Durability {
    fn default() -> Self {
        Self {
            append: histogram!("backstop_journal_append_seconds"),
            taken: counter!("backstop_snapshots_total", "outcome" => "taken"),
            failed: counter!("backstop_snapshots_total", "outcome" => "failed"),
            took: histogram!("backstop_snapshot_seconds"),
            seq: gauge!("backstop_snapshot_sequence"),
        }
    }
}

impl Durability {
    /// A batch was written and synced.
    pub fn appended(&self, took: std::time::Duration) {
        self.append.record(took);
    }

    /// A snapshot was written, up to this command.
    #[allow(clippy::cast_precision_loss, reason = "sequence numbers stay below 2^52")]
    pub fn snapshot(&self, took: std::time::Duration, seq: Seq) {
        self.taken.increment(1);
        self.took.record(took);
        self.seq.set(seq as f64);
    }

    /// A snapshot could not be written.
    pub fn snapshot_failed(&self) {
        self.failed.increment(1);
    }
}

/// A request was turned away before it reached the gateway.
pub fn turned_away(code: &'static str) {
    counter!("backstop_refusals_total", "code" => code).increment(1);
}

/// A stream was opened.
pub fn stream_opened() {
    gauge!("backstop_streams").increment(1.0);
}

/// A stream that was opened has ended, whoever ended it.
pub fn stream_closed() {
    gauge!("backstop_streams").decrement(1.0);
}

/// The daemon has ended a stream, for one of [`STREAM_CUTS`]; other words are not counted.
pub fn stream_cut(reason: &str) {
    if let Some(reason) = STREAM_CUTS.iter().find(|known| **known == reason) {
        counter!("backstop_stream_cuts_total", "reason" => *reason).increment(1);
    }
}

/// A request was refused; it is counted if that is for one of [`UNAUTHORISED`], so every refusal may be told.
pub fn unauthorised(code: &str) {
    if let Some(code) = UNAUTHORISED.iter().find(|known| **known == code) {
        counter!("backstop_unauthorised_total", "code" => *code).increment(1);
    }
}

impl Admissions {
    /// A command, or a request, was refused.
    pub fn refused(&self, code: &str) {
        if let Some(refusals) = self.refusals.get(code) {
            refusals.increment(1);
        }
    }

    /// So many commands wait for the next batch.
    pub fn pending(&self, commands: usize) {
        #![allow(clippy::cast_precision_loss, reason = "the gateway holds less than 2^52 commands")]
        self.pending.set(commands as f64);
    }
}

fn amount(value: rust_decimal::Decimal) -> f64 {
    value.try_into().unwrap_or(f64::NAN)
}

fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

impl Telemetry {
    fn count(&mut self, name: &'static str, labels: &[(&'static str, &str)]) {
        self.add(name, labels, 1);
    }

    fn add(&mut self, name: &'static str, labels: &[(&'static str, &str)], count: u64) {
        let mut key: [String; 3] = Default::default();
        key.iter_mut().zip(labels).for_each(|(slot, (_, value))| (*value).clone_into(slot));
        let made = || {
            let labels: Vec<(&'static str, String)> =
                labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
            counter!(name, &labels)
        };
        self.counters.entry((name, key)).or_insert_with(made).increment(count);
    }

    fn set(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let mut key: [String; 2] = Default::default();
        key.iter_mut().zip(labels).for_each(|(slot, (_, value))| (*value).clone_into(slot));
        let made = || {
            let labels: Vec<(&'static str, String)> =
                labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
            gauge!(name, &labels)
        };
        self.gauges.entry((name, key)).or_insert_with(made).set(value);
    }

    fn record(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let mut key: [String; 2] = Default::default();
        key.iter_mut().zip(labels).for_each(|(slot, (_, value))| (*value).clone_into(slot));
        let made = || {
            let labels: Vec<(&'static str, String)> =
                labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
            histogram!(name, &labels)
        };
        self.histograms.entry((name, key)).or_insert_with(made).record(value);
    }

    fn market(&mut self, market: &SmolStr) -> &mut MarketGauges {
        self.markets.entry(market.clone()).or_insert_with(|| MarketGauges::new(market))
    }

    /// A batch was applied: how many commands of each type.
    pub fn batch(&mut self, kinds: &[(&'static str, u64)]) {
        let commands = kinds.iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        #[allow(clippy::cast_precision_loss, reason = "a batch has less than 2^52 commands")]
        self.record("backstop_batch_commands", &[], commands as f64);
        for (kind, count) in kinds {
            self.add("backstop_commands_total", &[("type", kind)], *count);
        }
    }

    /// Something happened. `notional` is the size of a settlement.
    pub fn event(&mut self, event: &Event, notional: Notional) {
        match &event.fact {
            Fact::LiquidationStarted { .. } => self.count("backstop_liquidations_started_total", &[]),
            Fact::LiquidationEnded { outcome, .. } => {
                self.count("backstop_liquidations_total", &[("outcome", &word(outcome))]);
            }
            Fact::LiquidationSettled { market, shortfall, .. } => {
                self.record("backstop_liquidation_notional", &[("market", market)], amount(notional.get()));
                if shortfall.is_positive() {
                    self.record("backstop_shortfall", &[("market", market)], amount(shortfall.get()));
                }
            }
            Fact::Coverage { asked, granted, .. } => {
                self.record("backstop_coverage_asked", &[], amount(asked.get()));
                self.record("backstop_coverage_granted", &[], amount(granted.get()));
            }
            Fact::FundEntry(entry) => {
                let name = if entry.amount.is_negative() { "backstop_fund_debit" } else { "backstop_fund_credit" };
                let labels = [("asset", entry.asset.as_str()), ("reason", &word(&entry.reason))];
                self.record(name, &labels, amount(entry.amount.abs().get()));
            }
            Fact::Deleveraged(cut) => {
                let (side, policy) = (word(&cut.side), word(&cut.policy));
                let labels = [("market", cut.market.as_str()), ("side", side.as_str()), ("policy", policy.as_str())];
                self.count("backstop_adl_selections_total", &labels);
                let labels = [("market", cut.market.as_str()), ("side", side.as_str())];
                self.record("backstop_adl_quantity", &labels, amount(cut.quantity.get()));
                self.record("backstop_adl_notional", &labels, amount(cut.notional.get()));
            }
            _ => {}
        }
    }

    /// A tick came to rest.
    pub fn tick(&mut self, tick: &TickFigures, seq: Seq) {
        #![allow(clippy::cast_precision_loss, reason = "counts and milliseconds stay below 2^52")]
        self.count("backstop_ticks_total", &[]);
        self.record("backstop_tick_seconds", &[], tick.took.as_secs_f64());
        self.record("backstop_tick_accounts_examined", &[], tick.examined as f64);
        self.set("backstop_sequence", &[], seq as f64);
        self.set("backstop_open_liquidations", &[], tick.open.0 as f64);
        let age = tick.open.1.map_or(0, |began| tick.time.saturating_sub(began));
        self.set("backstop_oldest_liquidation_age_seconds", &[], seconds(age));
        for (market, age, degraded) in &tick.ages {
            let gauges = self.market(market);
            if let Some(age) = age {
                let shown = gauges.age.get_or_insert_with(|| market_gauge("backstop_oracle_age_seconds", market));
                shown.set(seconds(*age));
            }
            gauges.degraded.set(f64::from(u8::from(*degraded)));
        }
        for asset in &tick.balance.assets {
            self.set("backstop_conservation_error", &[("asset", &asset.asset)], amount(asset.error.get()));
        }
        for market in &tick.balance.markets {
            let gauges = self.market(&market.market);
            gauges.open_interest.set(amount(market.open_interest.get()));
            gauges.position_error.set(amount(market.error.get()));
        }
        for fund in &tick.funds {
            let asset = ("asset", fund.asset.as_str());
            self.set("backstop_fund_liability", &[asset], amount(fund.liability.get()));
            for pool in &fund.pools {
                let labels = [asset, ("pool", pool.pool.as_str())];
                self.set("backstop_fund_balance", &labels, amount(pool.balance.get()));
                self.set("backstop_fund_reserved", &labels, amount(pool.reserved.get()));
                self.set("backstop_fund_peak", &labels, amount(pool.peak.get()));
                self.set("backstop_fund_headroom", &labels, amount(pool.headroom.get()));
            }
        }
    }

    /// Mailboxes were sampled.
    pub fn depths(&mut self, depths: &[(&'static str, Depth)]) {
        #![allow(clippy::cast_precision_loss, reason = "a mailbox holds less than 2^52 messages")]
        for (actor, depth) in depths {
            self.set("backstop_mailbox_depth", &[("actor", actor)], depth.get() as f64);
        }
    }
}

#[allow(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "a display figure")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1_000.0
}
