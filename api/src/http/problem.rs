//! Errors of a whole request, as RFC 9457 `application/problem+json`: one closed list of codes, each with its status, a
//! sentence and what to do; one place from refusal to problem.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use backstop_actors::gateway::Refusal;
use backstop_actors::history::HistoryError;
use backstop_actors::snapshot::SnapshotError;
use backstop_engine::flow::Stop;
use backstop_engine::id::Seq;
use serde::Serialize;

macro_rules! kinds {
    ($($variant:ident $status:literal $code:literal $sentence:literal $advice:literal;)*) => {
        /// What can be wrong with a request. The text of a code is released: it never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind { $(#[doc = $sentence] $variant,)* }

        impl Kind {
            /// Every kind, in the order of this list.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable text.
            pub(crate) const fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
            /// The status it is answered with.
            pub(crate) const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
            /// What it means.
            pub(crate) const fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
            /// What to do about it.
            pub(crate) const fn advice(self) -> &'static str {
                match self { $(Self::$variant => $advice,)* }
            }
        }
    };
}

kinds! {
    Malformed 400 "malformed" "nothing of the request could be read" "compare the request with /openapi.json";
    InvalidValue 400 "invalid_value" "a parameter has a value that is not one of those allowed" "see the parameter in /openapi.json";
    OutOfRange 400 "out_of_range" "a parameter is outside its range" "the sentence names the range";
    UnknownParameter 400 "unknown_parameter" "the path takes no such parameter" "leave it out; /openapi.json lists those there are";
    DuplicateParameter 400 "duplicate_parameter" "a parameter stands twice" "give it once";
    MissingCredentials 401 "missing_credentials" "the path needs a key" "sign the request, or show a bearer token";
    InvalidCredentials 401 "invalid_credentials" "the key, token or signature is not right" "the answer is the same for an unknown key and for a wrong signature; check both, and what is signed";
    ExpiredCredentials 401 "expired_credentials" "the key has expired" "ask an operator of the venue for a new one";
    StaleTimestamp 401 "stale_timestamp" "the timestamp of the signed request is outside its window" "set the clock, or ask for a longer window";
    Replayed 401 "replayed" "this signed request has been taken before" "sign anew; give requests of the same millisecond different nonces";
    Forbidden 403 "forbidden" "the key may not do this" "use a key of the role that the path names; a key of an account reads that account only";
    KeysRequired 403 "keys_required" "without configured keys this is open to loopback only" "configure keys, or call from the machine itself";
    OperatorListener 403 "operator_listener" "operator commands are taken on the admin listener" "send them to the admin listener with a key of an operator";
    UnknownPath 404 "unknown_path" "there is nothing at this path" "see /docs";
    UnknownAccount 404 "unknown_account" "there is no such account" "an account exists from its first command on";
    UnknownMarket 404 "unknown_market" "there is no such market" "/v1/markets lists them";
    UnknownAsset 404 "unknown_asset" "there is no such asset" "/v1/rules lists them";
    UnknownReceipt 404 "unknown_receipt" "there is no such receipt" "receipts are named liquidation-N and adl-N, after what /v1/liquidations and /v1/adl show";
    UnknownDay 404 "unknown_day" "there is nothing of this day" "days are UTC, as 2025-10-10, from the first entry to today";
    NoMark 404 "no_mark" "the market has no mark price yet" "send it a price, and wait for a tick";
    UnknownProblem 404 "unknown_problem" "there is no such problem" "/problems lists them";
    MethodNotAllowed 405 "method_not_allowed" "the path does not take this method" "the header Allow names those it takes";
    Timeout 408 "timeout" "the request did not come in time" "send it at once, or in smaller pieces";
    NotKept 409 "not_kept" "nothing is kept, so nothing can be written down" "start the daemon with a data directory";
    TooLarge 413 "too_large" "the request is larger than allowed" "send it in smaller pieces";
    UnsupportedMediaType 415 "unsupported_media_type" "the body is of a type that is not taken" "the sentence names those that are";
    Misdirected 421 "misdirected" "the request names a host that is not this machine" "without keys, call 127.0.0.1, [::1] or localhost";
    RateLimited 429 "rate_limited" "there were too many requests" "wait as long as Retry-After says";
    TooManyStreams 429 "too_many_streams" "there are too many open streams" "close one, or follow more topics in one";
    Internal 500 "internal" "the daemon made a mistake" "report it with the request";
    SnapshotFailed 500 "snapshot_failed" "the snapshot could not be written" "look at the log and the disk";
    HistoryFailed 500 "history_failed" "the history could not be read" "look at the log and the disk";
    ProofFailed 500 "proof_failed" "the day could not be signed" "look at the log and the signing key";
    Overloaded 503 "overloaded" "there is more to do than is taken on" "come back after Retry-After; numbered commands may be sent again as they are";
    Starting 503 "starting" "the daemon is starting" "come back after Retry-After";
    ShuttingDown 503 "shutting_down" "the daemon is shutting down" "come back after Retry-After";
    Halted 503 "halted" "the daemon had to stop" "look at its log; whatever was acknowledged is safe";
    NotReached 503 "not_reached" "the sequence number that was waited for has not been reached" "come back after Retry-After, or wait for a lower one";
    StorageFull 507 "storage_full" "the disk has no room for more" "make room; reads go on";
}

/// What is wrong with a request.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Problem {
    kind: Kind,
    detail: Box<str>,
    field: Option<Box<str>>,
    seq: Option<Seq>,
    hint: Option<Hint>,
}

/// A problem as it is written.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Shown<'a> {
    /// The page that explains it, served by the daemon itself.
    #[serde(rename = "type")]
    page: String,
    /// What it means, the same for every request.
    title: &'static str,
    /// The status.
    status: u16,
    /// The stable code.
    code: &'static str,
    /// What is wrong with this request.
    detail: &'a str,
    /// The parameter, header or part of the request it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    /// The last command applied when it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { kind, detail, field, seq, .. } = self;
        let (page, title) = (format!("/problems/{}", kind.code()), kind.sentence());
        let (status, code) = (kind.status(), kind.code());
        Shown { page, title, status, code, detail, field: field.as_deref(), seq: *seq }.serialize(serializer)
    }
}

/// What a header says beside.
#[derive(Debug, Clone, Copy)]
enum Hint {
    /// Come back after so many milliseconds.
    RetryAfter(u64),
    /// These methods are taken.
    Allow(&'static str),
    /// These credentials are taken.
    Authenticate,
}

impl Problem {
    /// A problem of a kind.
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let hint = (kind.status() == 401).then_some(Hint::Authenticate);
        Self { kind, detail: detail.into().into(), field: None, seq: None, hint }
    }

    /// A problem that its kind says all about.
    pub(crate) fn plain(kind: Kind) -> Self {
        Self::new(kind, kind.sentence())
    }

    /// About a field.
    pub(crate) fn field(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into().into()), ..self }
    }

    /// At a sequence number.
    pub(crate) fn at(self, seq: Seq) -> Self {
        Self { seq: Some(seq), ..self }
    }

    /// The path takes these methods only.
    pub(crate) fn method(allow: &'static str) -> Self {
        let problem = Self::new(Kind::MethodNotAllowed, format!("this path takes {allow}"));
        Self { hint: Some(Hint::Allow(allow)), ..problem }
    }

    /// The daemon does not serve now.
    pub(crate) fn away(kind: Kind) -> Self {
        Self::later(kind, kind.sentence(), 1_000)
    }

    /// Not now, but after so many milliseconds.
    pub(crate) fn later(kind: Kind, detail: impl Into<String>, retry_after_ms: u64) -> Self {
        Self { hint: Some(Hint::RetryAfter(retry_after_ms)), ..Self::new(kind, detail) }
    }

    /// The stable code.
    pub(crate) fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.content_type("application/problem+json");
        if let Some(hint) = self.hint {
            response.insert_header(match hint {
                // The header counts whole seconds.
                Hint::RetryAfter(ms) => ("Retry-After", ms.div_ceil(1_000).max(1).to_string()),
                Hint::Allow(methods) => ("Allow", methods.to_owned()),
                Hint::Authenticate => ("WWW-Authenticate", "Bearer, Backstop-Signature".to_owned()),
            });
        }
        response.body(serde_json::to_string(self).unwrap_or_default())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Overloaded { retry_after_ms } => Self::later(Kind::Overloaded, detail, retry_after_ms),
            Refusal::StorageFull { retry_after_ms } => Self::later(Kind::StorageFull, detail, retry_after_ms),
            Refusal::ShuttingDown => Self::away(Kind::ShuttingDown),
            Refusal::TooLarge => Self::new(Kind::TooLarge, detail),
            Refusal::Halted => Self::new(Kind::Halted, detail),
        }
    }
}

impl From<SnapshotError> for Problem {
    fn from(error: SnapshotError) -> Self {
        let kind = match error {
            SnapshotError::NotKept => Kind::NotKept,
            SnapshotError::Halted => Kind::Halted,
            SnapshotError::Io(_) | SnapshotError::Form => Kind::SnapshotFailed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        Self::new(Kind::HistoryFailed, error.to_string())
    }
}

impl From<Stop> for Problem {
    fn from(stop: Stop) -> Self {
        Self::new(Kind::Halted, stop.to_string())
    }
}

/// Nothing is here.
pub(crate) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::plain(Kind::UnknownPath))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_one_code_a_status_of_an_error_and_something_to_say() {
        let mut codes: Vec<&str> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        for kind in Kind::ALL {
            println!("{:<24}{} {}", kind.code(), kind.status(), kind.sentence());
            let problem = Problem::plain(*kind);
            assert_eq!(problem.status_code().as_u16(), kind.status());
            assert!(problem.status_code().is_client_error() || problem.status_code().is_server_error());
            assert!(!kind.sentence().is_empty() && !kind.advice().is_empty());
            assert!(kind.sentence().chars().next().is_some_and(char::is_lowercase), "{}", kind.sentence());
        }
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all, "a code stands for one thing");
    }

    #[test]
    fn what_may_be_tried_again_says_when() {
        for problem in [Problem::away(Kind::Starting), Problem::later(Kind::RateLimited, "", 1)] {
            let response = problem.error_response();
            assert_eq!(response.headers().get("Retry-After").unwrap(), "1");
        }
    }
}
