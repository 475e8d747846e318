//! The description of the API, and a page to read it and try it that works offline.

use super::operations::{Answers, On, Operation};
use super::page::POLICY;
use super::problem::{Kind, Problem};
use super::{Listener, openapi};
use actix_web::{HttpRequest, HttpResponse, web};
use std::sync::{Arc, LazyLock};
use utoipa_swagger_ui::Config;

pub(super) fn operations() -> Vec<Operation> {
    const HTML: Answers = Answers::Text("text/html");
    let read = |path, summary, answers, serve| {
        Operation::read(path, "daemon", summary, answers, serve).on(On::Both).fleeting()
    };
    vec![
        read("/openapi.json", "This description", Answers::Json(openapi::any_object), || web::to(description)),
        read("/docs", "A page to read the API and try it", HTML, || web::to(entrance)),
        // The files of that page.
        read("/docs/{file:.*}", "", HTML, || web::to(file)),
    ]
}

async fn description(listener: web::Data<Listener>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(openapi::text(listener.admin))
}

async fn entrance() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header(("Location", "/docs/")).finish()
}

async fn file(request: HttpRequest) -> Result<HttpResponse, Problem> {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
        Arc::new(Config::new(["/openapi.json"]).try_it_out_enabled(true).validator_url("none").doc_expansion("list"))
    });
    let name = request.match_info().query("file");
    let found = utoipa_swagger_ui::serve(name, CONFIG.clone())
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let found = found.ok_or_else(|| Problem::plain(Kind::UnknownPath))?;
    Ok(HttpResponse::Ok().content_type(found.content_type).insert_header(POLICY).body(found.bytes.into_owned()))
}
