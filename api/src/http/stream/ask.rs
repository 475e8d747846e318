//! What a client may ask of a stream.

use super::topic::Topic;
use crate::http::Api;
use crate::http::auth::{Caller, Credentials, Presented};
use crate::http::problem::{Kind, Problem};
use serde::Deserialize;

/// A message of a client.
#[derive(Debug, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Ask {
    /// Follow topics; from an event on, or from now with a snapshot.
    Subscribe { topics: Vec<String>, resume_from: Option<u64> },
    /// Follow them no more.
    Unsubscribe { topics: Vec<String> },
    /// Show a key: a token, or a signature over `GET` and `/v1/stream` as of a request without a body.
    Authenticate {
        token: Option<String>,
        key: Option<String>,
        timestamp: Option<String>,
        window: Option<String>,
        nonce: Option<String>,
        signature: Option<String>,
    },
    /// Is anybody there?
    Ping,
}

impl Ask {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Kind::Malformed`].
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        serde_json::from_str(text).map_err(|error| Problem::new(Kind::Malformed, error.to_string()))
    }
}

/// The topics of these names.
pub(super) fn topics(names: &[String]) -> Result<Vec<Topic>, Problem> {
    names.iter().map(|name| Topic::read(name)).collect()
}

/// Who shows this?
pub(super) fn caller(api: &Api, shown: Ask) -> Result<Caller, Problem> {
    let Ask::Authenticate { token, key, timestamp, window, nonce, signature } = shown else {
        return Err(Problem::plain(Kind::Malformed));
    };
    let credentials = match (token, key, timestamp, signature) {
        (Some(token), None, None, None) => Credentials::Token(token),
        (None, Some(key), Some(timestamp), Some(signature)) => {
            let signed = [key.as_str(), timestamp.as_str(), signature.as_str()];
            Credentials::signed(signed, window.as_deref(), nonce.as_deref(), ["GET", "/v1/stream"])?
        }
        _ => return Err(Problem::new(Kind::MissingCredentials, "a token, or key, timestamp and signature")),
    };
    match api.keys.present(credentials)? {
        Presented::Caller(caller) => Ok(caller),
        Presented::Pending(pending) => api.keys.verify(*pending, b""),
    }
}
