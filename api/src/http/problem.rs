//! Errors of a whole request, as RFC 9457 `application/problem+json`: one place from refusal to status.

use actix_web::error::QueryPayloadError;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use backstop_actors::gateway::Refusal;
use backstop_actors::history::HistoryError;
use backstop_actors::snapshot::SnapshotError;
use backstop_engine::flow::Stop;
use serde::Serialize;

/// What is wrong with a request.
#[derive(Debug, Clone, Serialize, thiserror::Error)]
#[error("{detail}")]
pub(crate) struct Problem {
    #[serde(rename = "type")]
    kind: Box<str>,
    title: &'static str,
    status: u16,
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip)]
    hint: Option<Hint>,
}

/// What a header says beside.
#[derive(Debug, Clone, Copy)]
enum Hint {
    /// Come back after so many milliseconds.
    RetryAfter(u64),
    /// These methods are taken.
    Allow(&'static str),
}

impl Problem {
    /// A problem of a code.
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("/problems/{code}").into(),
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            code,
            detail: detail.into(),
            field: None,
            hint: None,
        }
    }

    /// About a field.
    pub(crate) fn field(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    /// The path takes these methods only.
    pub(crate) fn method(allow: &'static str) -> Self {
        let detail = format!("this path takes {allow}");
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail);
        Self { hint: Some(Hint::Allow(allow)), ..problem }
    }

    /// The daemon does not serve now.
    pub(crate) fn away(code: &'static str) -> Self {
        let detail = if code == "starting" { "the daemon is starting" } else { "the daemon is shutting down" };
        let hint = Some(Hint::RetryAfter(1_000));
        Self { hint, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail) }
    }

    /// There is no such thing.
    pub(crate) fn unknown(code: &'static str, field: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, format!("there is no such {field}")).field(field)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.content_type("application/problem+json");
        if let Some(hint) = self.hint {
            response.insert_header(match hint {
                // The header counts whole seconds.
                Hint::RetryAfter(ms) => ("Retry-After", ms.div_ceil(1_000).to_string()),
                Hint::Allow(methods) => ("Allow", methods.to_owned()),
            });
        }
        response.body(serde_json::to_string(self).unwrap_or_default())
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match refusal {
            Refusal::Overloaded { retry_after_ms } => Self {
                hint: Some(Hint::RetryAfter(retry_after_ms)),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail)
            },
            Refusal::StorageFull { retry_after_ms } => Self {
                hint: Some(Hint::RetryAfter(retry_after_ms)),
                ..Self::new(StatusCode::INSUFFICIENT_STORAGE, "storage_full", detail)
            },
            Refusal::ShuttingDown => Self::away("shutting_down"),
            Refusal::TooLarge => Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail),
            Refusal::Halted => Self::new(StatusCode::SERVICE_UNAVAILABLE, "halted", detail),
        }
    }
}

impl From<SnapshotError> for Problem {
    fn from(error: SnapshotError) -> Self {
        let (status, code) = match error {
            SnapshotError::NotKept => (StatusCode::CONFLICT, "not_kept"),
            SnapshotError::Halted => (StatusCode::SERVICE_UNAVAILABLE, "halted"),
            SnapshotError::Io(_) | SnapshotError::Form => (StatusCode::INTERNAL_SERVER_ERROR, "snapshot_failed"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "history_failed", error.to_string())
    }
}

impl From<Stop> for Problem {
    fn from(stop: Stop) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "halted", stop.to_string())
    }
}

/// A query that cannot be read.
pub(crate) fn bad_query(error: &QueryPayloadError) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "malformed", error.to_string()).field("query")
}

/// Nothing is here.
pub(crate) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::new(StatusCode::NOT_FOUND, "unknown_path", "there is nothing at this path"))
}
