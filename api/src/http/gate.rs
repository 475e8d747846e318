//! The gate: what every request passes before and after its handler. In this order: limits, who asks, parameters, the
//! sequence number that is waited for, what is known already; then the handler; then headers.

use super::auth::{Caller, Credentials, Presented};
use super::compat::{self, Venue};
use super::operations::{self, Access, Operation};
use super::params::Given;
use super::problem::{Kind, Problem};
use super::{Api, Listener};
use crate::config::Role;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, HttpResponse, ResponseError, web};
use backstop_actors::telemetry;
use backstop_engine::id::Seq;
use std::net::IpAddr;
use std::time::Duration;

/// The sequence number an answer holds at: set by handlers, shown as the tag of the answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct At(pub(super) Seq);

/// Lets a request to any path pass, if its address has not sent too many.
pub(super) async fn outer(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(api) = request.app_data::<web::Data<Api>>().cloned() else { return next.call(request).await };
    let listener = listener(&request);
    let limited = request.peer_addr().map_or(Ok(()), |peer| api.doors.address(peer.ip()));
    let answered = match limited {
        Ok(()) => next.call(request).await?,
        Err(problem) => {
            count(&problem);
            request.error_response(problem)
        }
    };
    Ok(leave(&api, listener, answered))
}

/// Lets a request to an operation pass.
pub(super) async fn inner(
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let Some(api) = request.app_data::<web::Data<Api>>().cloned() else { return next.call(request).await };
    let listener = listener(&request);
    // Without one, no method of the path fits.
    let Some(operation) = operation(&request, listener) else { return next.call(request).await };
    match enter(&api, listener, operation, &request).await {
        Ok(Some(known)) => Ok(request.into_response(known)),
        Ok(None) => {
            let key = remembered(&request, operation);
            Ok(remember(&api, key, next.call(request).await?))
        }
        Err(problem) => {
            count(&problem);
            // The answer keeps the problem, so that it is dressed like any other on its way out.
            Ok(request.error_response(problem))
        }
    }
}

/// Whoever is turned away at the gate is seen in the metrics.
pub(super) fn count(problem: &Problem) {
    match problem.code() {
        code @ ("rate_limited" | "too_many_streams") => telemetry::turned_away(code),
        code => telemetry::unauthorised(code),
    }
}

fn listener(request: &ServiceRequest) -> Listener {
    request.app_data::<web::Data<Listener>>().map_or(Listener::CLOSED, |listener| *listener.get_ref())
}

/// The operation a request asks for; none where no method fits.
fn operation(request: &ServiceRequest, listener: Listener) -> Option<&'static Operation> {
    let pattern = request.match_pattern()?;
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    operations::at(&pattern)
        .find(|operation| operation.on.serves(listener.admin) && operation.method == method.as_str())
}

/// Everything before the handler: an answer that is known already, or none.
async fn enter(
    api: &Api,
    listener: Listener,
    operation: &'static Operation,
    request: &ServiceRequest,
) -> Result<Option<HttpResponse>, Problem> {
    let address = request.peer_addr().map(|peer| peer.ip());
    let caller = caller(api, listener, operation, request, address)?;
    if Venue::of(operation.path).is_some() {
        // Views read their parameters themselves, and ignore those they do not know.
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        return Ok(None);
    }
    let given = Given::read(operation.params, request.request())?;
    if let (Some(caller), Access::Account(name)) = (&caller, operation.access) {
        caller.may_read(given.text(name).unwrap_or_default())?;
    }
    if let Some(seq) = given.whole("wait_for") {
        api.reach(seq).await?;
    }
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
    }
    request.extensions_mut().insert(given);
    if operation.steady { Ok(known(api, operation, request)) } else { Ok(None) }
}

/// Who asks, if that is known before the body is.
fn caller(
    api: &Api,
    listener: Listener,
    operation: &Operation,
    request: &ServiceRequest,
    address: Option<IpAddr>,
) -> Result<Option<Caller>, Problem> {
    // Whoever shows nothing is anybody; a key that is shown must be right, for some parameters ask for one.
    let anybody = matches!(operation.access, Access::Public | Access::Stream);
    if api.keys.are_none() {
        let local = address.is_some_and(|address| address.to_canonical().is_loopback());
        let near = listener.loopback && local && !is_forwarded(request.headers());
        let named = names_this_machine(request.headers(), request.uri().host()) && comes_from_here(request.headers());
        return match (near, named, operation.access) {
            (true, true, _) => Ok(Some(Caller::Open)),
            (_, _, Access::Public | Access::Stream) => Ok(Some(Caller::Public)),
            (true, false, _) => Err(Problem::plain(Kind::Misdirected)),
            (false, _, _) => Err(Problem::plain(Kind::KeysRequired)),
        };
    }
    let target = request.uri().path_and_query().map_or_else(|| request.path().to_owned(), ToString::to_string);
    let caller = match Credentials::of(request.headers(), request.method().as_str(), &target)? {
        None => compat::caller(&api.keys, operation, request)?,
        Some(credentials) => match api.keys.present(credentials)? {
            Presented::Caller(caller) => Some(caller),
            Presented::Pending(pending) if operation.access == Access::Commands => {
                request.extensions_mut().insert(pending);
                return Ok(None);
            }
            Presented::Pending(pending) => Some(api.keys.verify(*pending, b"")?),
        },
    };
    let Some(caller) = caller else {
        return if anybody { Ok(Some(Caller::Public)) } else { Err(Problem::plain(Kind::MissingCredentials)) };
    };
    api.doors.key(caller.name())?;
    allowed(&caller, operation)?;
    Ok(Some(caller))
}

/// May it do this, as far as that does not depend on parameters?
pub(super) fn allowed(caller: &Caller, operation: &Operation) -> Result<(), Problem> {
    match operation.access {
        Access::Public | Access::Stream | Access::Account(_) => Ok(()),
        Access::Venue | Access::Commands => caller.must_be(&[Role::Venue, Role::Operator]),
        Access::Operator => caller.must_be(&[Role::Operator]),
    }
}

/// A proxy says for whom it asks: for somebody elsewhere.
fn is_forwarded(headers: &HeaderMap) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| headers.contains_key(*name))
}

/// A page of another site may open a WebSocket to this machine, or send a form, and says where it comes from.
fn comes_from_here(headers: &HeaderMap) -> bool {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default());
    origin.is_none_or(|origin| is_this_machine(origin.split_once("://").map_or("", |(_, host)| host)))
}

/// A page of another site that has its name point here would call with that name.
fn names_this_machine(headers: &HeaderMap, in_target: Option<&str>) -> bool {
    let named = headers.get(header::HOST).and_then(|host| host.to_str().ok()).or(in_target).unwrap_or_default();
    is_this_machine(named)
}

/// Is this host, with its port or without, this machine?
fn is_this_machine(named: &str) -> bool {
    let host = match named.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => named.rsplit_once(':').map_or(named, |(host, _)| host),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn tag(seq: Seq) -> String {
    format!("\"{seq}\"")
}

/// Does the client have what holds at this sequence number?
fn is_known(headers: &HeaderMap, seq: Seq) -> bool {
    let tags = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let tag = tag(seq);
    tags.is_some_and(|tags| tags.split(',').any(|known| known.trim().trim_start_matches("W/") == tag))
}

fn not_modified(seq: Seq) -> HttpResponse {
    HttpResponse::NotModified().insert_header((header::ETAG, tag(seq))).finish()
}

/// What need not be asked for: nothing has happened since the client, or anybody, asked.
fn known(api: &Api, operation: &Operation, request: &ServiceRequest) -> Option<HttpResponse> {
    let seq = api.newest();
    if is_known(request.headers(), seq) {
        return Some(not_modified(seq));
    }
    if !operation.is_shared() {
        return None;
    }
    let found = api.answers.get(&request.uri().to_string(), seq)?;
    let mut response = HttpResponse::Ok();
    response.content_type(found.kind).insert_header((header::ETAG, tag(found.seq)));
    response.extensions_mut().insert(At(found.seq));
    Some(response.body(found.body))
}

/// Under what the answer may be remembered.
fn remembered(request: &ServiceRequest, operation: &Operation) -> Option<(String, HeaderMap)> {
    if !operation.steady {
        return None;
    }
    let public = operation.is_shared() && request.method() == Method::GET;
    Some((if public { request.uri().to_string() } else { String::new() }, request.headers().clone()))
}

/// Tags an answer, and remembers it for whoever asks the same while nothing happens.
fn remember(
    api: &Api,
    key: Option<(String, HeaderMap)>,
    answered: ServiceResponse<BoxBody>,
) -> ServiceResponse<BoxBody> {
    let at = answered.response().extensions().get::<At>().copied();
    let (Some((key, headers)), Some(At(seq)), true) = (key, at, answered.status().is_success()) else {
        return answered;
    };
    if is_known(&headers, seq) {
        return answered.into_response(not_modified(seq));
    }
    let (request, response) = answered.into_parts();
    let kind = response.headers().get(header::CONTENT_TYPE).cloned();
    let (head, body) = response.into_parts();
    let mut response = match (body.try_into_bytes(), kind) {
        (Ok(bytes), Some(kind)) => {
            if !key.is_empty() {
                api.answers.put(key, super::answers::Remembered { seq, kind, body: bytes.clone() });
            }
            head.set_body(BoxBody::new(bytes))
        }
        (Ok(bytes), None) => head.set_body(BoxBody::new(bytes)),
        (Err(body), _) => head.set_body(body),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag(seq)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    ServiceResponse::new(request, response)
}

/// What every answer bears.
fn leave(api: &Api, listener: Listener, mut response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    // A view refuses in the words of its venue; a problem says at which sequence number it is one.
    let told = response.response().error().and_then(|error| {
        compat::told(response.request(), error).or_else(|| {
            let problem = error.as_error::<Problem>()?.clone();
            Some(problem.at(api.progress().seq).error_response())
        })
    });
    if let Some(told) = told {
        response = response.into_response(told);
    }
    let tagged = response.headers().contains_key(header::ETAG);
    let set = |name, value: &'static str, headers: &mut HeaderMap| {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    };
    let headers = response.headers_mut();
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff", headers);
    set(header::X_FRAME_OPTIONS, "DENY", headers);
    set(header::REFERRER_POLICY, "no-referrer", headers);
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'", headers);
    // A tag is asked about each time: the next command may change the answer.
    set(header::CACHE_CONTROL, if tagged { "no-cache" } else { "no-store" }, headers);
    if listener.tls {
        set(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000", headers);
    }
    response
}

impl Api {
    /// Waits until a command has been applied.
    async fn reach(&self, seq: Seq) -> Result<(), Problem> {
        let mut progress = self.topology.publisher.progress();
        let patience = Duration::from_millis(self.doors.wait_ms());
        let reached = tokio::time::timeout(patience, progress.wait_for(|progress| progress.seq >= seq)).await;
        match reached {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(Problem::plain(Kind::Halted)),
            Err(_) => {
                let detail = format!("{seq} has not been reached, the last is {}", self.progress().seq);
                Err(Problem::later(Kind::NotReached, detail, 1_000).field("wait_for"))
            }
        }
    }
}
