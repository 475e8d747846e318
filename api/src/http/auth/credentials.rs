//! What a request shows of its key: a bearer token, or a signature.

use super::keys::Secret;
use super::{Caller, Holder};
use crate::http::problem::{Kind, Problem};
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use std::sync::Arc;

/// The headers of a signed request.
pub(crate) const KEY: &str = "Backstop-Key";
pub(crate) const TIMESTAMP: &str = "Backstop-Timestamp";
pub(crate) const WINDOW: &str = "Backstop-Window";
pub(crate) const NONCE: &str = "Backstop-Nonce";
pub(crate) const SIGNATURE: &str = "Backstop-Signature";

/// What a request shows.
pub(crate) enum Credentials {
    /// A bearer token.
    Token(String),
    /// A signature.
    Signed(Signed),
}

/// A signed request. What is signed: timestamp, window, nonce, method and target (path with query), each followed by a
/// line feed and empty where there is none, then the body as it is; with HMAC-SHA-256 in hex.
pub(crate) struct Signed {
    pub(super) key: String,
    pub(super) timestamp: u64,
    pub(super) window: Option<u64>,
    pub(super) signature: [u8; 32],
    /// As they were sent: timestamp, window, nonce, method, target.
    pub(super) text: [String; 5],
}

impl Signed {
    pub(super) fn write(&self, mut to: impl FnMut(&[u8])) {
        for part in &self.text {
            to(part.as_bytes());
            to(b"\n");
        }
    }
}

/// A signed request whose body has not been seen yet.
pub(crate) struct Pending {
    pub(super) signed: Signed,
    pub(super) secret: Secret,
    /// None for a key that is not there: the signature is not right then.
    pub(super) caller: Option<(Arc<Holder>, Option<u64>)>,
}

/// What a look at the headers has brought.
pub(crate) enum Presented {
    /// Somebody.
    Caller(Caller),
    /// Somebody, if the signature fits the body.
    Pending(Box<Pending>),
}

fn unreadable(header: &'static str, what: &str) -> Problem {
    Problem::new(Kind::InvalidCredentials, format!("{header}: {what}")).field(header)
}

impl Credentials {
    /// Reads the headers; none where there are no credentials.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn of(headers: &HeaderMap, method: &str, target: &str) -> Result<Option<Self>, Problem> {
        let text = |name: &'static str| match headers.get(name) {
            None => Ok(None),
            Some(value) => value.to_str().map(Some).map_err(|_| unreadable(name, "not plain text")),
        };
        if let Some(key) = text(KEY)? {
            let required = |name: &'static str| text(name)?.ok_or_else(|| unreadable(name, "the header is missing"));
            let (timestamp, signature) = (required(TIMESTAMP)?, required(SIGNATURE)?);
            let (window, nonce) = (text(WINDOW)?, text(NONCE)?);
            return Self::signed([key, timestamp, signature], window, nonce, [method, target]).map(Some);
        }
        let Some(value) = headers.get(AUTHORIZATION) else { return Ok(None) };
        let token = value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        token.map(|token| Some(Self::Token(token))).ok_or_else(|| unreadable("Authorization", "Bearer and a token"))
    }

    /// A signed request from its parts: key, timestamp and signature; window and nonce; method and target.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn signed(
        [key, timestamp, signature]: [&str; 3],
        window: Option<&str>,
        nonce: Option<&str>,
        [method, target]: [&str; 2],
    ) -> Result<Self, Problem> {
        let whole =
            |name, text: &str| text.parse::<u64>().map_err(|_| unreadable(name, "a whole number of milliseconds"));
        let bytes = super::keys::unhex(signature);
        Ok(Self::Signed(Signed {
            key: key.to_owned(),
            timestamp: whole(TIMESTAMP, timestamp)?,
            window: window.map(|window| whole(WINDOW, window)).transpose()?,
            signature: bytes.ok_or_else(|| unreadable(SIGNATURE, "64 hexadecimal digits"))?,
            text: [timestamp, window.unwrap_or_default(), nonce.unwrap_or_default(), method, target].map(str::to_owned),
        }))
    }
}
