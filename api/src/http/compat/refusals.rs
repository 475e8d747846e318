//! Refusals in the form of the venue whose words were asked in: the code, the sentence and the status that its clients know.
//!
//! In: a [`Refusal`] of a handler, or a [`Problem`] of the gate or of a path that is not there. Out: a response. What the
//! problem says in headers (`Retry-After`, `Allow`) stays. An unknown key and a wrong signature are answered alike, as under
//! `/v1`. Bybit answers refusals with 200 unless the path, a limit or the daemon's own state is the reason.

use super::Venue;
use super::access::Shown;
use super::answers::{Row, envelope, row};
use crate::http::problem::{Kind, Problem};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use backstop_engine::flow::Stop;
use backstop_engine::number::Overflow;

/// Why a view says no.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the symbol is not known")]
    Symbol,
    #[error("{0} is not what it should be")]
    Malformed(&'static str),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error(transparent)]
    Problem(#[from] Problem),
}

impl From<Overflow> for Refusal {
    fn from(overflow: Overflow) -> Self {
        Self::Problem(Problem::new(Kind::Internal, overflow.to_string()))
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        Self::Problem(stop.into())
    }
}

/// The gate gives it the form of the venue on its way out.
impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Problem(problem) => problem.status_code(),
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// What both venues have a code for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Symbol,
    Malformed(&'static str),
    Missing(&'static str),
    Untimely,
    Signature,
    NoKey,
    Key,
    NotYours,
    Nowhere,
    TooMany,
    Unreadable,
    Away,
}

impl Why {
    fn of(problem: &Problem, shown: Option<&Shown<'_>>) -> Self {
        match (problem.code(), shown) {
            ("missing_credentials", None) => Self::NoKey,
            ("missing_credentials", Some(_)) => Self::Missing("signature"),
            ("invalid_credentials", Some(shown)) if shown.signature.is_some() => match shown.timestamp {
                Some(_) => Self::Signature,
                None => Self::Missing("timestamp"),
            },
            ("invalid_credentials" | "expired_credentials", _) => Self::Key,
            ("stale_timestamp" | "replayed", _) => Self::Untimely,
            ("forbidden" | "keys_required" | "misdirected", _) => Self::NotYours,
            ("unknown_path" | "method_not_allowed", _) => Self::Nowhere,
            ("rate_limited" | "too_many_streams", _) => Self::TooMany,
            _ if problem.status_code().is_server_error() => Self::Away,
            _ => Self::Unreadable,
        }
    }
}

/// The status, which is the problem's own where none is named; the code; the sentence.
type Words = (Option<StatusCode>, i64, String);

fn binance(why: Why, request: &HttpRequest) -> Words {
    const BAD: Option<StatusCode> = Some(StatusCode::BAD_REQUEST);
    const DENIED: Option<StatusCode> = Some(StatusCode::UNAUTHORIZED);
    let said = |status, code, text: &str| (status, code, text.to_owned());
    match why {
        Why::Symbol => said(BAD, -1121, "Invalid symbol."),
        Why::Malformed(name) => (BAD, -1130, format!("Data sent for parameter '{name}' is not valid.")),
        Why::Unreadable => said(None, -1130, "Data sent is not valid."),
        Why::Missing(name) => {
            (BAD, -1102, format!("Mandatory parameter '{name}' was not sent, was empty/null, or malformed."))
        }
        Why::Untimely => said(BAD, -1021, "Timestamp for this request is outside of the recvWindow."),
        Why::Signature => said(BAD, -1022, "Signature for this request is not valid."),
        Why::NoKey => said(DENIED, -2014, "API-key format invalid."),
        Why::Key | Why::NotYours => said(DENIED, -2015, "Invalid API-key, IP, or permissions for action."),
        Why::Nowhere => (None, -5000, format!("Path {}, Method {} is invalid", request.path(), request.method())),
        Why::TooMany => said(None, -1003, "Too many requests."),
        Why::Away => said(None, -1001, "Internal error; unable to process your request. Please try again."),
    }
}

fn bybit(why: Why) -> Words {
    const OK: Option<StatusCode> = Some(StatusCode::OK);
    let said = |status, code, text: &str| (status, code, text.to_owned());
    match why {
        Why::Symbol => said(OK, 10_001, "params error: symbol invalid"),
        Why::Malformed(name) => (OK, 10_001, format!("params error: {name} invalid")),
        Why::Missing(name) => (OK, 10_001, format!("params error: {name} is missing")),
        Why::Unreadable => said(OK, 10_001, "params error"),
        Why::Untimely => said(OK, 10_002, "invalid request, please check your server timestamp or recv_window param"),
        Why::NoKey | Why::Key => said(OK, 10_003, "API key is invalid."),
        Why::Signature => said(OK, 10_004, "error sign! please check your signature generation algorithm."),
        Why::NotYours => said(OK, 10_005, "Permission denied for the current apikey."),
        Why::Nowhere => said(None, 10_017, "Route not found"),
        Why::TooMany => said(None, 10_018, "Too many visits!"),
        Why::Away => said(None, 10_016, "Server error"),
    }
}

/// The answer to a request that was refused, if it was asked in the words of a venue.
pub(in crate::http) fn told(request: &HttpRequest, error: &actix_web::Error) -> Option<HttpResponse> {
    let venue = request.match_pattern().map_or_else(|| Venue::of(request.path()), |pattern| Venue::of(&pattern))?;
    let other = Problem::plain(Kind::Internal);
    let (why, problem) = match (error.as_error::<Refusal>(), error.as_error::<Problem>()) {
        (Some(Refusal::Symbol), _) => (Some(Why::Symbol), &other),
        (Some(Refusal::Malformed(name)), _) => (Some(Why::Malformed(name)), &other),
        (Some(Refusal::Missing(name)), _) => (Some(Why::Missing(name)), &other),
        (Some(Refusal::Problem(problem)), _) | (None, Some(problem)) => (None, problem),
        (None, None) => (None, &other),
    };
    let shown = Shown::by(venue, request.headers(), request.query_string());
    let why = why.unwrap_or_else(|| Why::of(problem, shown.as_ref()));
    let (status, code, text) = match venue {
        Venue::Binance => binance(why, request),
        Venue::Bybit => bybit(why),
    };
    let body = match venue {
        Venue::Binance => row! { "code": code, "msg": text },
        Venue::Bybit => envelope(code, &text, Row::default()),
    };
    let mut response = problem.error_response();
    *response.status_mut() = status.unwrap_or_else(|| problem.status_code());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if response.status() != StatusCode::UNAUTHORIZED {
        response.headers_mut().remove(WWW_AUTHENTICATE);
    }
    Some(response.set_body(serde_json::to_string(&body).unwrap_or_default()).map_into_boxed_body())
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn every_problem_has_words_of_both_venues_and_never_a_textual_code() {
        for kind in Kind::ALL {
            for (venue, field) in [("binance", "code"), ("bybit", "retCode")] {
                let request = TestRequest::with_uri(&format!("/compat/{venue}/x")).to_http_request();
                let response = told(&request, &Problem::plain(*kind).into()).unwrap();
                let status = response.status().as_u16();
                assert!(status == kind.status() || matches!(status, 200 | 400 | 401), "{kind:?}: {status}");
                let why = Why::of(&Problem::plain(*kind), None);
                println!("{field:<8}{:<24}{status} {why:?}", kind.code());
            }
        }
        assert!(told(&TestRequest::with_uri("/v1/x").to_http_request(), &Refusal::Symbol.into()).is_none());
    }
}
