//! `/v1/stream`: what happens, as it happens, over a WebSocket. First a snapshot, then every event of a topic, each with
//! the number of the one before: nothing is left out, and a client that comes back goes on where it was.

mod ask;
mod session;
mod topic;

use super::Api;
use super::auth::Caller;
use super::operations::{Access, Answers, Operation};
use super::params::{Form, Given, Param, WHOLE_MAX, query};
use super::problem::{Kind, Problem};
use crate::config;
use actix_web::{HttpRequest, HttpResponse, web};
use backstop_actors::telemetry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use topic::Topic;

/// Largest message that a client may send.
const MESSAGE_MAX: usize = 16 * 1024;

pub(super) fn operations() -> Vec<Operation> {
    const TOPICS: Param = query("topics", Form::List, "Topics to follow from the start, with commas between.");
    const RESUME: Param = query(
        "resume_from",
        Form::Whole(0, WHOLE_MAX),
        "Go on after this event of each of them, instead of a snapshot.",
    );
    let open =
        Operation::read("/v1/stream", "streams", "Follow topics over a WebSocket", Answers::Upgrade, || web::to(open));
    vec![open.with(&[TOPICS, RESUME]).of(Access::Stream).or(&[Kind::TooManyStreams, Kind::Malformed]).fleeting()]
}

/// The streams that are open. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Streams {
    open: Arc<AtomicUsize>,
    limits: config::Stream,
}

/// One of them; it ends with its owner.
pub(super) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        telemetry::stream_closed();
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Streams {
    pub(super) fn new(limits: &config::Stream) -> Self {
        Self { open: Arc::default(), limits: limits.clone() }
    }

    /// How long whoever reads may take for what is sent.
    pub(super) fn patience_ms(&self) -> u64 {
        self.limits.slow_ms
    }

    /// A place; one in four is kept for those with a key.
    fn enter(&self, caller: &Caller) -> Result<Place, Problem> {
        let all = self.limits.connections;
        let most = if *caller == Caller::Public { all.saturating_sub(all.div_euclid(4)).max(1) } else { all };
        let entered = self
            .open
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |open| open.checked_add(1).filter(|open| *open <= most));
        let full = |_| Problem::later(Kind::TooManyStreams, format!("{most} streams are open"), 1_000);
        entered.map_err(full).map(|_| {
            telemetry::stream_opened();
            Place(self.open.clone())
        })
    }
}

async fn open(
    request: HttpRequest,
    body: web::Payload,
    api: web::Data<Api>,
    caller: Caller,
    given: Given,
) -> Result<HttpResponse, Problem> {
    let place = api.streams.enter(&caller).inspect_err(super::gate::count)?;
    let topics = given.text("topics").map(|list| list.split(',').map(Topic::read).collect::<Result<Vec<_>, _>>());
    let topics = topics.transpose()?.unwrap_or_default();
    let unreadable = |error: actix_web::Error| Problem::new(Kind::Malformed, error.to_string());
    let (response, session, messages) = actix_ws::handle(&request, body).map_err(unreadable)?;
    let messages = messages.max_frame_size(MESSAGE_MAX);
    let api = api.get_ref().clone();
    drop(actix_web::rt::spawn(async move {
        session::run(api, caller, session, messages, topics, given.whole("resume_from")).await;
        drop(place);
    }));
    Ok(response)
}
