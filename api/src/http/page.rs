//! The dashboard: one page, no dependency, works offline.

use super::operations::{Answers, Operation};
use actix_web::{HttpResponse, web};

pub(super) fn operations() -> Vec<Operation> {
    vec![Operation::read("/", "daemon", "The dashboard", Answers::Text("text/html"), || web::to(dashboard)).fleeting()]
}

/// What a page of ours may load: nothing from outside.
pub(super) const POLICY: (&str, &str) =
    ("Content-Security-Policy", "default-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'");

async fn dashboard() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header(POLICY)
        .body(include_str!("dashboard.html"))
}
