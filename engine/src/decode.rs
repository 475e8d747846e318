//! Reads a command's JSON: every refusal names its field, numbers are decimal strings, nothing is absorbed.

use crate::money::{Money, Notional, Price, Quantity, Rate, limit};
use crate::number;
use crate::reject::Code;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;
use smol_str::SmolStr;
use std::borrow::Cow;

/// A refusal of a text, before it is a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Malformed {
    /// The stable code.
    pub code: Code,
    /// The path of the field, or empty.
    pub field: String,
    /// One sentence.
    pub message: String,
}

impl Malformed {
    /// A refusal with the code's own sentence.
    pub fn new(code: Code, field: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: code.sentence().to_owned() }
    }

    fn with(code: Code, field: impl Into<String>, detail: &str) -> Self {
        let shown: String = detail.chars().take(64).collect();
        Self { code, field: field.into(), message: format!("{}: {shown}", code.sentence()) }
    }
}

/// The fields of one JSON object, each taken once.
pub struct Fields<'a> {
    path: String,
    entries: Vec<Entry<'a>>,
}

/// A field: its name, and its value as it stands until it is taken.
type Entry<'a> = (Cow<'a, str>, Option<&'a str>);

/// Fields that most commands have room in.
const FIELDS: usize = 12;

struct Entries<'a>(Vec<Entry<'a>>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Entries<'de>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(FIELDS);
                while let Some((Key(key), value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
                    entries.push((key, Some(value.get())));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Walk)
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl<'de> Visitor<'de> for Text {
            type Value = Key<'de>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// Reads an object without nesting, as nearly every command is: its names and strings have no escape, its other values
/// are whole numbers. None for everything else, right or wrong, which is left to `serde_json`.
fn read_flat(text: &str) -> Option<Vec<Entry<'_>>> {
    let mut entries = Vec::with_capacity(FIELDS);
    let mut rest = past_blanks(text).strip_prefix('{')?;
    loop {
        let (name, after) = plain_string(past_blanks(rest))?;
        let value = past_blanks(past_blanks(after).strip_prefix(':')?);
        let after = match plain_string(value) {
            Some((_, after)) => after,
            None => past_whole(value)?,
        };
        let (value, _) = value.split_at_checked(value.len().checked_sub(after.len())?)?;
        entries.push((Cow::Borrowed(name), Some(value)));
        rest = past_blanks(after);
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    past_blanks(rest.strip_prefix('}')?).is_empty().then_some(entries)
}

/// What is in the quotes that the text begins with, and what follows.
fn plain_string(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('"')?;
    let end = inner.bytes().position(|byte| matches!(byte, b'"' | b'\\' | ..b' '))?;
    let (content, rest) = inner.split_at_checked(end)?;
    Some((content, rest.strip_prefix('"')?))
}

fn past_blanks(text: &str) -> &str {
    past(text, |byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
}

fn past_whole(text: &str) -> Option<&str> {
    let rest = past(text, |byte| byte.is_ascii_digit());
    let digits = text.len().checked_sub(rest.len())?;
    (digits == 1 || digits > 1 && !text.starts_with('0')).then_some(rest)
}

/// The text after the ASCII characters it begins with.
fn past(text: &str, these: impl Fn(u8) -> bool) -> &str {
    let end = text.bytes().position(|byte| !these(byte)).unwrap_or(text.len());
    text.get(end..).unwrap_or_default()
}

/// Is the character allowed in a name?
fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'-')
}

/// Is the text a name?
pub(crate) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(is_name_byte)
}

impl<'a> Fields<'a> {
    /// Reads the object.
    ///
    /// # Errors
    /// [`Code::Malformed`] when the text is not one object, [`Code::DuplicateField`].
    pub fn read(text: &'a str) -> Result<Self, Malformed> {
        Self::nested(text, String::new())
    }

    fn nested(text: &'a str, path: String) -> Result<Self, Malformed> {
        let read = || serde_json::from_str(text).map(|Entries(entries)| entries);
        let entries = read_flat(text).map_or_else(read, Ok).map_err(|error| {
            let code = if path.is_empty() { Code::Malformed } else { Code::WrongType };
            Malformed::with(code, path.clone(), &error.to_string())
        })?;
        for (place, (name, _)) in entries.iter().enumerate() {
            if entries.iter().take(place).any(|(earlier, _)| earlier == name) {
                return Err(Malformed::new(Code::DuplicateField, join(&path, name)));
            }
        }
        Ok(Self { path, entries })
    }

    fn raw(&mut self, name: &str) -> Option<&'a str> {
        let entry = self.entries.iter_mut().find(|(key, value)| value.is_some() && key == name)?;
        let text = entry.1.take()?;
        (text != "null").then_some(text)
    }

    /// The path of a field of this object.
    pub fn path(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// A refusal of one of its fields.
    pub fn bad(&self, code: Code, name: &str) -> Malformed {
        Malformed::new(code, self.path(name))
    }

    fn missing(&self, name: &str) -> Malformed {
        self.bad(Code::MissingField, name)
    }

    fn typed<T: Deserialize<'a>>(&self, name: &str, raw: &'a str) -> Result<T, Malformed> {
        serde_json::from_str(raw).map_err(|_| Malformed::with(Code::WrongType, self.path(name), raw))
    }

    /// Refuses what nobody took.
    ///
    /// # Errors
    /// [`Code::UnknownField`].
    pub fn finish(self) -> Result<(), Malformed> {
        match self.entries.iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => Err(Malformed::new(Code::UnknownField, join(&self.path, name))),
            None => Ok(()),
        }
    }

    /// A string, if there.
    pub fn text(&mut self, name: &str) -> Result<Option<Cow<'a, str>>, Malformed> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        match plain_string(raw) {
            Some((text, _)) => Ok(Some(Cow::Borrowed(text))),
            None => self.typed::<Key<'a>>(name, raw).map(|key| Some(key.0)),
        }
    }

    /// A name, if there.
    pub fn name_opt(&mut self, name: &str) -> Result<Option<SmolStr>, Malformed> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        if !is_name(&text) {
            return Err(Malformed::with(Code::InvalidName, self.path(name), &text));
        }
        Ok(Some(SmolStr::new(text)))
    }

    /// A name.
    pub fn name(&mut self, name: &str) -> Result<SmolStr, Malformed> {
        self.name_opt(name)?.ok_or_else(|| self.missing(name))
    }

    /// A whole number, if there.
    pub fn whole_opt(&mut self, name: &str) -> Result<Option<u64>, Malformed> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        self.typed(name, raw).map(Some)
    }

    /// A whole number.
    pub fn whole(&mut self, name: &str) -> Result<u64, Malformed> {
        self.whole_opt(name)?.ok_or_else(|| self.missing(name))
    }

    /// A whole number between two bounds, if there.
    pub fn whole_within(&mut self, name: &str, min: u64, max: u64) -> Result<Option<u64>, Malformed> {
        let found = self.whole_opt(name)?;
        if let Some(value) = found
            && !(min..=max).contains(&value)
        {
            let detail = format!("{value}, allowed {min} to {max}");
            return Err(Malformed::with(Code::OutOfRange, self.path(name), &detail));
        }
        Ok(found)
    }

    fn decimal(&mut self, name: &str, max: Decimal) -> Result<Option<Decimal>, Malformed> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let Some(value) = number::parse(&text) else {
            let digits = text.bytes().filter(u8::is_ascii_digit).count();
            let numeric = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-'));
            let code = match (numeric && digits > 28, text.contains('.')) {
                (false, _) => Code::NotADecimal,
                (true, false) => Code::OutOfRange,
                (true, true) => Code::TooPrecise,
            };
            return Err(Malformed::with(code, self.path(name), &text));
        };
        let value = value.normalize();
        if value.abs() > max {
            return Err(Malformed::with(Code::OutOfRange, self.path(name), &format!("{value}, limit {max}")));
        }
        if value.scale() > limit::DECIMALS {
            let detail = format!("{value}, limit {} decimals", limit::DECIMALS);
            return Err(Malformed::with(Code::TooPrecise, self.path(name), &detail));
        }
        Ok(Some(value))
    }

    fn positive(&mut self, name: &str, max: Decimal) -> Result<Option<Decimal>, Malformed> {
        let found = self.decimal(name, max)?;
        if let Some(value) = found
            && (value.is_sign_negative() || value.is_zero())
        {
            let detail = format!("{value}, must be above 0");
            return Err(Malformed::with(Code::OutOfRange, self.path(name), &detail));
        }
        Ok(found)
    }

    /// A price.
    pub fn price(&mut self, name: &str) -> Result<Price, Malformed> {
        self.positive(name, limit::PRICE)?.map(Price::new).ok_or_else(|| self.missing(name))
    }

    /// A quantity above zero.
    pub fn quantity_opt(&mut self, name: &str) -> Result<Option<Quantity>, Malformed> {
        Ok(self.positive(name, limit::QUANTITY)?.map(Quantity::new))
    }

    /// A quantity above zero.
    pub fn quantity(&mut self, name: &str) -> Result<Quantity, Malformed> {
        self.quantity_opt(name)?.ok_or_else(|| self.missing(name))
    }

    /// An amount above zero, if there.
    pub fn amount_opt(&mut self, name: &str) -> Result<Option<Money>, Malformed> {
        Ok(self.positive(name, limit::MONEY)?.map(Money::new))
    }

    /// An amount above zero.
    pub fn amount(&mut self, name: &str) -> Result<Money, Malformed> {
        self.amount_opt(name)?.ok_or_else(|| self.missing(name))
    }

    /// An amount of either sign, if there.
    pub fn signed_opt(&mut self, name: &str) -> Result<Option<Money>, Malformed> {
        Ok(self.decimal(name, limit::MONEY)?.map(Money::new))
    }

    /// An amount of either sign, not zero.
    pub fn signed(&mut self, name: &str) -> Result<Money, Malformed> {
        let found = self.signed_opt(name)?.ok_or_else(|| self.missing(name))?;
        if found.is_zero() { Err(self.bad(Code::OutOfRange, name)) } else { Ok(found) }
    }

    /// A notional above zero, if there.
    pub fn notional_opt(&mut self, name: &str) -> Result<Option<Notional>, Malformed> {
        Ok(self.positive(name, limit::MONEY)?.map(Notional::new))
    }

    /// A rate of either sign.
    pub fn rate(&mut self, name: &str) -> Result<Rate, Malformed> {
        self.decimal(name, limit::RATE)?.map(Rate::new).ok_or_else(|| self.missing(name))
    }

    /// A rate between two whole numbers, if there.
    pub fn rate_within(&mut self, name: &str, min: u32, max: u32) -> Result<Option<Rate>, Malformed> {
        let found = self.decimal(name, limit::RATE)?;
        if let Some(value) = found
            && (value < Decimal::from(min) || value > Decimal::from(max))
        {
            let detail = format!("{value}, allowed {min} to {max}");
            return Err(Malformed::with(Code::OutOfRange, self.path(name), &detail));
        }
        Ok(found.map(Rate::new))
    }

    /// One of a closed list of words, if there.
    pub fn word_opt<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Malformed> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match words.iter().find(|(word, _)| *word == text) {
            Some((_, value)) => Ok(Some(*value)),
            None => {
                let allowed: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                let detail = format!("{text}, allowed {}", allowed.join(", "));
                Err(Malformed::with(Code::InvalidValue, self.path(name), &detail))
            }
        }
    }

    /// One of a closed list of words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Result<T, Malformed> {
        self.word_opt(name, words)?.ok_or_else(|| self.missing(name))
    }

    /// A nested object, if there.
    pub fn object(&mut self, name: &str) -> Result<Option<Fields<'a>>, Malformed> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        Fields::nested(raw, self.path(name)).map(Some)
    }

    /// A nested list of objects.
    pub fn objects(&mut self, name: &str) -> Result<Vec<Fields<'a>>, Malformed> {
        let Some(raw) = self.raw(name) else { return Err(self.missing(name)) };
        let items: Vec<&'a RawValue> = self.typed(name, raw)?;
        let path = self.path(name);
        items
            .into_iter()
            .enumerate()
            .map(|(place, item)| Fields::nested(item.get(), format!("{path}[{place}]")))
            .collect()
    }

    /// Is the field a string (and not an object)?
    pub fn is_text(&self, name: &str) -> bool {
        let raw = self.entries.iter().find(|(key, _)| key == name).and_then(|(_, raw)| *raw);
        raw.is_none_or(|raw| raw.starts_with('"') || raw == "null")
    }

    /// Every remaining field as a rate (a table of names).
    pub fn rates(mut self) -> Result<Vec<(SmolStr, Rate)>, Malformed> {
        let names: Vec<String> = self.entries.iter().map(|(name, _)| name.to_string()).collect();
        names
            .into_iter()
            .map(|name| {
                let value = self.rate_within(&name, 0, 1_000)?.ok_or_else(|| self.missing(&name))?;
                if !is_name(&name) {
                    return Err(self.bad(Code::InvalidName, &name));
                }
                Ok((SmolStr::new(name), value))
            })
            .collect()
    }
}

fn join(path: &str, name: &str) -> String {
    let shown: String = name.chars().take(64).collect();
    if path.is_empty() { shown } else { format!("{path}.{shown}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_flat_object_is_read_as_serde_json_reads_it_or_left_to_it() {
        let values = [
            r#""a""#,
            r#""""#,
            r#""ä€😀""#,
            "0",
            "7",
            "18446744073709551616",
            r#""a b""#,
            "null",
            "true",
            "-1",
            "1.5",
            "1e3",
            "01",
            "00",
            "",
            "\"",
            r#""\u0041""#,
            r#""\\""#,
            r#""\ud800""#,
            "\"a\nb\"",
            "\"\u{7f}\"",
            "[]",
            "{}",
            "[1,{}]",
            r#"{"x":"y"}"#,
            "'a'",
            "a",
            r#""a""b""#,
            "1 2",
            "+1",
            "1,",
            "\u{a0}1",
        ];
        let shapes = [
            "{\"k\":@}",
            " { \"k\" : @ } ",
            "\t{\r\n\"k\":@,\"l\":@}\n",
            "{\"k\":@,}",
            "{\"k\"@}",
            "{@:1}",
            "{@}",
            "[@]",
            "@",
            "{\"k\":@",
            "{\"k\":@}}",
            "{,\"k\":@}",
            "{\"k\":@ \"l\":@}",
            "{\"k\":@,\"k\":@}",
            "\u{feff}{\"k\":@}",
            "{\"k\":@}\u{b}",
        ];
        let mut flat = 0;
        for text in shapes.iter().flat_map(|shape| values.iter().map(|value| shape.replace('@', value))) {
            let expected = serde_json::from_str::<Entries<'_>>(&text).map(|Entries(entries)| entries);
            if let Some(found) = read_flat(&text) {
                assert_eq!(found, expected.unwrap(), "{text}");
                flat += 1;
            }
        }
        assert!(flat > 20, "only {flat} were read");
    }
}
