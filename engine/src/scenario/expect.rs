//! Expectations: only what is named is compared, decimals by value, within a tolerance.

use super::Subject;
use crate::decode::Malformed;
use crate::id::AccountId;
use crate::number;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Account,
    Position,
    Market,
    Fund,
    Event,
    NoEvent,
    Rejected,
}

/// An expectation.
#[derive(Debug, Clone)]
pub struct Expectation {
    kind: Kind,
    fields: Map<String, Value>,
    tolerance: Decimal,
    text: String,
}

impl Expectation {
    pub(super) fn new(mut fields: Map<String, Value>) -> Result<Self, String> {
        let text = Value::Object(fields.clone()).to_string();
        let kind = match fields.remove("expect").as_ref().and_then(Value::as_str) {
            Some("account") => Kind::Account,
            Some("position") => Kind::Position,
            Some("market") => Kind::Market,
            Some("fund") => Kind::Fund,
            Some("event") => Kind::Event,
            Some("no_event") => Kind::NoEvent,
            Some("rejected") => Kind::Rejected,
            _ => return Err(format!("not an expectation: {text}")),
        };
        let tolerance = match fields.remove("tolerance") {
            None => Decimal::ZERO,
            Some(value) => value
                .as_str()
                .and_then(number::parse)
                .ok_or_else(|| format!("tolerance is not a decimal string: {value}"))?,
        };
        let needed: &[&str] = match kind {
            Kind::Account => &["account", "asset"],
            Kind::Position => &["account", "market"],
            Kind::Market => &["market"],
            Kind::Fund => &["asset"],
            Kind::Event | Kind::NoEvent => &["type"],
            Kind::Rejected => &["code"],
        };
        match needed.iter().find(|name| !fields.get(**name).is_some_and(Value::is_string)) {
            Some(name) => Err(format!("the expectation needs the field {name}: {text}")),
            None => Ok(Self { kind, fields, tolerance, text }),
        }
    }

    pub(super) fn is_rejected(&self) -> bool {
        self.kind == Kind::Rejected
    }

    pub(super) fn text(&self) -> String {
        self.text.clone()
    }

    fn name(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn compare_refusal(&self, refused: &Malformed) -> Result<(), String> {
        let found = json!({
            "code": refused.code.as_str(),
            "message": refused.message,
            "field": refused.field,
        });
        self.check(&found)
    }

    /// Compares with what is there.
    ///
    /// # Errors
    /// What was found instead.
    pub(super) fn compare(&self, subject: &mut impl Subject, window: &[Value]) -> Result<(), String> {
        match self.kind {
            Kind::Account => self.check(&self.account(subject)),
            Kind::Position => self.check(&self.position(subject)),
            Kind::Market => match self.market(subject) {
                Some(found) => self.check(&found),
                None => Err("no such market".to_owned()),
            },
            Kind::Fund => match self.fund(subject) {
                Some(found) => self.check(&found),
                None => Err("no such fund or pool".to_owned()),
            },
            Kind::Event => self.event(window),
            Kind::NoEvent => match window.iter().find(|event| self.check(event).is_ok()) {
                Some(event) => Err(event.to_string()),
                None => Ok(()),
            },
            Kind::Rejected => Err("the command was accepted".to_owned()),
        }
    }

    /// An account that was never used has nothing.
    fn account(&self, subject: &mut impl Subject) -> Value {
        let asset = self.name("asset").to_owned();
        let view = subject.account(&AccountId(self.name("account").into()));
        let found = view.and_then(|view| view.assets.into_iter().find(|shown| shown.asset == asset));
        let mut value = found.and_then(|shown| serde_json::to_value(shown).ok()).unwrap_or_else(|| {
            json!({"asset": asset, "wallet": "0", "equity": "0", "initial_margin": "0", "maintenance_margin": "0",
                   "margin_ratio": null, "available": "0"})
        });
        put(&mut value, "account", self.name("account"));
        value
    }

    /// A position that is not open is flat. Without `leg` the one that is open, the net one first.
    fn position(&self, subject: &mut impl Subject) -> Value {
        let market = self.name("market").to_owned();
        let leg = self.fields.get("leg").cloned();
        let view = subject.account(&AccountId(self.name("account").into()));
        let shown = view.into_iter().flat_map(|view| view.positions).filter(|shown| shown.market == market);
        let mut values = shown.filter_map(|shown| serde_json::to_value(shown).ok());
        let found = values.find(|value| leg.as_ref().is_none_or(|leg| value.get("leg") == Some(leg)));
        let mut value = found.unwrap_or_else(|| {
            json!({"market": market, "leg": leg, "quantity": "0", "entry_price": null, "unrealised_pnl": "0",
                   "isolated_margin": null, "maintenance_margin": "0", "liquidation_price": null,
                   "bankruptcy_price": null})
        });
        put(&mut value, "account", self.name("account"));
        value
    }

    fn market(&self, subject: &mut impl Subject) -> Option<Value> {
        let name = self.name("market");
        let found = subject.marks().into_iter().find(|view| view.market == name)?;
        serde_json::to_value(found).ok()
    }

    /// With `pool` the pool's figures (and the fund's liability), without it the fund's.
    fn fund(&self, subject: &mut impl Subject) -> Option<Value> {
        let view = subject.fund(self.name("asset"))?;
        let liability = view.liability.to_string();
        let mut value = match self.fields.get("pool").and_then(Value::as_str) {
            None => serde_json::to_value(view).ok()?,
            Some(name) => serde_json::to_value(view.pools.into_iter().find(|pool| pool.pool == name)?).ok()?,
        };
        put(&mut value, "asset", self.name("asset"));
        put(&mut value, "liability", &liability);
        Some(value)
    }

    fn event(&self, window: &[Value]) -> Result<(), String> {
        if window.iter().any(|event| self.check(event).is_ok()) {
            return Ok(());
        }
        let same = |event: &&Value| event.get("type") == self.fields.get("type");
        let alike: Vec<String> = window.iter().filter(same).take(5).map(ToString::to_string).collect();
        if alike.is_empty() { Err("no event of this type".to_owned()) } else { Err(alike.join("\n     ")) }
    }

    fn check(&self, found: &Value) -> Result<(), String> {
        for (name, wanted) in &self.fields {
            let got = found.get(name).unwrap_or(&Value::Null);
            if !self.same(wanted, got) {
                return Err(format!("{name} {got} in {found}"));
            }
        }
        Ok(())
    }

    fn same(&self, wanted: &Value, got: &Value) -> bool {
        let decimal = |value: &Value| match value {
            Value::String(text) => number::parse(text),
            Value::Number(digits) => number::parse(&digits.to_string()),
            _ => None,
        };
        match (decimal(wanted), decimal(got)) {
            (Some(wanted), Some(got)) => {
                number::sub(wanted, got).is_ok_and(|distance| distance.abs() <= self.tolerance)
            }
            _ => wanted == got,
        }
    }
}

fn put(value: &mut Value, name: &str, text: &str) {
    if let Value::Object(fields) = value {
        fields.insert(name.to_owned(), Value::String(text.to_owned()));
    }
}
