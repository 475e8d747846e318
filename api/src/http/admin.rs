//! The admin listener: metrics, health, snapshots.

use super::Api;
use super::operations::{Access, Answers, On, Operation};
use super::problem::{Kind, Problem};
use super::shapes;
use actix_web::{HttpResponse, web};
use backstop_actors::conductor::Query;
use metrics_exporter_prometheus::PrometheusHandle;

pub(super) fn operations() -> Vec<Operation> {
    let text = Answers::Text("text/plain");
    let read = |path, summary, serve| Operation::read(path, "admin", summary, text, serve).on(On::Admin).fleeting();
    vec![
        read("/metrics", "Metrics, for Prometheus", || web::to(metrics)),
        read("/healthz", "The process lives", || web::to(healthz)),
        read("/readyz", "Requests are served", || web::to(readyz)).or(&[
            Kind::Starting,
            Kind::ShuttingDown,
            Kind::Halted,
        ]),
        Operation::read("/snapshot", "admin", "Write the state down now", Answers::Json(shapes::taken), || {
            web::to(snapshot)
        })
        .post()
        .of(Access::Operator)
        .on(On::Admin)
        .or(&[Kind::NotKept, Kind::SnapshotFailed, Kind::Starting, Kind::ShuttingDown, Kind::Halted]),
    ]
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
    if let Some(kind) = api.phase.away() {
        return Err(Problem::away(kind));
    }
    Ok(HttpResponse::Ok().json(api.topology.gateway.snapshot().await?))
}

/// The actors answer, and requests are served.
async fn readyz(api: web::Data<Api>) -> Result<&'static str, Problem> {
    if let Some(kind) = api.phase.away() {
        return Err(Problem::away(kind));
    }
    api.topology.conductor.ask(Query::Marks).await?;
    Ok("ready\n")
}
