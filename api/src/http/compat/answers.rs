//! What an answer is made of: rows of named cells, in the order they are given.
//!
//! Amounts, prices and rates are the exact decimals of `/v1` as text. Where a venue documents a JSON number, the digits of
//! the decimal are written as they are: no figure passes through a float.

use actix_web::HttpResponse;
use backstop_engine::money::{Money, Notional, Price, Quantity, Rate};
use rust_decimal::Decimal;
use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use std::time::{SystemTime, UNIX_EPOCH};

/// What stands under a name.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Text(String),
    Whole(u64),
    Code(i64),
    Number(Number),
    Truth(bool),
    Row(Row),
    List(Vec<Cell>),
}

/// A decimal that is written as a JSON number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub(super) Decimal);

/// An object.
#[derive(Debug, Clone, Default)]
pub(super) struct Row(Vec<(&'static str, Cell)>);

/// An object of these cells.
macro_rules! row {
    ($($name:literal: $cell:expr),* $(,)?) => {
        $crate::http::compat::answers::Row::of(vec![
            $(($name, $crate::http::compat::answers::Cell::from($cell))),*
        ])
    };
}
pub(super) use row;

impl Row {
    pub(super) fn of(cells: Vec<(&'static str, Cell)>) -> Self {
        Self(cells)
    }

    /// With a cell more, or another one in its place.
    pub(super) fn with(mut self, name: &'static str, cell: impl Into<Cell>) -> Self {
        let cell = cell.into();
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = cell,
            None => self.0.push((name, cell)),
        }
        self
    }

    /// With the cells of another.
    pub(super) fn and(self, more: Self) -> Self {
        more.0.into_iter().fold(self, |row, (name, cell)| row.with(name, cell))
    }
}

macro_rules! text_cells {
    ($($figure:ty),*) => {
        $(impl From<$figure> for Cell {
            fn from(figure: $figure) -> Self {
                Self::Text(figure.to_string())
            }
        })*
    };
}
text_cells!(Money, Notional, Price, Quantity, Rate, &str);

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(whole: u64) -> Self {
        Self::Whole(whole)
    }
}

impl From<i64> for Cell {
    fn from(code: i64) -> Self {
        Self::Code(code)
    }
}

impl From<Number> for Cell {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Cell {
    fn from(truth: bool) -> Self {
        Self::Truth(truth)
    }
}

impl From<Row> for Cell {
    fn from(row: Row) -> Self {
        Self::Row(row)
    }
}

impl<T: Into<Self>> From<Vec<T>> for Cell {
    fn from(list: Vec<T>) -> Self {
        Self::List(list.into_iter().map(Into::into).collect())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.normalize().to_string()).map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, cell) in &self.0 {
            map.serialize_entry(name, cell)?;
        }
        map.end()
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Whole(whole) => serializer.serialize_u64(*whole),
            Self::Code(code) => serializer.serialize_i64(*code),
            Self::Number(number) => number.serialize(serializer),
            Self::Truth(truth) => serializer.serialize_bool(*truth),
            Self::Row(row) => row.serialize(serializer),
            Self::List(list) => list.serialize(serializer),
        }
    }
}

/// A figure as text, or another text where there is none.
pub(super) fn or(figure: Option<impl ToString>, without: &str) -> String {
    figure.map_or_else(|| without.to_owned(), |figure| figure.to_string())
}

/// The clock, in milliseconds.
pub(super) fn clock() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// An answer as it is.
pub(super) fn plain(body: impl Into<Cell>) -> HttpResponse {
    HttpResponse::Ok().json(body.into())
}

/// An answer of Bybit: a code, a sentence, the result and the time.
pub(super) fn envelope(code: i64, message: &str, result: Row) -> Row {
    row! { "retCode": code, "retMsg": message, "result": result, "retExtInfo": Row::default(), "time": clock() }
}

/// What Bybit answers when all is well.
pub(super) fn enveloped(result: Row) -> HttpResponse {
    plain(envelope(0, "OK", result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_every_digit_and_text_has_no_padding() {
        let exact: Decimal = "12345678901234567.12345678900".parse().unwrap();
        let row = row! { "number": Number(exact), "text": Money::new(exact), "list": vec![1_u64, 2], "truth": true };
        let row = row.with("truth", false).and(row! { "more": "x" });
        let wanted = r#"{"number":12345678901234567.123456789,"text":"12345678901234567.123456789","list":[1,2],"truth":false,"more":"x"}"#;
        assert_eq!(serde_json::to_string(&row).unwrap(), wanted);
    }
}
