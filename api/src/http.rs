//! HTTP: the API, and the admin listener.

mod admin;
mod answers;
mod auth;
mod commands;
mod compat;
mod docs;
mod gate;
mod intake;
mod limits;
mod openapi;
mod operations;
mod page;
mod params;
mod problem;
mod problems;
mod proofs;
mod reads;
mod records;
mod rules;
mod shapes;
mod stream;
mod tls;
mod warned;

pub(crate) use auth::Keys;
pub(crate) use intake::Intake;
pub(crate) use limits::Doors;
pub(crate) use tls::TlsError;

use crate::config::{Config, Unusable};
use crate::seal::Seal;
use actix_web::dev::Server;
use actix_web::{App, HttpResponse, HttpServer, Resource, guard, middleware, web};
use answers::Remembering;
use backstop_actors::publisher::Progress;
use backstop_actors::topology::Topology;
use backstop_engine::id::Seq;
use backstop_engine::rulebook::Policy;
use metrics_exporter_prometheus::PrometheusHandle;
use operations::Operation;
use problem::{Kind, Problem};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// Largest body of a request: some 50,000 fills.
pub(crate) const BODY_MAX: usize = 16 * 1024 * 1024;
/// Proofs that are made at once, and exports.
const TURNS: usize = 2;
/// Threads that read requests; on a small machine the engine needs the rest.
const WORKERS: usize = 2;

/// What the daemon is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Doing {
    Starting,
    Serving,
    Stopping,
}

impl Doing {
    fn is_stopping(self) -> bool {
        self == Self::Stopping
    }
}

/// What the daemon is doing, told to all. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Phase(Arc<watch::Sender<Doing>>);

impl Default for Phase {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Doing::Starting)))
    }
}

impl Phase {
    pub(crate) fn serving(&self) {
        self.0.send_replace(Doing::Serving);
    }

    pub(crate) fn stopping(&self) {
        self.0.send_replace(Doing::Stopping);
    }

    /// Now, and at every change.
    fn watch(&self) -> watch::Receiver<Doing> {
        self.0.subscribe()
    }

    /// Nothing while requests are served; else what it is doing.
    fn away(&self) -> Option<Kind> {
        match *self.0.borrow() {
            Doing::Starting => Some(Kind::Starting),
            Doing::Serving => None,
            Doing::Stopping => Some(Kind::ShuttingDown),
        }
    }
}

/// What the handlers reach.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) topology: Topology,
    pub(crate) phase: Phase,
    pub(crate) intake: Intake,
    pub(crate) keys: Keys,
    pub(crate) doors: Doors,
    answers: Remembering,
    acknowledged: Arc<AtomicU64>,
    policy: Arc<Policy>,
    streams: stream::Streams,
    seal: Option<Seal>,
    turns: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    warned: warned::Warned,
}

impl Api {
    /// Over running actors.
    pub(crate) fn new(
        topology: Topology,
        phase: Phase,
        keys: Keys,
        doors: Doors,
        (config, seal): (&Config, Option<Seal>),
    ) -> Self {
        Self {
            topology,
            phase,
            intake: Intake::default(),
            keys,
            doors,
            answers: Remembering::default(),
            acknowledged: Arc::default(),
            policy: Arc::new(config.rules.clone()),
            streams: stream::Streams::new(&config.stream),
            seal,
            turns: Arc::new(Semaphore::new(TURNS)),
            exports: Arc::new(Semaphore::new(TURNS)),
            warned: warned::Warned::default(),
        }
    }

    /// The last command that has been applied and told.
    fn progress(&self) -> Progress {
        *self.topology.publisher.progress().borrow()
    }

    /// The last command that anybody can know of: an answer that is older may lack what its reader has written.
    fn newest(&self) -> Seq {
        self.progress().seq.max(self.acknowledged.load(Ordering::Acquire))
    }

    /// A command has been answered.
    fn acknowledge(&self, seq: Seq) {
        self.acknowledged.fetch_max(seq, Ordering::AcqRel);
    }
}

/// What is known of a listener.
#[derive(Debug, Clone, Copy)]
struct Listener {
    admin: bool,
    loopback: bool,
    tls: bool,
}

impl Listener {
    /// One that is open to nobody.
    const CLOSED: Self = Self { admin: false, loopback: false, tls: false };
}

/// The routes of a listener, from the table of operations.
fn routes(admin: bool) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        let mut paths: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
        for operation in operations::all().iter().filter(|operation| operation.on.serves(admin)) {
            paths.entry(operation.path).or_default().push(operation);
        }
        for (path, operations) in paths {
            config.service(resource(path, &operations).wrap(middleware::from_fn(gate::inner)));
        }
    }
}

/// A path: its operations, and a problem for every other method.
fn resource(path: &str, operations: &[&Operation]) -> Resource {
    let mut resource = web::resource(path);
    let (mut gets, mut posts) = (false, false);
    for operation in operations {
        let route = (operation.serve)();
        resource = if operation.method == "GET" {
            gets = true;
            resource.route(route.guard(guard::Any(guard::Get()).or(guard::Head())))
        } else {
            posts = true;
            resource.route(route.guard(guard::Post()))
        };
    }
    let allow = match (gets, posts) {
        (true, true) => "GET, HEAD, POST",
        (false, true) => "POST",
        _ => "GET, HEAD",
    };
    resource.default_service(web::to(move || async move { Err::<HttpResponse, _>(Problem::method(allow)) }))
}

/// Can what the configuration refers to be used: secrets, certificates?
///
/// # Errors
/// What of it cannot.
pub(crate) fn check(config: &Config) -> Result<(), Unusable> {
    let of = |name, reason| Unusable::Value { name, reason };
    Keys::load(&config.keys, &config.auth).map_err(|reason| of("keys", reason))?;
    tls::of(&config.tls).map(drop).map_err(|error| of("tls", error.to_string()))
}

/// Serves the API.
pub(crate) fn serve_api(listener: TcpListener, api: Api, config: &Config) -> Result<Server, TlsError> {
    let tls = tls::of(&config.tls)?;
    let loopback = listener.local_addr()?.ip().is_loopback();
    let about = web::Data::new(Listener { admin: false, loopback, tls: tls.is_some() });
    let data = web::Data::new(api);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(about.clone())
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .wrap(middleware::from_fn(gate::outer))
            .configure(routes(false))
            .default_service(web::to(problem::not_found))
    });
    let server = server
        .workers(WORKERS)
        .max_connections(config.limits.connections.div_ceil(WORKERS))
        .client_request_timeout(Duration::from_millis(config.limits.head_ms))
        .disable_signals()
        .shutdown_timeout(5);
    Ok(match tls {
        None => server.listen(listener)?,
        #[cfg(feature = "tls")]
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
        #[cfg(not(feature = "tls"))]
        Some(tls) => match tls {},
    }
    .run())
}

/// Serves metrics, health and operators.
pub(crate) fn serve_admin(
    listener: TcpListener,
    api: Api,
    metrics: PrometheusHandle,
    config: &Config,
) -> std::io::Result<Server> {
    let loopback = listener.local_addr()?.ip().is_loopback();
    let about = web::Data::new(Listener { admin: true, loopback, tls: false });
    let (data, metrics) = (web::Data::new(api), web::Data::new(metrics));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(metrics.clone())
            .app_data(about.clone())
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .wrap(middleware::from_fn(gate::outer))
            .configure(routes(true))
            .default_service(web::to(problem::not_found))
    });
    Ok(server
        .workers(1)
        .max_connections(256)
        .client_request_timeout(Duration::from_millis(config.limits.head_ms))
        .disable_signals()
        .shutdown_timeout(1)
        .listen(listener)?
        .run())
}
