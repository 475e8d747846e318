//! The rulebook: what is in force, what is planned, how it came to be, and how far it may go.

use super::Api;
use super::operations::{Answers, Operation};
use super::params::{CURSOR, Given, LIMIT};
use super::problem::Problem;
use super::reads::{ask, at, look, unexpected};
use super::shapes;
use actix_web::{HttpResponse, web};
use backstop_actors::conductor::{Answer, Query};
use backstop_actors::history::{Look, Topic};
use backstop_engine::rulebook::{asset_rules, market_rules};
use serde_json::{Value, json};

pub(super) fn operations() -> Vec<Operation> {
    use Answers::Json;
    let read = Operation::read;
    vec![
        read("/v1/rules", "rules", "The rules in force, their hash, and what is planned", Json(shapes::rules), || {
            web::to(rules)
        }),
        read("/v1/rules/history", "rules", "Every change: planned, vetoed, in force", Json(shapes::events), || {
            web::to(history)
        })
        .with(&[CURSOR, LIMIT]),
    ]
}

async fn rules(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let answered = ask(&api, Query::Rulebook).await?;
    let Answer::Rulebook(rules, book) = answered.answer else { return Err(unexpected()) };
    let assets: Vec<Value> = rules
        .assets()
        .iter()
        .map(|asset| asset_rules(asset, book.lines().get(&asset.index).copied().unwrap_or_default()))
        .collect();
    let markets: Vec<Value> = rules
        .markets()
        .iter()
        .map(|market| market_rules(market, rules.asset(market.asset).map_or("", |asset| asset.name.as_str())))
        .collect();
    let body = json!({
        "hash": book.hash(),
        "assets": assets,
        "markets": markets,
        "pending": book.pending().collect::<Vec<_>>(),
        "delay_ms": api.policy.delay_ms,
        "ceilings": ceilings(&api),
    });
    Ok(at(answered.seq, body))
}

/// The ceilings there are.
fn ceilings(api: &Api) -> Value {
    let mut shown = serde_json::to_value(&api.policy.ceilings).unwrap_or_default();
    if let Value::Object(fields) = &mut shown {
        fields.retain(|_, ceiling| !ceiling.is_null());
    }
    shown
}

async fn history(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let types = ["rules_scheduled", "rules_vetoed", "rules_changed"].map(str::to_owned).to_vec();
    let topic = Topic { types, ..Topic::default() };
    look(&api, Look::Events(vec![topic]), &given).await
}
