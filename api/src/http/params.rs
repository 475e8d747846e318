//! Parameters of paths and queries: declared once, checked in one place, described in /openapi.json.

use super::problem::{Kind, Problem};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::{Ready, ready};

/// Where a parameter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the path: required.
    Path,
    /// In the query: optional.
    Query,
}

/// What a parameter may be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Form {
    /// A name of the venue.
    Name,
    /// A whole number within a range.
    Whole(u64, u64),
    /// `true` or `false`.
    Flag,
    /// A UTC day.
    Day,
    /// One of these.
    Word(&'static [&'static str]),
    /// The name of a receipt.
    Receipt,
    /// Names with commas between.
    List,
}

/// A parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Param {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
    pub(crate) form: Form,
    pub(crate) text: &'static str,
}

/// In the path.
pub(crate) const fn path(name: &'static str, form: Form, text: &'static str) -> Param {
    Param { name, place: Place::Path, form, text }
}

/// In the query.
pub(crate) const fn query(name: &'static str, form: Form, text: &'static str) -> Param {
    Param { name, place: Place::Query, form, text }
}

/// Largest number that JSON readers everywhere keep exactly.
pub(crate) const WHOLE_MAX: u64 = 9_007_199_254_740_991;
/// Last millisecond of the year 9999.
const TIME_MAX: u64 = 253_402_300_799_999;

/// Which page of a list.
pub(crate) const CURSOR: Param =
    query("cursor", Form::Whole(0, WHOLE_MAX), "Items after this one: `next` of the page before.");
/// How many items.
pub(crate) const LIMIT: Param = query("limit", Form::Whole(1, 1_000), "Most items of a page; 100 when left out.");
/// Of one market.
pub(crate) const MARKET: Param = query("market", Form::Name, "Only of this market.");
/// Of one account.
pub(crate) const ACCOUNT: Param = query("account", Form::Name, "Only of this account.");
/// From a time.
pub(crate) const FROM: Param =
    query("from", Form::Whole(0, TIME_MAX), "Not before this time, in milliseconds since 1970.");
/// To a time.
pub(crate) const TO: Param = query("to", Form::Whole(0, TIME_MAX), "Before this time, in milliseconds since 1970.");
/// Every read takes it.
pub(crate) const WAIT_FOR: Param = query(
    "wait_for",
    Form::Whole(0, WHOLE_MAX),
    "Answer only when this command has been applied: reads your own writes.",
);

impl Form {
    /// Is the text one of it? Else what it should be.
    fn check(self, text: &str) -> Result<(), (Kind, String)> {
        let wrong = |what: String| Err((Kind::InvalidValue, what));
        match self {
            Self::Name if is_name(text) => Ok(()),
            Self::Name => wrong("a name has 1 to 64 characters from A-Z a-z 0-9 . _ : / -".to_owned()),
            Self::Whole(least, most) => match whole(text) {
                None => wrong("a whole number".to_owned()),
                Some(number) if (least..=most).contains(&number) => Ok(()),
                Some(_) => Err((Kind::OutOfRange, format!("allowed {least} to {most}"))),
            },
            Self::Flag if matches!(text, "true" | "false") => Ok(()),
            Self::Flag => wrong("true or false".to_owned()),
            Self::Day if is_day(text) => Ok(()),
            Self::Day => wrong("a day, as 2025-10-10".to_owned()),
            Self::Word(words) if words.contains(&text) => Ok(()),
            Self::Word(words) => wrong(format!("one of {}", words.join(", "))),
            Self::Receipt if is_receipt(text) => Ok(()),
            Self::Receipt => wrong("liquidation-N or adl-N".to_owned()),
            Self::List if text.len() <= 4_096 && text.split(',').all(|item| (1..=80).contains(&item.len())) => Ok(()),
            Self::List => wrong("names with commas between".to_owned()),
        }
    }

    /// As JSON Schema has it.
    fn schema(self) -> Value {
        match self {
            Self::Name => json!({ "type": "string", "pattern": "^[A-Za-z0-9._:/-]{1,64}$" }),
            Self::Whole(least, most) => json!({ "type": "integer", "minimum": least, "maximum": most }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Day => json!({ "type": "string", "format": "date" }),
            Self::Word(words) => json!({ "type": "string", "enum": words }),
            Self::List => json!({ "type": "string", "maxLength": 4096, "pattern": "^[^,]{1,80}(,[^,]{1,80})*$" }),
            Self::Receipt => json!({ "type": "string", "pattern": "^(liquidation|adl)-[1-9][0-9]{0,14}$" }),
        }
    }
}

impl Param {
    /// As OpenAPI has it.
    pub(crate) fn describe(&self) -> Value {
        json!({
            "name": self.name,
            "in": if self.place == Place::Path { "path" } else { "query" },
            "required": self.place == Place::Path,
            "description": self.text,
            "schema": self.form.schema(),
        })
    }
}

pub(super) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// Digits only: no sign, which `parse` would take.
fn whole(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A day of the calendar: four digits, two, two.
fn is_day(text: &str) -> bool {
    let mut parts = text.split('-');
    let mut part = |digits: usize| parts.next().filter(|part| part.len() == digits).and_then(whole);
    let (year, month, day) = (part(4), part(2), part(2));
    let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else { return false };
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    (1..=last).contains(&day)
}

fn is_receipt(text: &str) -> bool {
    let number = text.strip_prefix("liquidation-").or_else(|| text.strip_prefix("adl-"));
    number.is_some_and(|digits| !digits.starts_with('0') && digits.len() <= 15 && whole(digits).is_some())
}

/// The parameters of a request, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given(BTreeMap<&'static str, String>);

impl Given {
    /// Reads those a path declares, and no other.
    ///
    /// # Errors
    /// The first that is unknown, stands twice, or is not what it should be.
    pub(crate) fn read(declared: &[Param], request: &HttpRequest) -> Result<Self, Problem> {
        let mut given = BTreeMap::new();
        let mut take = |param: &Param, text: String| match param.form.check(&text) {
            Err((kind, what)) => Err(Problem::new(kind, format!("{} {text:?}: {what}", param.name)).field(param.name)),
            Ok(()) if given.insert(param.name, text).is_some() => {
                let detail = format!("{} stands twice", param.name);
                Err(Problem::new(Kind::DuplicateParameter, detail).field(param.name))
            }
            Ok(()) => Ok(()),
        };
        for param in declared.iter().filter(|param| param.place == Place::Path) {
            take(param, decoded(request.match_info().query(param.name)))?;
        }
        for (name, text) in pairs(request.query_string()) {
            let known =
                declared.iter().chain([&WAIT_FOR]).find(|param| param.place == Place::Query && param.name == name);
            let Some(param) = known else {
                let detail = format!("there is no parameter {name:?} at this path");
                return Err(Problem::new(Kind::UnknownParameter, detail).field(name));
            };
            take(param, text)?;
        }
        Ok(Self(given))
    }

    /// A text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A text, its own.
    pub(crate) fn owned(&self, name: &str) -> Option<String> {
        self.0.get(name).cloned()
    }

    /// A text that the path cannot lack.
    pub(crate) fn required(&self, name: &str) -> String {
        self.owned(name).unwrap_or_default()
    }

    /// A whole number.
    pub(crate) fn whole(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(whole)
    }

    /// Is a flag set?
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.text(name) == Some("true")
    }
}

/// The pairs of a query.
fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let plain = |text: &str| decoded(&text.replace('+', " "));
        (plain(name), plain(value))
    })
}

/// Without its percent signs; what is not UTF-8 becomes what no form allows.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let mut ahead = rest.clone();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        match (byte, digit(ahead.next()), digit(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                bytes.push(u8::try_from(high.saturating_mul(16).saturating_add(low)).unwrap_or(b'?'));
                rest = ahead;
            }
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl FromRequest for Given {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // The gate has read them; a path that no operation declares has none.
        ready(Ok(request.extensions().get::<Self>().cloned().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    const DECLARED: &[Param] = &[CURSOR, LIMIT, MARKET, query("day", Form::Day, ""), query("all", Form::Flag, "")];

    fn read(query: &str) -> Result<Given, &'static str> {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        Given::read(DECLARED, &request).map_err(|problem| problem.code())
    }

    #[test]
    fn what_is_declared_is_taken_and_nothing_else() {
        let given = read("limit=5&market=BTC%2fUSDT&wait_for=7&all=true").unwrap();
        assert_eq!((given.whole("limit"), given.text("market")), (Some(5), Some("BTC/USDT")));
        assert_eq!((given.whole("wait_for"), given.flag("all")), (Some(7), true));
        for (query, code) in [
            ("nonsense=1", "unknown_parameter"),
            ("limit=1&limit=1", "duplicate_parameter"),
            ("limit=0", "out_of_range"),
            ("limit=1001", "out_of_range"),
            ("limit=+1", "invalid_value"),
            ("limit=", "invalid_value"),
            ("cursor=-1", "invalid_value"),
            ("cursor=99999999999999999999", "invalid_value"),
            ("market=", "invalid_value"),
            ("market=a%00b", "invalid_value"),
            ("market=%ff", "invalid_value"),
            ("day=2025-02-30", "invalid_value"),
            ("day=2025-2-3", "invalid_value"),
            ("all=yes", "invalid_value"),
        ] {
            assert_eq!(read(query).unwrap_err(), code, "{query}");
        }
    }
}
