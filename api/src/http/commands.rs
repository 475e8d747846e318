//! `POST /v1/commands`: a JSON array or one command a line, answered in the same form and order.

use super::auth::Caller;
use super::intake::Body;
use super::operations::{Access, Answers, On, Operation};
use super::problem::{Kind, Problem};
use super::{Api, Listener};
use crate::config::Role;
use actix_web::http::header::{CONTENT_TYPE, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use backstop_actors::gateway::{Answer, Read, SUBMISSION_MAX};
use backstop_engine::command::{Command, CreditSource, Envelope};
use backstop_engine::decode::Malformed;
use backstop_engine::reject::Code;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Largest single command: a market with a hundred tiers.
const COMMAND_MAX: usize = 64 * 1024;

pub(super) fn operations() -> Vec<Operation> {
    let submit = Operation::read("/v1/commands", "commands", "Send commands", Answers::Commands, || web::to(submit));
    let problems = &[
        Kind::Forbidden,
        Kind::OperatorListener,
        Kind::Timeout,
        Kind::TooLarge,
        Kind::UnsupportedMediaType,
        Kind::Overloaded,
        Kind::Starting,
        Kind::ShuttingDown,
        Kind::StorageFull,
    ];
    vec![submit.post().of(Access::Commands).on(On::Both).or(problems)]
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
            Err(Problem::new(Kind::UnsupportedMediaType, detail).field("Content-Type"))
        }
    }
}

async fn submit(
    request: HttpRequest,
    body: Result<Body, Problem>,
    api: web::Data<Api>,
    listener: web::Data<Listener>,
) -> Result<HttpResponse, Problem> {
    // While the journal is replayed, places in the order are those it has given.
    if let Some(kind) = api.phase.away() {
        return Err(Problem::away(kind));
    }
    let form = form(request.headers())?;
    let body = body?;
    let reads = match form {
        Form::Array => read_array(&body.bytes)?,
        Form::Lines => read_lines(&body.bytes)?,
    };
    if reads.is_empty() {
        return Err(Problem::new(Kind::Malformed, "the request holds no command"));
    }
    authorise(&body.caller, **listener, &reads)?;
    let answers = api.topology.gateway.submit_by(body.caller.name(), reads).await?;
    let seqs = answers.iter().filter_map(|answer| match answer {
        Answer::Accepted { seq, .. } => Some(*seq),
        Answer::Refused(refused) => refused.seq,
    });
    if let Some(last) = seqs.max() {
        api.acknowledge(last);
    }
    Ok(write(&answers, form))
}

/// May the caller send all of this, here? Nothing of a request that asks too much is taken.
fn authorise(caller: &Caller, listener: Listener, reads: &[Read]) -> Result<(), Problem> {
    if *caller == Caller::Open {
        return Ok(());
    }
    for command in reads.iter().flatten().map(|envelope| &envelope.command) {
        let role = role_of(command);
        if role == Role::Operator && !listener.admin {
            return Err(Problem::new(
                Kind::OperatorListener,
                format!("{} is taken on the admin listener", command.kind()),
            ));
        }
        if !caller.is(&[role]) {
            let detail = format!("{} is a command of a key of another role", command.kind());
            return Err(Problem::new(Kind::Forbidden, detail));
        }
    }
    caller.must_be(&[Role::Venue, Role::Operator])
}

/// Rules and capital are the operator's, everything else the venue's.
fn role_of(command: &Command) -> Role {
    match command {
        Command::ListAsset(_)
        | Command::ListMarket(_)
        | Command::SetInjectionLine { .. }
        | Command::ScheduleRules { .. }
        | Command::VetoRules { .. }
        | Command::ApplyRules { .. } => Role::Operator,
        Command::FundCredit { source: CreditSource::SeedCapital | CreditSource::Injection, .. } => Role::Operator,
        _ => Role::Venue,
    }
}

fn too_many() -> Problem {
    Problem::new(Kind::TooLarge, format!("a request may bring {SUBMISSION_MAX} commands"))
}

fn read_array(body: &[u8]) -> Result<Vec<Read>, Problem> {
    let unreadable = |error: serde_json::Error| {
        if error.to_string().starts_with(TOO_MANY) {
            too_many()
        } else {
            Problem::new(Kind::Malformed, error.to_string())
        }
    };
    let Items(items) = serde_json::from_slice(body).map_err(unreadable)?;
    Ok(items.into_iter().map(|item| read(item.get().as_bytes())).collect())
}

/// The items of an array, no more than a submission may bring: what is refused takes no memory.
struct Items<'a>(Vec<&'a RawValue>);

const TOO_MANY: &str = "too many items";

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Items<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an array of commands")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while let Some(item) = items.next_element()? {
                    if found.len() >= SUBMISSION_MAX {
                        return Err(serde::de::Error::custom(TOO_MANY));
                    }
                    found.push(item);
                }
                Ok(Items(found))
            }
        }
        deserializer.deserialize_seq(Reader)
    }
}

fn read_lines(body: &[u8]) -> Result<Vec<Read>, Problem> {
    let lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    if lines.clone().nth(SUBMISSION_MAX).is_some() {
        return Err(too_many());
    }
    Ok(lines.map(read).collect())
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
