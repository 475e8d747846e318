//! /openapi.json: OpenAPI 3.1, made from the table of operations and the types that are written.

use super::auth::{KEY, NONCE, SIGNATURE, TIMESTAMP, WINDOW};
use super::operations::{self, Access, Answers, On, Operation};
use super::params::WAIT_FOR;
use super::problem::{Kind, Shown};
use super::shapes;
use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// What a reader should know first.
const ABOUT: &str = include_str!("about.md");

/// An object of any fields.
pub(super) fn any_object(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "object" })
}

/// The description of what a listener serves, as text.
pub(super) fn text(admin: bool) -> &'static str {
    static API: LazyLock<String> = LazyLock::new(|| written(false));
    static ADMIN: LazyLock<String> = LazyLock::new(|| written(true));
    if admin { &ADMIN } else { &API }
}

fn written(admin: bool) -> String {
    serde_json::to_string_pretty(&description(admin)).unwrap_or_default()
}

fn described(admin: bool) -> impl Iterator<Item = &'static Operation> {
    operations::all().iter().filter(move |operation| operation.on.serves(admin) && !operation.summary.is_empty())
}

fn description(admin: bool) -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let problem = schemas.subschema_for::<Shown<'static>>();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for operation in described(admin) {
        let shown = describe(operation, &mut schemas, &problem);
        paths.entry(operation.path.to_owned()).or_default().insert(operation.method.to_ascii_lowercase(), shown);
    }
    let commands = shapes::command(&mut schemas);
    let mut components = schemas.take_definitions(true);
    components.insert("Command".to_owned(), commands.to_value());
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Backstop", "version": env!("CARGO_PKG_VERSION"), "description": ABOUT,
                  "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" } },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "signature": { "type": "apiKey", "in": "header", "name": SIGNATURE, "description": format!(
                    "HMAC-SHA-256 in hex over timestamp, window, nonce, method and target, each followed by a line feed, then the body. Beside it: {KEY}, {TIMESTAMP}, and optionally {WINDOW} and {NONCE}."
                ) },
            },
        },
    })
}

fn describe(operation: &Operation, schemas: &mut SchemaGenerator, problem: &Schema) -> Value {
    let mut described = json!({
        "operationId": name(operation),
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": access(operation),
        "parameters": params(operation),
        "responses": responses(operation, schemas, problem),
    });
    let secured = !matches!(operation.access, Access::Public | Access::Stream);
    if let (Value::Object(fields), true) = (&mut described, secured) {
        fields.insert("security".to_owned(), json!([{ "token": [] }, { "signature": [] }]));
    }
    if let (Value::Object(fields), Answers::Commands) = (&mut described, operation.answers) {
        let array = json!({ "type": "array", "minItems": 1, "items": shapes::taken_as_command() });
        let lines = json!({ "type": "string", "description": "One command a line." });
        fields.insert(
            "requestBody".to_owned(),
            json!({ "required": true, "content": {
            "application/json": { "schema": array }, "application/x-ndjson": { "schema": lines } } }),
        );
    }
    described
}

/// `get_v1_fund_asset`.
fn name(operation: &Operation) -> String {
    let path: String =
        operation.path.chars().map(|sign| if sign.is_ascii_alphanumeric() { sign } else { '_' }).collect();
    let words: Vec<&str> = path.split('_').filter(|word| !word.is_empty()).collect();
    format!(
        "{}_{}",
        operation.method.to_ascii_lowercase(),
        if words.is_empty() { "dashboard".to_owned() } else { words.join("_") }
    )
}

fn access(operation: &Operation) -> String {
    let who = match operation.access {
        Access::Public => "Public.",
        Access::Account(_) => "For a key of this account, of the venue or of an operator.",
        Access::Venue => "For a key of the venue or of an operator.",
        Access::Operator => "For a key of an operator.",
        Access::Commands => {
            "For a key of the venue; rules and capital for a key of an operator, on the admin listener."
        }
        Access::Stream => "Public topics for anybody; others need a key.",
    };
    if operation.on == On::Admin { format!("{who} On the admin listener.") } else { who.to_owned() }
}

fn params(operation: &Operation) -> Vec<Value> {
    let mut params: Vec<Value> = operation.params.iter().map(super::params::Param::describe).collect();
    if operation.steady {
        params.push(WAIT_FOR.describe());
    }
    params
}

fn responses(operation: &Operation, schemas: &mut SchemaGenerator, problem: &Schema) -> Value {
    let mut responses = Map::new();
    let mut json_of = |shape: fn(&mut SchemaGenerator) -> Schema| json!({ "schema": shape(schemas) });
    let content = match operation.answers {
        Answers::Json(shape) => json!({ "application/json": json_of(shape) }),
        Answers::JsonOrCsv(shape) => {
            json!({ "application/json": json_of(shape), "text/csv": { "schema": { "type": "string" } } })
        }
        Answers::Lines => json!({ "application/x-ndjson": { "schema": { "type": "string" } } }),
        Answers::Text(kind) => json!({ kind: { "schema": { "type": "string" } } }),
        Answers::Commands => json!({
            "application/json": json_of(shapes::answers), "application/x-ndjson": { "schema": { "type": "string" } } }),
        Answers::Upgrade => Value::Null,
    };
    let tag = json!({ "ETag": { "description": "The sequence number it holds at.", "schema": { "type": "string" } } });
    match operation.answers {
        Answers::Upgrade => drop(responses.insert("101".into(), json!({ "description": "The stream is open." }))),
        _ if operation.steady => {
            responses.insert("200".into(), json!({ "description": "The answer.", "headers": tag, "content": content }));
            responses.insert("304".into(), json!({ "description": "Nothing has happened since If-None-Match." }));
        }
        _ if operation.path == "/docs" => drop(responses.insert("308".into(), json!({ "description": "The page." }))),
        _ => drop(responses.insert("200".into(), json!({ "description": "The answer.", "content": content }))),
    }
    let mut by_status: BTreeMap<u16, Vec<Kind>> = BTreeMap::new();
    for kind in problems(operation) {
        by_status.entry(kind.status()).or_default().push(kind);
    }
    for (status, kinds) in by_status {
        let codes: Vec<String> = kinds.iter().map(|kind| format!("`{}`: {}", kind.code(), kind.sentence())).collect();
        let content = json!({ "application/problem+json": { "schema": problem } });
        responses.insert(status.to_string(), json!({ "description": codes.join("; "), "content": content }));
    }
    Value::Object(responses)
}

/// The problems an operation can answer with.
fn problems(operation: &Operation) -> Vec<Kind> {
    let mut kinds =
        vec![Kind::UnknownParameter, Kind::DuplicateParameter, Kind::RateLimited, Kind::Halted, Kind::Internal];
    if matches!(operation.answers, Answers::Commands) {
        kinds.push(Kind::Malformed);
    }
    if operation.steady || !operation.params.is_empty() {
        kinds.extend([Kind::InvalidValue, Kind::OutOfRange]);
    }
    if operation.steady {
        kinds.extend([Kind::NotReached, Kind::HistoryFailed]);
    }
    match operation.access {
        Access::Public | Access::Stream => kinds.extend(CREDENTIALS),
        _ => {
            kinds.extend(CREDENTIALS);
            kinds.extend([Kind::MissingCredentials, Kind::Forbidden, Kind::KeysRequired, Kind::Misdirected]);
        }
    }
    for kind in operation.problems {
        if !kinds.contains(kind) {
            kinds.push(*kind);
        }
    }
    kinds
}

const CREDENTIALS: [Kind; 4] =
    [Kind::InvalidCredentials, Kind::ExpiredCredentials, Kind::StaleTimestamp, Kind::Replayed];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_described_under_a_name_of_its_own() {
        let text: Value = serde_json::from_str(text(false)).unwrap();
        let mut names = Vec::new();
        for (path, methods) in text["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                names.push(operation["operationId"].as_str().unwrap().to_owned());
                assert!(operation["responses"].as_object().unwrap().len() > 1, "{method} {path}");
                let given: Vec<&str> = operation["parameters"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|param| param["in"] == "path")
                    .map(|param| param["name"].as_str().unwrap())
                    .collect();
                let named = path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap());
                assert_eq!(given, named.collect::<Vec<_>>(), "{path}");
            }
        }
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(count, described(false).count());
    }
}
