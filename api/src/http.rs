//! HTTP: the API, and the admin listener.

mod admin;
mod commands;
mod page;
mod problem;
mod reads;

use actix_web::dev::Server;
use actix_web::{App, FromRequest, Handler, HttpResponse, HttpServer, Resource, Responder, web};
use backstop_actors::topology::Topology;
use metrics_exporter_prometheus::PrometheusHandle;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

/// Largest body of a request: some 50,000 fills.
pub(crate) const BODY_MAX: usize = 16 * 1024 * 1024;
/// Threads that read requests; on a small machine the engine needs the rest.
const WORKERS: usize = 2;

/// What the daemon is doing. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Phase(Arc<AtomicU8>);

impl Phase {
    pub(crate) fn serving(&self) {
        self.0.store(1, Ordering::SeqCst);
    }

    pub(crate) fn stopping(&self) {
        self.0.store(2, Ordering::SeqCst);
    }

    /// Nothing while requests are served; else what it is doing.
    fn away(&self) -> Option<&'static str> {
        match self.0.load(Ordering::SeqCst) {
            0 => Some("starting"),
            1 => None,
            _ => Some("shutting_down"),
        }
    }
}

/// What the handlers reach.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) topology: Topology,
    pub(crate) phase: Phase,
}

/// A path that is read: GET, HEAD, and a problem for whatever else.
fn read<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let routes = web::resource(path).route(web::get().to(handler.clone())).route(web::head().to(handler));
    routes.default_service(web::to(|| async { Err::<HttpResponse, _>(problem::Problem::method("GET, HEAD")) }))
}

/// Serves the API.
pub(crate) fn serve_api(listener: TcpListener, api: Api) -> std::io::Result<Server> {
    let data = web::Data::new(api);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .app_data(web::QueryConfig::default().error_handler(|error, _| problem::bad_query(&error).into()))
            .configure(commands::routes)
            .configure(reads::routes)
            .configure(page::routes)
            .default_service(web::to(problem::not_found))
    });
    Ok(server.workers(WORKERS).disable_signals().shutdown_timeout(5).listen(listener)?.run())
}

/// Serves metrics and health.
pub(crate) fn serve_admin(listener: TcpListener, api: Api, metrics: PrometheusHandle) -> std::io::Result<Server> {
    let (data, metrics) = (web::Data::new(api), web::Data::new(metrics));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(data.clone())
            .app_data(metrics.clone())
            .configure(admin::routes)
            .default_service(web::to(problem::not_found))
    });
    Ok(server.workers(1).disable_signals().shutdown_timeout(1).listen(listener)?.run())
}
