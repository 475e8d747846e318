//! The worked numbers: reading them, and comparing what the engine gives.

use backstop_engine::id::Side;
use backstop_engine::number;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// One vector.
pub(crate) struct Case {
    pub(crate) id: String,
    /// `rule` of the venues' files, `topic` of the open engines'.
    pub(crate) rule: String,
    pub(crate) inputs: Value,
    pub(crate) expected: Map<String, Value>,
    pub(crate) tolerance: Decimal,
}

impl Case {
    fn read(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().map(str::to_owned);
        let id = text("id").unwrap();
        let rule = text("rule").or_else(|| text("topic"));
        Self {
            rule: rule.unwrap_or_else(|| panic!("{id} names no rule")),
            inputs: value["inputs"].clone(),
            expected: value["expected"].as_object().cloned().unwrap(),
            tolerance: text("tolerance").map_or(Decimal::ZERO, |text| exponential(&text)),
            id,
        }
    }

    /// An input that is a decimal.
    pub(crate) fn figure(&self, name: &str) -> Decimal {
        figure(&self.inputs[name])
    }

    /// An input that is a whole number.
    pub(crate) fn whole(&self, name: &str) -> i64 {
        whole(&self.inputs[name])
    }

    /// The input `side`: 1 is long.
    pub(crate) fn side(&self) -> Side {
        if self.whole("side") > 0 { Side::Buy } else { Side::Sell }
    }

    /// An input that is a list.
    pub(crate) fn list(&self, name: &str) -> &[Value] {
        self.inputs[name].as_array().unwrap_or_else(|| panic!("{} has no list {name}", self.id))
    }
}

/// The folder of the vectors.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// Every vector of one file.
pub(crate) fn read(file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let cases = value.as_array().or_else(|| value["cases"].as_array());
    cases.unwrap_or_else(|| panic!("{file} holds no cases")).iter().map(Case::read).collect()
}

/// Every vector of every file.
pub(crate) fn all() -> Vec<Case> {
    let mut files: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".json"))
        .collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

/// A decimal written as a string, or a whole number.
pub(crate) fn figure(value: &Value) -> Decimal {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    number::parse(&text).unwrap_or_else(|| panic!("{value} is not a decimal"))
}

/// A whole number, written as a string or not.
pub(crate) fn whole(value: &Value) -> i64 {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.parse().unwrap_or_else(|_| panic!("{value} is not whole"))
}

/// Numerator and denominator of `n/d`, or of a plain decimal.
pub(crate) fn fraction(value: &Value) -> (Decimal, Decimal) {
    let text = value.as_str().unwrap();
    let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
    (number::parse(numerator).unwrap(), number::parse(denominator).unwrap())
}

/// `0.005` or `1e-12`.
fn exponential(text: &str) -> Decimal {
    let (mantissa, exponent) = text.split_once("e-").unwrap_or((text, "0"));
    let scale = exponent.parse().unwrap();
    number::mul_exact(number::parse(mantissa).unwrap(), Decimal::try_from_i128_with_scale(1, scale).unwrap()).unwrap()
}

/// A decimal as the handlers hand it over.
pub(crate) fn shown(value: Decimal) -> Value {
    Value::String(value.normalize().to_string())
}

/// A decimal, or null.
pub(crate) fn shown_opt(value: Option<Decimal>) -> Value {
    value.map_or(Value::Null, shown)
}

/// What the vector says and what the engine gives, where they differ.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) vector: Vec<String>,
    pub(crate) engine: Vec<String>,
}

/// Compares every key that is expected; keys that are not expected are not asserted, inside an object all are.
pub(crate) fn compare(case: &Case, got: &Value) -> Option<Difference> {
    let mut difference = Difference::default();
    if let Some(code) = got.get("refused") {
        difference.engine.push(format!("refused {}", text(code)));
        difference.vector = case.expected.iter().map(|(key, wanted)| format!("{key} {}", text(wanted))).collect();
        return Some(difference);
    }
    for (key, wanted) in &case.expected {
        let got = got.get(key).unwrap_or_else(|| panic!("{}: nothing computes {key}", case.id));
        compare_at(key, wanted, got, case.tolerance, &mut difference);
    }
    (difference != Difference::default()).then_some(difference)
}

fn compare_at(path: &str, wanted: &Value, got: &Value, tolerance: Decimal, difference: &mut Difference) {
    if let (Some(a), Some(b)) = (wanted.as_object(), got.as_object()) {
        let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            let at = |side: &Map<String, Value>| side.get(key).cloned().unwrap_or(Value::Null);
            compare_at(&format!("{path}.{key}"), &at(a), &at(b), tolerance, difference);
        }
        return;
    }
    let decimal = |value: &Value| number::parse(&text(value));
    let same = match (decimal(wanted), decimal(got)) {
        (Some(wanted), Some(got)) => number::sub(wanted, got).unwrap().abs() <= tolerance,
        _ => wanted == got,
    };
    if !same {
        difference.vector.push(format!("{path} {}", text(wanted)));
        difference.engine.push(format!("{path} {}", text(got)));
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}
