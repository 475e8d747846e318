//! Who asks in the words of a venue, and for which account.
//!
//! | | Binance | Bybit |
//! |---|---|---|
//! | key | header `X-MBX-APIKEY` | header `X-BAPI-API-KEY` |
//! | signature | query parameter `signature`, the last one | header `X-BAPI-SIGN` |
//! | over | the raw query before it | timestamp, key, window and raw query |
//! | time | query `timestamp`, `recvWindow` | headers `X-BAPI-TIMESTAMP`, `X-BAPI-RECV-WINDOW` |
//!
//! Both sign with HMAC-SHA-256 in hex, which is what a key with a `secret_file` does: the header names the key, and its
//! secret signs. The key header may also hold the token of a key; the signature is not looked at then. A wish for a longer
//! window than `auth.window_ms` is shortened. Neither signature covers the path, and clients send the same text to several
//! paths within a millisecond: a signature is taken once at each view, and opens nothing but reads of the same account.
//! Credentials of Backstop's own are taken here too, before these.
//!
//! A key of an account reads that account; another key names one with the parameter `account`. While no key is configured,
//! whoever is on this machine names it so too, or by the text of the key header.

use super::Venue;
use super::refusals::Refusal;
use crate::http::auth::{Caller, Credentials, Keys, Presented};
use crate::http::operations::Operation;
use crate::http::params::is_name;
use crate::http::problem::{Kind, Problem};
use actix_web::dev::{Payload, ServiceRequest};
use actix_web::http::header::HeaderMap;
use actix_web::web::Query;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use backstop_engine::id::AccountId;
use backstop_engine::rules;
use std::collections::BTreeMap;
use std::future::{Ready, ready};

/// What a request shows of a key, in the way of a venue.
pub(super) struct Shown<'a> {
    pub(super) key: &'a str,
    pub(super) signature: Option<&'a str>,
    pub(super) timestamp: Option<String>,
    window: Option<String>,
    /// What is signed.
    text: String,
}

impl<'a> Shown<'a> {
    /// By these headers and this query; nothing without a key.
    pub(super) fn by(venue: Venue, headers: &'a HeaderMap, query: &'a str) -> Option<Self> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match venue {
            Venue::Binance => {
                let key = header("X-MBX-APIKEY")?;
                let (text, signature) = match query.rsplit_once("&signature=") {
                    Some((text, signature)) => (text, Some(signature)),
                    None => (query, query.strip_prefix("signature=")),
                };
                let named = pairs(query);
                let (timestamp, window) = (named.get("timestamp").cloned(), named.get("recvWindow").cloned());
                Some(Self { key, signature, timestamp, window, text: text.to_owned() })
            }
            Venue::Bybit => {
                let key = header("X-BAPI-API-KEY")?;
                let (timestamp, window) = (header("X-BAPI-TIMESTAMP"), header("X-BAPI-RECV-WINDOW"));
                let text = [timestamp.unwrap_or_default(), key, window.unwrap_or_default(), query].concat();
                let (timestamp, window) = (timestamp.map(str::to_owned), window.map(str::to_owned));
                Some(Self { key, signature: header("X-BAPI-SIGN"), timestamp, window, text })
            }
        }
    }
}

/// Whoever has signed, or shown a token, in the way of the venue; none who shows no key, or one without a signature.
///
/// # Errors
/// Why what is shown is not taken.
pub(in crate::http) fn caller(
    keys: &Keys,
    operation: &Operation,
    request: &ServiceRequest,
) -> Result<Option<Caller>, Problem> {
    let Some(venue) = Venue::of(operation.path) else { return Ok(None) };
    let Some(shown) = Shown::by(venue, request.headers(), request.query_string()) else { return Ok(None) };
    match keys.present(Credentials::Token(shown.key.to_owned())) {
        Ok(Presented::Caller(caller)) => return Ok(Some(caller)),
        Err(problem) if problem.code() != Kind::InvalidCredentials.code() => return Err(problem),
        // Not a token: the name of a key that signs.
        _ => {}
    }
    // Clients show a key without a signature where the venue asks for none.
    let Some(signature) = shown.signature else { return Ok(None) };
    let timestamp = shown.timestamp.as_deref().ok_or_else(|| Problem::plain(Kind::InvalidCredentials))?;
    let signed = Credentials::signed([shown.key, timestamp, signature], shown.window.as_deref(), None, ["", ""])?;
    match keys.present(signed)? {
        Presented::Caller(caller) => Ok(Some(caller)),
        Presented::Pending(pending) => keys.verify_text(*pending, shown.text.as_bytes(), operation.path).map(Some),
    }
}

/// The parameters of a query by name; the last counts of those that stand twice.
fn pairs(query: &str) -> BTreeMap<String, String> {
    Query::from_query(query).map(Query::into_inner).unwrap_or_default()
}

/// A request to a view: unknown parameters are in it too, and nobody looks at them.
pub(super) struct Asked {
    pattern: String,
    query: BTreeMap<String, String>,
    caller: Caller,
    /// The text of the key header.
    key: Option<String>,
}

impl FromRequest for Asked {
    type Error = Refusal;
    type Future = Ready<Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let pattern = request.match_pattern().unwrap_or_default();
        let shown = Venue::of(&pattern).and_then(|venue| Shown::by(venue, request.headers(), request.query_string()));
        let key = shown.map(|shown| shown.key.to_owned());
        // The gate has found out who asks; whom it does not know is anybody.
        let caller = request.extensions().get::<Caller>().cloned().unwrap_or(Caller::Public);
        ready(Ok(Self { pattern, query: pairs(request.query_string()), caller, key }))
    }
}

impl Asked {
    /// A parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A whole number.
    pub(super) fn whole(&self, name: &'static str) -> Result<Option<u64>, Refusal> {
        let read = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        self.text(name).map(|text| read(text).ok_or(Refusal::Malformed(name))).transpose()
    }

    /// Which contracts a path of Binance is about.
    pub(super) fn kind(&self) -> rules::Kind {
        if self.pattern.starts_with("/compat/binance/dapi/") { rules::Kind::Inverse } else { rules::Kind::Linear }
    }

    /// Is it this version of a path of Binance?
    pub(super) fn is_version(&self, version: &str) -> bool {
        self.pattern.split('/').nth(4) == Some(version)
    }

    /// Whose account is asked for, if the caller may read it.
    ///
    /// # Errors
    /// It is not said, or the caller may not.
    pub(super) fn account(&self) -> Result<AccountId, Refusal> {
        let own = match &self.caller {
            Caller::Key(holder) => holder.account.as_deref(),
            Caller::Open => self.key.as_deref(),
            Caller::Public => None,
        };
        let Some(name) = self.text("account").or(own) else {
            return Err(match self.caller {
                Caller::Key(_) => Refusal::Missing("account"),
                _ => Problem::plain(Kind::MissingCredentials).into(),
            });
        };
        self.caller.may_read(name)?;
        if is_name(name) { Ok(AccountId(name.into())) } else { Err(Refusal::Malformed("account")) }
    }
}
