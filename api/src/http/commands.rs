//! `POST /v1/commands`: a JSON array or one command a line, answered in the same form and order.

use super::Api;
use super::intake::Body;
use super::problem::Problem;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use backstop_actors::gateway::{Answer, Read};
use backstop_engine::command::Envelope;
use backstop_engine::decode::Malformed;
use backstop_engine::reject::Code;
use serde_json::value::RawValue;

/// Largest single command: a market with a hundred tiers.
const COMMAND_MAX: usize = 64 * 1024;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config.service(web::resource("/v1/commands").route(web::post().to(submit)).default_service(web::to(post_only)));
}

/// The path takes POST only.
async fn post_only() -> Result<HttpResponse, Problem> {
    Err(Problem::method("POST"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Array,
    Lines,
}

fn form(headers: &HeaderMap) -> Result<Form, Problem> {
    let named = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "application/json" => Ok(Form::Array),
        "application/x-ndjson" => Ok(Form::Lines),
        other => {
            let detail = format!("content type {other:?}, allowed application/json, application/x-ndjson");
            Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail))
        }
    }
}

async fn submit(
    request: HttpRequest,
    body: Result<Body, Problem>,
    api: web::Data<Api>,
) -> Result<HttpResponse, Problem> {
    let form = form(request.headers())?;
    let Body { bytes: body, _room } = body?;
    let reads = match form {
        Form::Array => read_array(&body)?,
        Form::Lines => read_lines(&body),
    };
    if reads.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "malformed", "the request holds no command"));
    }
    let answers = api.topology.gateway.submit(reads).await?;
    Ok(write(&answers, form))
}

fn read_array(body: &[u8]) -> Result<Vec<Read>, Problem> {
    let unreadable = |error: serde_json::Error| Problem::new(StatusCode::BAD_REQUEST, "malformed", error.to_string());
    let items: Vec<&RawValue> = serde_json::from_slice(body).map_err(unreadable)?;
    Ok(items.into_iter().map(|item| read(item.get().as_bytes())).collect())
}

fn read_lines(body: &[u8]) -> Vec<Read> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.filter(|line| !line.is_empty()).map(read).collect()
}

fn read(text: &[u8]) -> Read {
    if text.len() > COMMAND_MAX {
        return Err(Malformed::new(Code::TooLarge, ""));
    }
    let text = std::str::from_utf8(text).map_err(|_| Malformed::new(Code::BadUtf8, ""))?;
    Envelope::read(text)
}

fn write(answers: &[Answer], form: Form) -> HttpResponse {
    let mut body = Vec::with_capacity(answers.len().saturating_mul(48));
    let (open, between, close, kind) = match form {
        Form::Array => ("[", ",", "]", "application/json"),
        Form::Lines => ("", "\n", "\n", "application/x-ndjson"),
    };
    body.extend_from_slice(open.as_bytes());
    for (place, answer) in answers.iter().enumerate() {
        if place > 0 {
            body.extend_from_slice(between.as_bytes());
        }
        // Answers are plain structures: writing them to memory does not fail.
        let _ = serde_json::to_writer(&mut body, answer);
    }
    body.extend_from_slice(close.as_bytes());
    HttpResponse::Ok().content_type(kind).body(body)
}
