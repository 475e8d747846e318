//! The shapes of answers and commands, for /openapi.json: from the types that are written, and where an answer is put
//! together by hand, from a type that says what is put together.

use backstop_engine::command::Command;
use backstop_engine::event::{Event, MarketState};
use backstop_engine::money::{Money, Notional, Price, Quantity};
use backstop_engine::rules::{AdlRules, Kind, LiquidationRules, OracleRules, PoolRules, Tier, Venue, WhenUnbacked};
use backstop_engine::view::{
    AccountView, AssetBalance, FundView, MarkView, MarketBalance, PendingChange, PositionView, WarningView,
};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

fn seq() -> Value {
    json!({ "type": "integer", "minimum": 0, "description": "The last command applied: the answer holds at it." })
}

/// An object with the sequence number it holds at.
fn at<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    let inner = schemas.subschema_for::<T>();
    json_schema!({ "allOf": [inner, { "type": "object", "properties": { "seq": seq() }, "required": ["seq"] }] })
}

/// A page of a list.
fn page(items: &Schema) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "items": { "type": "array", "items": items },
            "next": { "type": ["string", "null"], "description": "Send it as `cursor` for the next page; none on the last." },
            "seq": seq(),
        },
        "required": ["items", "next", "seq"],
    })
}

fn page_of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Schema {
    let items = schemas.subschema_for::<T>();
    page(&items)
}

pub(super) fn account(schemas: &mut SchemaGenerator) -> Schema {
    at::<AccountView>(schemas)
}

pub(super) fn positions(schemas: &mut SchemaGenerator) -> Schema {
    page_of::<PositionView>(schemas)
}

/// The rules of a market, and its price.
#[derive(JsonSchema)]
#[schemars(rename = "Market")]
#[allow(dead_code, reason = "it is described, not written")]
struct MarketShape {
    market: String,
    /// Counts the changes of its rules from 1.
    version: u32,
    kind: Kind,
    /// The settlement asset.
    asset: String,
    contract_size: Quantity,
    tick_size: Price,
    lot_size: Quantity,
    tiers: Vec<Tier>,
    liquidation: LiquidationRules,
    adl: AdlRules,
    pool: PoolRules,
    venue: Venue,
    oracle: OracleRules,
    #[serde(default)]
    mark: Option<Price>,
    #[serde(default)]
    state: Option<MarketState>,
}

/// The rules of an asset.
#[derive(JsonSchema)]
#[schemars(rename = "Asset")]
#[allow(dead_code, reason = "it is described, not written")]
struct AssetShape {
    asset: String,
    scale: u32,
    when_unbacked: WhenUnbacked,
    injection_line: Money,
}

pub(super) fn markets(schemas: &mut SchemaGenerator) -> Schema {
    page_of::<MarketShape>(schemas)
}

pub(super) fn mark(schemas: &mut SchemaGenerator) -> Schema {
    at::<MarkView>(schemas)
}

pub(super) fn warning(schemas: &mut SchemaGenerator) -> Schema {
    at::<WarningView>(schemas)
}

pub(super) fn warnings(schemas: &mut SchemaGenerator) -> Schema {
    page_of::<WarningView>(schemas)
}

pub(super) fn fund(schemas: &mut SchemaGenerator) -> Schema {
    at::<FundView>(schemas)
}

pub(super) fn events(schemas: &mut SchemaGenerator) -> Schema {
    page_of::<Event>(schemas)
}

/// The sum of one line of a day.
#[derive(JsonSchema)]
#[schemars(rename = "DailySum")]
#[allow(dead_code, reason = "it is described, not written")]
struct DailyShape {
    /// As 2025-10-10.
    day: String,
    /// A reason of the ledger, or `liquidations`, `liquidation_settlements`, `liquidation_shortfalls`, `adl`.
    line: String,
    count: u64,
    amount: Money,
}

pub(super) fn daily(schemas: &mut SchemaGenerator) -> Schema {
    page_of::<DailyShape>(schemas)
}

/// A liquidation, from start to end.
#[derive(JsonSchema)]
#[schemars(rename = "Liquidation")]
#[allow(dead_code, reason = "it is described, not written")]
struct LiquidationShape {
    liquidation: u64,
    account: String,
    asset: String,
    /// Where the scope is one isolated position.
    #[serde(default)]
    market: Option<String>,
    started: u64,
    ended: Option<u64>,
    /// `restored`, `closed`, `deleveraged` or `taken_over`.
    outcome: Option<String>,
    equity: Money,
    maintenance_margin: Money,
    notional: Notional,
    fee: Money,
    surplus: Money,
    shortfall: Money,
    settlements: Vec<Event>,
}

pub(super) fn liquidations(schemas: &mut SchemaGenerator) -> Schema {
    page_of::<LiquidationShape>(schemas)
}

/// Does everything balance?
#[derive(JsonSchema)]
#[schemars(rename = "Conservation")]
#[allow(dead_code, reason = "it is described, not written")]
struct ConservationShape {
    holds: bool,
    assets: Vec<AssetBalance>,
    markets: Vec<MarketBalance>,
}

pub(super) fn conservation(schemas: &mut SchemaGenerator) -> Schema {
    at::<ConservationShape>(schemas)
}

/// Timings of ticks, in seconds.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "it is described, not written")]
struct TickSeconds {
    count: u64,
    p50: f64,
    p99: f64,
    max: f64,
}

/// The daemon.
#[derive(JsonSchema)]
#[schemars(rename = "Status")]
#[allow(dead_code, reason = "it is described, not written")]
struct StatusShape {
    time: u64,
    state_hash: String,
    accounts: u64,
    shards: u64,
    version: String,
    tick_seconds: TickSeconds,
}

pub(super) fn status(schemas: &mut SchemaGenerator) -> Schema {
    at::<StatusShape>(schemas)
}

/// The rulebook.
#[derive(JsonSchema)]
#[schemars(rename = "Rules")]
#[allow(dead_code, reason = "it is described, not written")]
struct RulesShape {
    /// Every event carries it.
    hash: String,
    assets: Vec<AssetShape>,
    markets: Vec<MarketShape>,
    /// What waits for its time, and may be vetoed until then.
    pending: Vec<PendingChange>,
    /// How long a change that loosens waits.
    delay_ms: u64,
    /// What no command passes.
    ceilings: Map<String, Value>,
}

pub(super) fn rules(schemas: &mut SchemaGenerator) -> Schema {
    at::<RulesShape>(schemas)
}

/// A signed root, as it is described.
#[derive(JsonSchema)]
#[schemars(rename = "SignedRoot")]
#[allow(dead_code, reason = "it is described, not written")]
struct RootShape {
    root: DayRootShape,
    /// Ed25519, in hex.
    signature: String,
    /// The public key, in hex.
    key: String,
}

/// The root of a day.
#[derive(JsonSchema)]
#[schemars(rename = "DayRoot")]
#[allow(dead_code, reason = "it is described, not written")]
struct DayRootShape {
    /// As 2025-10-10.
    day: String,
    /// How many receipts there are.
    leaves: u64,
    /// The root of their tree (RFC 6962).
    root: String,
    /// The last entry of each ledger.
    ledger: Vec<Value>,
    /// The hash of the root before.
    previous_root: String,
}

/// How far the record is sealed.
#[derive(JsonSchema)]
#[schemars(rename = "ProofState")]
#[allow(dead_code, reason = "it is described, not written")]
struct ProofShape {
    algorithm: String,
    key: String,
    days: u64,
    last: Option<RootShape>,
}

pub(super) fn proof_state(schemas: &mut SchemaGenerator) -> Schema {
    at::<ProofShape>(schemas)
}

pub(super) fn roots(schemas: &mut SchemaGenerator) -> Schema {
    page_of::<RootShape>(schemas)
}

pub(super) fn root(schemas: &mut SchemaGenerator) -> Schema {
    at::<RootShape>(schemas)
}

/// That a receipt is in the record.
#[derive(JsonSchema)]
#[schemars(rename = "Inclusion")]
#[allow(dead_code, reason = "it is described, not written")]
struct InclusionShape {
    /// As it was sealed.
    receipt: Map<String, Value>,
    /// Index and path of RFC 6962.
    proof: Value,
    root: DayRootShape,
    signature: String,
    key: String,
}

pub(super) fn inclusion(schemas: &mut SchemaGenerator) -> Schema {
    at::<InclusionShape>(schemas)
}

/// The report of a day is told in full where it is made.
pub(super) fn report(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "asset": { "type": "string" },
            "day": { "type": "string", "format": "date" },
            "seq": seq(),
        },
        "required": ["asset", "day", "seq"],
    })
}

pub(super) fn reports(_: &mut SchemaGenerator) -> Schema {
    page(&json_schema!({ "type": "object" }))
}

pub(super) fn taken(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}

/// A receipt is told in full where it is made; here only what every one has.
pub(super) fn receipt(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "properties": {
            "receipt": { "type": "string" },
            "account": { "type": "string" },
            "summary": { "type": "string", "description": "What happened, in one sentence." },
            "seq": seq(),
        },
        "required": ["receipt", "account", "summary", "seq"],
    })
}

/// The answers to commands.
pub(super) fn answers(schemas: &mut SchemaGenerator) -> Schema {
    let event = schemas.subschema_for::<Event>();
    let accepted = json!({
        "type": "object",
        "title": "Accepted",
        "properties": {
            "seq": { "type": "integer", "description": "Its place in the order of commands." },
            "time": { "type": "integer" },
            "events": { "type": "array", "items": event, "description": "What it did, where that is its result." },
        },
        "required": ["seq", "time"],
    });
    let refused = json!({
        "type": "object",
        "title": "Refused",
        "properties": {
            "code": { "type": "string" },
            "message": { "type": "string" },
            "field": { "type": "string" },
            "seq": { "type": "integer" },
        },
        "required": ["code", "message", "field"],
    });
    json_schema!({ "type": "array", "items": { "anyOf": [accepted, refused] } })
}

/// What is taken at the place of a command: one, or whatever is then refused there.
pub(super) fn taken_as_command() -> Value {
    json!({ "anyOf": [{ "$ref": "#/components/schemas/Command" }, { "description": "Whatever else is refused in its place." }] })
}

/// Fields of commands that may be left out, beside those that may be null.
const OPTIONAL: &[&str] = &[
    "contract_size",
    "liquidation",
    "adl",
    "pool",
    "venue",
    "oracle",
    "when_unbacked",
    "buyer_fee",
    "seller_fee",
    "by",
    "effective_time",
];
/// Objects within a command that need all their fields.
const WHOLE: &[&str] = &["tiers", "items"];

/// The commands, from the type that the journal holds: there the variant is the key, here it is the field `type`.
pub(super) fn command(_: &mut SchemaGenerator) -> Schema {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let written = settings.into_generator().into_root_schema_for::<Command>().to_value();
    let variants = written.get("oneOf").and_then(Value::as_array).cloned().unwrap_or_default();
    json_schema!({ "oneOf": variants.iter().filter_map(one).collect::<Vec<_>>() })
}

fn one(variant: &Value) -> Option<Value> {
    // `tick` has no field, and stands as a constant.
    let named = variant.get("properties").and_then(Value::as_object).and_then(|fields| fields.iter().next());
    let (kind, inner) = match named {
        Some((kind, inner)) => (kind.clone(), inner.clone()),
        None => (variant.get("const").or_else(|| variant.get("enum")?.get(0))?.as_str()?.to_owned(), json!({})),
    };
    let mut fields = Map::new();
    fields.insert("type".to_owned(), json!({ "const": kind }));
    let body = inner.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
    fields.extend(body.into_iter().map(|(name, shape)| (name.clone(), eased(&name, shape))));
    fields
        .insert("producer".to_owned(), json!({ "type": "string", "description": "Who numbers it, for exactly once." }));
    fields.insert("number".to_owned(), json!({ "type": "integer", "minimum": 1 }));
    let required = inner.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
    let needed = |name: &Value| {
        name.as_str().is_some_and(|name| !OPTIONAL.contains(&name) && (kind != "fund_credit" || name != "pool"))
    };
    let required: Vec<Value> = std::iter::once(json!("type")).chain(required.into_iter().filter(needed)).collect();
    let text = variant.get("description").cloned().unwrap_or_default();
    Some(json!({
        "title": kind, "description": text, "type": "object", "properties": fields, "required": required,
        "additionalProperties": false,
    }))
}

/// Within rules, what is left out has its default.
fn eased(name: &str, mut shape: Value) -> Value {
    if let Value::Object(fields) = &mut shape {
        if !WHOLE.contains(&name) {
            fields.remove("required");
        }
        for (name, inner) in fields.iter_mut() {
            if !matches!(name.as_str(), "tiers" | "items" | "oneOf") {
                *inner = eased(name, inner.take());
            }
        }
    }
    shape
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_described() {
        let schema = command(&mut SchemaGenerator::default()).to_value();
        let titles: Vec<&str> =
            schema["oneOf"].as_array().unwrap().iter().map(|one| one["title"].as_str().unwrap()).collect();
        let mut wanted = Command::TYPES.to_vec();
        wanted.sort_unstable();
        let mut found = titles.clone();
        found.sort_unstable();
        assert_eq!(found, wanted);
    }
}
