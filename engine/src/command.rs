//! The commands: one vocabulary for the API, scenario files and the journal.
//!
//! In: JSON text. Out: a [`Command`] whose figures are within limits; names are resolved later, by admission.

mod list;
mod rules;

pub use list::{ListAsset, ListMarket, ListTier};
pub use rules::RuleChange;

use crate::decode::{Fields, Malformed};
use crate::id::{AccountId, Leg, Millis, OrderId, Seq};
use crate::money::{Money, Price, Quantity, Rate};
use crate::reject::Code;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;

/// Cross or isolated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MarginMode {
    /// The wallet stands behind all positions together.
    Cross,
    /// A position has its own margin and no more.
    Isolated,
}

/// One position a market, or a long and a short one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum PositionMode {
    /// One net position a market.
    OneWay,
    /// A long and a short leg a market.
    Hedge,
}

/// Where a credit of the fund comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CreditSource {
    /// The venue's first endowment.
    SeedCapital,
    /// A share of trading fees.
    TradingFeeShare,
    /// Capital put in by the venue.
    Injection,
}

/// How an external order ended without filling more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DoneStatus {
    /// Its time ran out.
    Expired,
    /// The matching engine did not take it.
    Rejected,
    /// It was withdrawn.
    Cancelled,
}

/// One command.
///
/// Its binary form in the journal is the place of the variant and the fields in their order: variants and fields are only
/// ever added at the end, or under a new version of the journal's record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the fields are those of INTERFACE, documented with the API")]
pub enum Command {
    /// A settlement asset.
    ListAsset(ListAsset),
    /// A contract, or new rules for one.
    ListMarket(Box<ListMarket>),
    /// Money from outside.
    Deposit { account: AccountId, asset: SmolStr, amount: Money },
    /// Money to the outside.
    Withdraw { account: AccountId, asset: SmolStr, amount: Money },
    /// Cross or isolated, while flat.
    SetMarginMode { account: AccountId, market: SmolStr, mode: MarginMode },
    /// One-way or hedge, while flat.
    SetPositionMode { account: AccountId, mode: PositionMode },
    /// Bounds initial margin.
    SetLeverage { account: AccountId, market: SmolStr, leverage: Rate },
    /// Into (+) or out of (−) an isolated position.
    MoveMargin { account: AccountId, market: SmolStr, amount: Money, leg: Option<Leg> },
    /// Initial margin held by an open order.
    ReserveMargin { account: AccountId, market: SmolStr, amount: Money, order: SmolStr },
    /// And given back.
    ReleaseMargin { account: AccountId, market: SmolStr, amount: Money, order: SmolStr },
    /// A trade of the matching engine.
    Fill(Fill),
    /// One observation for the oracle.
    Price { market: SmolStr, source: SmolStr, price: Price },
    /// Recompute marks, evaluate accounts, run liquidations to rest.
    Tick,
    /// The running estimate of the funding rate.
    FundingRate { market: SmolStr, rate: Rate, next_time: Millis, interval_ms: Millis },
    /// Settle a funding payment at the mark.
    Funding { market: SmolStr, rate: Rate, id: SmolStr },
    /// Replace the rate of an earlier funding payment.
    FundingCorrection { market: SmolStr, of: SmolStr, rate: Rate },
    /// Money into the fund.
    FundCredit { asset: SmolStr, pool: SmolStr, source: CreditSource, amount: Money },
    /// Capital the venue commits before ADL.
    SetInjectionLine { asset: SmolStr, limit: Money },
    /// The external venue filled (part of) a liquidation order.
    LiquidationFill {
        #[serde(serialize_with = "crate::id::order_text")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        order: OrderId,
        trade: SmolStr,
        price: Price,
        quantity: Quantity,
    },
    /// The order will fill no more.
    LiquidationDone {
        #[serde(serialize_with = "crate::id::order_text")]
        #[cfg_attr(feature = "schema", schemars(with = "String"))]
        order: OrderId,
        status: DoneStatus,
    },
    /// Plan a change of the rules. Its number is the sequence number of this command.
    ScheduleRules {
        #[serde(serialize_with = "rules::change_object")]
        change: Box<RuleChange>,
        effective_time: Millis,
        #[serde(serialize_with = "rules::by_name")]
        by: SmolStr,
    },
    /// Drop a planned change.
    VetoRules {
        change: Seq,
        #[serde(serialize_with = "rules::by_name")]
        by: SmolStr,
    },
    /// Carry out a planned change whose time has come.
    ApplyRules { change: Seq },
}

/// A trade of the matching engine; both sides apply or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Fill {
    /// The market.
    pub market: SmolStr,
    /// The price, on the tick grid.
    pub price: Price,
    /// The quantity, on the lot grid, above zero.
    pub quantity: Quantity,
    /// Who bought.
    pub buyer: AccountId,
    /// Who sold.
    pub seller: AccountId,
    /// The matching engine's name of the trade.
    pub trade: SmolStr,
    /// Fee of the buyer, negative for a rebate.
    pub buyer_fee: Money,
    /// Fee of the seller.
    pub seller_fee: Money,
    /// The buyer's leg in hedge mode.
    pub buyer_leg: Option<Leg>,
    /// The seller's leg.
    pub seller_leg: Option<Leg>,
}

/// A command as it arrives: with the time and number that may stand on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The command.
    pub command: Command,
    /// Its time, where the scenario gives one.
    pub time: Option<Millis>,
    /// Who numbers it.
    pub producer: Option<SmolStr>,
    /// Its number there, from 1.
    pub number: Option<u64>,
}

impl Command {
    /// The released names, in the order of INTERFACE.
    pub const TYPES: &'static [&'static str] = &[
        "list_asset",
        "list_market",
        "deposit",
        "withdraw",
        "set_margin_mode",
        "set_position_mode",
        "set_leverage",
        "move_margin",
        "reserve_margin",
        "release_margin",
        "fill",
        "price",
        "tick",
        "funding_rate",
        "funding",
        "funding_correction",
        "fund_credit",
        "set_injection_line",
        "liquidation_fill",
        "liquidation_done",
        "schedule_rules",
        "veto_rules",
        "apply_rules",
    ];

    /// Its `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ListAsset(_) => "list_asset",
            Self::ListMarket(_) => "list_market",
            Self::Deposit { .. } => "deposit",
            Self::Withdraw { .. } => "withdraw",
            Self::SetMarginMode { .. } => "set_margin_mode",
            Self::SetPositionMode { .. } => "set_position_mode",
            Self::SetLeverage { .. } => "set_leverage",
            Self::MoveMargin { .. } => "move_margin",
            Self::ReserveMargin { .. } => "reserve_margin",
            Self::ReleaseMargin { .. } => "release_margin",
            Self::Fill(_) => "fill",
            Self::Price { .. } => "price",
            Self::Tick => "tick",
            Self::FundingRate { .. } => "funding_rate",
            Self::Funding { .. } => "funding",
            Self::FundingCorrection { .. } => "funding_correction",
            Self::FundCredit { .. } => "fund_credit",
            Self::SetInjectionLine { .. } => "set_injection_line",
            Self::LiquidationFill { .. } => "liquidation_fill",
            Self::LiquidationDone { .. } => "liquidation_done",
            Self::ScheduleRules { .. } => "schedule_rules",
            Self::VetoRules { .. } => "veto_rules",
            Self::ApplyRules { .. } => "apply_rules",
        }
    }
}

const LEGS: &[(&str, Leg)] = &[("long", Leg::Long), ("short", Leg::Short)];

fn account(fields: &mut Fields<'_>, name: &str) -> Result<AccountId, Malformed> {
    let account = AccountId(fields.name(name)?);
    if account.is_house() {
        return Err(fields.bad(Code::ReservedAccount, name));
    }
    Ok(account)
}

/// A party of a fill may be the house's venue account: that hands the other side of a liquidation fill to its holder.
fn party(fields: &mut Fields<'_>, name: &str) -> Result<AccountId, Malformed> {
    let account = AccountId(fields.name(name)?);
    if account.is_house() && account != AccountId::venue() {
        return Err(fields.bad(Code::ReservedAccount, name));
    }
    Ok(account)
}

fn order(fields: &mut Fields<'_>) -> Result<OrderId, Malformed> {
    let text = fields.name("order")?;
    text.parse().map(OrderId).map_err(|_| fields.bad(Code::UnknownOrder, "order"))
}

impl Envelope {
    /// Reads one JSON object.
    ///
    /// # Errors
    /// [`Malformed`] with the code and the field; the first fault found.
    pub fn read(text: &str) -> Result<Self, Malformed> {
        let mut fields = Fields::read(text)?;
        let kind = fields.text("type")?.ok_or_else(|| Malformed::new(Code::MissingField, "type"))?;
        let time = fields.whole_opt("time")?;
        let producer = fields.name_opt("producer")?;
        let number = fields.whole_within("number", 1, u64::MAX)?;
        if producer.is_some() != number.is_some() {
            let absent = if producer.is_some() { "number" } else { "producer" };
            return Err(Malformed::new(Code::MissingField, absent));
        }
        let command = read_body(&kind, &mut fields)?;
        fields.finish()?;
        Ok(Self { command, time, producer, number })
    }

    /// Writes it as one line that [`Envelope::read`] takes, absent fields left out.
    pub fn to_json(&self) -> String {
        let mut line = serde_json::Map::new();
        // A command is plain data: it can always be written.
        if let Ok(Value::Object(body)) = serde_json::to_value(&self.command) {
            body.into_iter().for_each(|(_, fields)| flatten(fields, &mut line));
        }
        let numbered = [("time", self.time.map(Value::from)), ("number", self.number.map(Value::from))];
        line.extend(numbered.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        if let Some(producer) = &self.producer {
            line.insert("producer".to_owned(), producer.as_str().into());
        }
        let rest = Value::Object(line).to_string();
        let comma = if rest.len() > 2 { "," } else { "" };
        format!("{{\"type\":\"{}\"{comma}{}", self.command.kind(), rest.trim_start_matches('{'))
    }
}

/// Moves the fields of an object into another, without those that are null, at any depth.
fn flatten(fields: Value, into: &mut serde_json::Map<String, Value>) {
    let Value::Object(fields) = fields else { return };
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::Object(_) => {
                let mut inner = serde_json::Map::new();
                flatten(value, &mut inner);
                into.insert(name, Value::Object(inner));
            }
            other => drop(into.insert(name, other)),
        }
    }
}

fn read_body(kind: &str, f: &mut Fields<'_>) -> Result<Command, Malformed> {
    Ok(match kind {
        "list_asset" => Command::ListAsset(list::read_asset(f)?),
        "list_market" => Command::ListMarket(Box::new(list::read_market(f)?)),
        "deposit" => {
            Command::Deposit { account: account(f, "account")?, asset: f.name("asset")?, amount: f.amount("amount")? }
        }
        "withdraw" => {
            Command::Withdraw { account: account(f, "account")?, asset: f.name("asset")?, amount: f.amount("amount")? }
        }
        "set_margin_mode" => Command::SetMarginMode {
            account: account(f, "account")?,
            market: f.name("market")?,
            mode: f.word("mode", &[("cross", MarginMode::Cross), ("isolated", MarginMode::Isolated)])?,
        },
        "set_position_mode" => Command::SetPositionMode {
            account: account(f, "account")?,
            mode: f.word("mode", &[("one_way", PositionMode::OneWay), ("hedge", PositionMode::Hedge)])?,
        },
        "set_leverage" => Command::SetLeverage {
            account: account(f, "account")?,
            market: f.name("market")?,
            leverage: f.rate_within("leverage", 1, 1_000)?.ok_or_else(|| f.bad(Code::MissingField, "leverage"))?,
        },
        "move_margin" => Command::MoveMargin {
            account: account(f, "account")?,
            market: f.name("market")?,
            amount: f.signed("amount")?,
            leg: f.word_opt("leg", LEGS)?,
        },
        "reserve_margin" => Command::ReserveMargin {
            account: account(f, "account")?,
            market: f.name("market")?,
            amount: f.amount("amount")?,
            order: f.name("order")?,
        },
        "release_margin" => Command::ReleaseMargin {
            account: account(f, "account")?,
            market: f.name("market")?,
            amount: f.amount("amount")?,
            order: f.name("order")?,
        },
        "fill" => Command::Fill(Fill {
            market: f.name("market")?,
            price: f.price("price")?,
            quantity: f.quantity("quantity")?,
            buyer: party(f, "buyer")?,
            seller: party(f, "seller")?,
            trade: f.name("trade")?,
            buyer_fee: f.signed_opt("buyer_fee")?.unwrap_or_default(),
            seller_fee: f.signed_opt("seller_fee")?.unwrap_or_default(),
            buyer_leg: f.word_opt("buyer_leg", LEGS)?,
            seller_leg: f.word_opt("seller_leg", LEGS)?,
        }),
        "price" => Command::Price { market: f.name("market")?, source: f.name("source")?, price: f.price("price")? },
        "tick" => Command::Tick,
        "funding_rate" => Command::FundingRate {
            market: f.name("market")?,
            rate: f.rate("rate")?,
            next_time: f.whole("next_time")?,
            interval_ms: f
                .whole_within("interval_ms", 1, 31_536_000_000)?
                .ok_or_else(|| f.bad(Code::MissingField, "interval_ms"))?,
        },
        "funding" => Command::Funding { market: f.name("market")?, rate: f.rate("rate")?, id: f.name("id")? },
        "funding_correction" => {
            Command::FundingCorrection { market: f.name("market")?, of: f.name("of")?, rate: f.rate("rate")? }
        }
        "fund_credit" => Command::FundCredit {
            asset: f.name("asset")?,
            pool: f.name_opt("pool")?.unwrap_or(SmolStr::new_static("shared")),
            source: f.word(
                "source",
                &[
                    ("seed_capital", CreditSource::SeedCapital),
                    ("trading_fee_share", CreditSource::TradingFeeShare),
                    ("injection", CreditSource::Injection),
                ],
            )?,
            amount: f.amount("amount")?,
        },
        "set_injection_line" => {
            let (asset, limit) = rules::read_line(f)?;
            Command::SetInjectionLine { asset, limit }
        }
        "liquidation_fill" => Command::LiquidationFill {
            order: order(f)?,
            trade: f.name("trade")?,
            price: f.price("price")?,
            quantity: f.quantity("quantity")?,
        },
        "liquidation_done" => Command::LiquidationDone {
            order: order(f)?,
            status: f.word(
                "status",
                &[
                    ("expired", DoneStatus::Expired),
                    ("rejected", DoneStatus::Rejected),
                    ("cancelled", DoneStatus::Cancelled),
                ],
            )?,
        },
        "schedule_rules" => Command::ScheduleRules {
            change: rules::read_change(f)?,
            effective_time: f.whole("effective_time")?,
            by: rules::read_by(f)?,
        },
        "veto_rules" => Command::VetoRules { change: f.whole("change")?, by: rules::read_by(f)? },
        "apply_rules" => Command::ApplyRules { change: f.whole("change")? },
        _ => return Err(Malformed::new(Code::UnknownType, "type")),
    })
}
