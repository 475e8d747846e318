//! The admin listener: metrics and health.

use super::Api;
use super::problem::Problem;
use actix_web::{HttpResponse, web};
use backstop_actors::conductor::Query;
use metrics_exporter_prometheus::PrometheusHandle;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(super::read("/metrics", metrics))
        .service(super::read("/healthz", healthz))
        .service(super::read("/readyz", readyz))
        .service(web::resource("/snapshot").route(web::post().to(snapshot)).default_service(web::to(post_only)));
}

async fn metrics(handle: web::Data<PrometheusHandle>) -> HttpResponse {
    handle.run_upkeep();
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(handle.render())
}

/// The process lives.
async fn healthz() -> &'static str {
    "ok\n"
}

/// Has the state written down.
async fn snapshot(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    if let Some(code) = api.phase.away() {
        return Err(Problem::away(code));
    }
    Ok(HttpResponse::Ok().json(api.topology.gateway.snapshot().await?))
}

async fn post_only() -> Result<HttpResponse, Problem> {
    Err(Problem::method("POST"))
}

/// The actors answer, and requests are served.
async fn readyz(api: web::Data<Api>) -> Result<&'static str, Problem> {
    if let Some(code) = api.phase.away() {
        return Err(Problem::away(code));
    }
    api.topology.conductor.ask(Query::Marks).await?;
    Ok("ready\n")
}
