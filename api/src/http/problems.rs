//! The page of each problem: what its code means and what to do, for requests and for commands.

use super::operations::{Answers, Operation};
use super::page::POLICY;
use super::params::{Form, Given, Param, path};
use super::problem::{Kind, Problem};
use actix_web::{HttpResponse, web};
use backstop_engine::reject::Code;
use std::fmt::Write;

pub(super) fn operations() -> Vec<Operation> {
    const CODE: Param = path("code", Form::Name, "A code.");
    const HTML: Answers = Answers::Text("text/html");
    vec![
        Operation::read(
            "/problems",
            "daemon",
            "Every code that a request or a command can be refused with",
            HTML,
            || web::to(list),
        )
        .fleeting(),
        Operation::read("/problems/{code}", "daemon", "What one code means, and what to do", HTML, || web::to(one))
            .with(&[CODE])
            .or(&[Kind::UnknownProblem])
            .fleeting(),
    ]
}

/// What is known of a code, of a request or of a command.
struct Entry {
    code: &'static str,
    status: Option<u16>,
    sentence: &'static str,
    advice: &'static str,
}

fn entries() -> Vec<Entry> {
    let of_requests = Kind::ALL.iter().map(|kind| Entry {
        code: kind.code(),
        status: Some(kind.status()),
        sentence: kind.sentence(),
        advice: kind.advice(),
    });
    let of_commands = Code::ALL.iter().filter(|code| !Kind::ALL.iter().any(|kind| kind.code() == code.as_str()));
    let advice = "the command has changed nothing; `field` names what it is about, and the message the figures";
    let of_commands =
        of_commands.map(|code| Entry { code: code.as_str(), status: None, sentence: code.sentence(), advice });
    of_requests.chain(of_commands).collect()
}

fn html(title: &str, body: &str) -> HttpResponse {
    let style = "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}td{padding:.2rem .8rem .2rem 0;vertical-align:top}";
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{style}</style><body>{body}</body></html>"
    );
    HttpResponse::Ok().content_type("text/html; charset=utf-8").insert_header(POLICY).body(page)
}

async fn list() -> HttpResponse {
    let mut rows = String::new();
    for Entry { code, status, sentence, .. } in entries() {
        let status = status.map_or_else(|| "in its place".to_owned(), |status| status.to_string());
        // Writing to a string does not fail.
        let _ = write!(rows, "<tr><td><a href=\"/problems/{code}\">{code}</a><td>{status}<td>{sentence}");
    }
    html("Problems", &format!("<h1>Problems</h1><table>{rows}</table>"))
}

async fn one(given: Given) -> Result<HttpResponse, Problem> {
    let code = given.required("code");
    let found = entries().into_iter().find(|entry| entry.code == code);
    let Entry { code, status, sentence, advice } =
        found.ok_or_else(|| Problem::plain(Kind::UnknownProblem).field("code"))?;
    let status = status.map_or_else(
        || {
            "A command that is refused with it is answered in its place; the others of the request are not concerned."
                .to_owned()
        },
        |status| format!("A request that fails with it is answered with status {status}."),
    );
    let body = format!(
        "<h1><code>{code}</code></h1><p>Means: {sentence}.</p><p>{status}</p><p>What to do: {advice}.</p><p><a href=\"/problems\">All problems</a> · <a href=\"/docs\">The API</a></p>"
    );
    Ok(html(code, &body))
}
