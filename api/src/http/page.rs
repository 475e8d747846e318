//! The dashboard: one page, no dependency, works offline.

use actix_web::{HttpResponse, web};

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(super::read("/", dashboard));
}

async fn dashboard() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header(("Content-Security-Policy", "default-src 'self' 'unsafe-inline'"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .body(include_str!("dashboard.html"))
}
