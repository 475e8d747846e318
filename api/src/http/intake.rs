//! Bodies of commands: so many bytes in all, so long for each. Above that a request is turned away and nothing of it kept.

use super::problem::Problem;
use super::{Api, BODY_MAX};
use actix_web::error::PayloadError;
use actix_web::http::StatusCode;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{FromRequest, HttpRequest, dev, web};
use backstop_actors::telemetry;
use futures_util::StreamExt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of bodies that are read, or wait for their answer, at once. What a command takes in memory is some five times
/// its text.
const ROOM: usize = 64 * 1024 * 1024;
/// What room is counted in.
const UNIT: usize = 1024;
/// Longest that a body may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// When to come back after being turned away.
const RETRY_AFTER_MS: u64 = 250;

/// The room for bodies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake(Arc<Semaphore>);

impl Default for Intake {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM.div_ceil(UNIT))))
    }
}

impl Intake {
    fn enter(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        self.0.clone().try_acquire_many_owned(units).ok()
    }
}

/// A body, and its room until it is answered.
pub(super) struct Body {
    pub(super) bytes: web::Bytes,
    pub(super) _room: OwnedSemaphorePermit,
}

impl FromRequest for Body {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let length = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        // A body that does not say how long it is may be as long as any.
        let announced = length.unwrap_or(BODY_MAX).min(BODY_MAX);
        let room = request.app_data::<web::Data<Api>>().and_then(|api| api.intake.enter(announced));
        let Some(_room) = room else {
            telemetry::turned_away("overloaded");
            let problem = Problem::later("overloaded", "too many bytes of commands are waiting", RETRY_AFTER_MS);
            let payload = payload.take();
            return Box::pin(async {
                // Read to its end and kept nowhere: who is cut off while sending would not see the answer.
                let _ = tokio::time::timeout(PATIENCE, discard(payload)).await;
                Err(problem)
            });
        };
        let bytes = web::Bytes::from_request(request, payload);
        Box::pin(async move {
            let read = tokio::time::timeout(PATIENCE, bytes).await;
            let late = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not come in time");
            let bytes = read.map_err(late)?.map_err(|error| unreadable(&error))?;
            Ok(Self { bytes, _room })
        })
    }
}

async fn discard(mut payload: dev::Payload) {
    let mut left = BODY_MAX;
    while let Some(Ok(chunk)) = payload.next().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

fn unreadable(error: &actix_web::Error) -> Problem {
    if let Some(PayloadError::Overflow) = error.as_error::<PayloadError>() {
        let detail = format!("a body may have {BODY_MAX} bytes");
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail);
    }
    Problem::new(StatusCode::BAD_REQUEST, "malformed", error.to_string())
}
