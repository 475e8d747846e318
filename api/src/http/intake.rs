//! Bodies of commands: so many bytes in all, so long for each. Above that a request is turned away and nothing of it kept.
//! A body takes room as it comes, so whoever sends slowly holds what has come and no more.

use super::auth::{Caller, Pending};
use super::problem::{Kind, Problem};
use super::{Api, BODY_MAX};
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{FromRequest, HttpMessage, HttpRequest, dev, web};
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
/// When to come back after being turned away.
const RETRY_AFTER_MS: u64 = 250;

/// Of it, for bodies whose signature is not known to be right before they have come: whoever has no key takes no more.
const UNVERIFIED: usize = 2 * BODY_MAX;

/// The room for bodies. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Intake {
    known: Arc<Semaphore>,
    unverified: Arc<Semaphore>,
}

impl Default for Intake {
    fn default() -> Self {
        let room = |bytes: usize| Arc::new(Semaphore::new(bytes.div_ceil(UNIT)));
        Self { known: room(ROOM), unverified: room(UNVERIFIED) }
    }
}

/// A body, who sent it, and its room until it is answered.
pub(super) struct Body {
    pub(super) bytes: web::BytesMut,
    pub(super) caller: Caller,
    _room: Held,
}

/// The room that a body holds.
struct Held {
    room: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Makes room for a body of so many bytes in all.
    fn grow_to(&mut self, bytes: usize) -> bool {
        let held = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let Some(more) = bytes.div_ceil(UNIT).checked_sub(held).filter(|more| *more > 0) else { return true };
        let found = u32::try_from(more).ok().and_then(|more| self.room.clone().try_acquire_many_owned(more).ok());
        match (found, &mut self.permit) {
            (None, _) => false,
            (Some(found), Some(permit)) => {
                permit.merge(found);
                true
            }
            (found, none) => {
                *none = found;
                true
            }
        }
    }
}

impl FromRequest for Body {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let api = request.app_data::<web::Data<Api>>().ok_or_else(|| Problem::plain(Kind::Internal))?;
            let patience = Duration::from_millis(api.doors.body_ms());
            let late = |_| Problem::new(Kind::Timeout, "the body did not come in time");
            tokio::time::timeout(patience, read(api, &request, payload)).await.map_err(late)?
        })
    }
}

async fn read(api: &Api, request: &HttpRequest, mut payload: dev::Payload) -> Result<Body, Problem> {
    let too_large = || Problem::new(Kind::TooLarge, format!("a body may have {BODY_MAX} bytes"));
    let announced = request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY_MAX) {
        return Err(too_large());
    }
    let unverified = request.extensions().get::<Box<Pending>>().is_some();
    let room = if unverified { &api.intake.unverified } else { &api.intake.known };
    let mut room = Held { room: room.clone(), permit: None };
    let mut bytes = web::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Problem::new(Kind::Malformed, error.to_string()))?;
        let length = bytes.len().saturating_add(chunk.len());
        if length > BODY_MAX {
            return Err(too_large());
        }
        if !room.grow_to(length) {
            telemetry::turned_away("overloaded");
            drop((bytes, room));
            // Read to its end and kept nowhere: who is cut off while sending would not see the answer.
            discard(payload, BODY_MAX.saturating_sub(length)).await;
            return Err(Problem::later(Kind::Overloaded, "too many bytes of commands are waiting", RETRY_AFTER_MS));
        }
        bytes.extend_from_slice(&chunk);
    }
    let caller = caller(api, request, &bytes)?;
    Ok(Body { bytes, caller, _room: room })
}

/// Who sent it: known from the headers, or now that what was signed is here.
fn caller(api: &Api, request: &HttpRequest, body: &[u8]) -> Result<Caller, Problem> {
    let pending = request.extensions_mut().remove::<Box<Pending>>();
    let Some(pending) = pending else {
        return Ok(request.extensions().get::<Caller>().cloned().unwrap_or(Caller::Public));
    };
    let caller = api.keys.verify(*pending, body).inspect_err(super::gate::count)?;
    api.doors.key(caller.name())?;
    Ok(caller)
}

async fn discard(mut payload: dev::Payload, mut left: usize) {
    while let Some(Ok(chunk)) = payload.next().await {
        match left.checked_sub(chunk.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}
