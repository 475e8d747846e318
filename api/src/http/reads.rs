//! Reads: the state between two batches, and the history, each with the sequence number it holds at.

use super::Api;
use super::problem::Problem;
use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use backstop_actors::conductor::{Answer, Answered, Query};
use backstop_actors::history::{Filter, Look};
use backstop_actors::publisher::{Read, TickTimes};
use backstop_engine::id::{AccountId, Seq};
use backstop_engine::rules::{Market, Rules};
use backstop_engine::view::MarkView;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// Items of a page when nobody says how many.
const LIMIT: usize = 100;
/// Most items of a page.
const LIMIT_MAX: usize = 1_000;

pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(super::read("/v1/accounts/{account}", account))
        .service(super::read("/v1/accounts/{account}/positions", positions))
        .service(super::read("/v1/markets", markets))
        .service(super::read("/v1/markets/{market}/mark", mark))
        .service(super::read("/v1/fund/{asset}", fund))
        .service(super::read("/v1/fund/{asset}/ledger", ledger))
        .service(super::read("/v1/fund/{asset}/daily", daily))
        .service(super::read("/v1/liquidations", liquidations))
        .service(super::read("/v1/adl", adl))
        .service(super::read("/v1/conservation", conservation))
        .service(super::read("/v1/status", status));
}

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PageQuery {
    cursor: Option<String>,
    limit: Option<usize>,
    market: Option<String>,
    account: Option<String>,
}

impl PageQuery {
    fn after(&self) -> Result<u64, Problem> {
        let Some(text) = &self.cursor else { return Ok(0) };
        text.parse().map_err(|_| {
            let detail = format!("cursor {text:?} is not one this API has given");
            Problem::new(StatusCode::BAD_REQUEST, "invalid_value", detail).field("cursor")
        })
    }

    fn limit(&self) -> Result<usize, Problem> {
        match self.limit.unwrap_or(LIMIT) {
            limit if (1..=LIMIT_MAX).contains(&limit) => Ok(limit),
            limit => {
                let detail = format!("limit {limit}, allowed 1 to {LIMIT_MAX}");
                Err(Problem::new(StatusCode::BAD_REQUEST, "out_of_range", detail).field("limit"))
            }
        }
    }
}

/// A page of a list.
#[derive(Serialize)]
struct Items<T> {
    items: Vec<T>,
    next: Option<String>,
    seq: Seq,
}

fn page<T: Serialize>(items: Vec<T>, more: bool, last: Option<u64>, seq: Seq) -> HttpResponse {
    let next = last.filter(|_| more).map(|last| last.to_string());
    HttpResponse::Ok().json(Items { items, next, seq })
}

async fn ask(api: &Api, query: Query) -> Result<Answered, Problem> {
    Ok(api.topology.conductor.ask(query).await?)
}

/// An object with the sequence number it holds at.
fn at(seq: Seq, value: impl Serialize) -> HttpResponse {
    let mut body = serde_json::to_value(value).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut body {
        fields.insert("seq".to_owned(), json!(seq));
    }
    HttpResponse::Ok().json(body)
}

fn unexpected() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the answer is not to this question")
}

async fn account(api: web::Data<Api>, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let answered = ask(&api, Query::Account(AccountId(name.as_str().into()))).await?;
    match answered.answer {
        Answer::Account(Some(view)) => Ok(at(answered.seq, view)),
        _ => Err(Problem::unknown("unknown_account", "account")),
    }
}

async fn positions(api: web::Data<Api>, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let answered = ask(&api, Query::Account(AccountId(name.as_str().into()))).await?;
    match answered.answer {
        Answer::Account(Some(view)) => Ok(page(view.positions, false, None, answered.seq)),
        _ => Err(Problem::unknown("unknown_account", "account")),
    }
}

/// The rules and all prices, of one moment.
async fn rules(api: &Api) -> Result<(Seq, Arc<Rules>, Vec<MarkView>), Problem> {
    let answered = ask(api, Query::Rules).await?;
    match answered.answer {
        Answer::Rules(rules, marks) => Ok((answered.seq, rules, marks)),
        _ => Err(unexpected()),
    }
}

async fn marks(api: &Api) -> Result<(Seq, Vec<MarkView>), Problem> {
    let answered = ask(api, Query::Marks).await?;
    match answered.answer {
        Answer::Marks(marks) => Ok((answered.seq, marks)),
        _ => Err(unexpected()),
    }
}

async fn markets(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let (seq, rules, marks) = rules(&api).await?;
    let shown = |market: &Arc<Market>| {
        let mark = marks.iter().find(|mark| mark.market == market.name);
        let asset = rules.asset(market.asset).map(|asset| asset.name.to_string()).unwrap_or_default();
        json!({
            "market": market.name,
            "version": market.version,
            "kind": market.kind,
            "asset": asset,
            "contract_size": market.contract_size,
            "tick_size": market.tick_size,
            "lot_size": market.lot_size,
            "tiers": market.tiers.all(),
            "liquidation": market.liquidation,
            "adl": market.adl,
            "pool": market.pool,
            "venue": market.venue,
            "oracle": market.oracle,
            "mark": mark.and_then(|mark| mark.mark),
            "state": mark.map(|mark| mark.state),
        })
    };
    Ok(page(rules.markets().iter().map(shown).collect(), false, None, seq))
}

async fn mark(api: web::Data<Api>, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let (seq, marks) = marks(&api).await?;
    let found = marks.into_iter().find(|mark| mark.market == name.as_str());
    found.map(|mark| at(seq, mark)).ok_or_else(|| Problem::unknown("unknown_market", "market"))
}

async fn fund(api: web::Data<Api>, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let answered = ask(&api, Query::Fund(name.into_inner())).await?;
    match answered.answer {
        Answer::Fund(Some(view)) => Ok(at(answered.seq, view)),
        _ => Err(Problem::unknown("unknown_asset", "asset")),
    }
}

async fn look(api: &Api, look: Look, query: &PageQuery) -> Result<HttpResponse, Problem> {
    let read = Read { look, after: query.after()?, limit: query.limit()? };
    let (seq, items, more) = api.topology.publisher.read(read).await??;
    let last = items.last().map(|item| item.number);
    Ok(page(items.iter().map(|item| &item.body).collect(), more, last, seq))
}

/// A list of a fund that is there.
async fn of_fund(
    api: &Api,
    asset: String,
    what: fn(String) -> Look,
    query: &PageQuery,
) -> Result<HttpResponse, Problem> {
    let (_, rules, _) = rules(api).await?;
    rules.asset_named(&asset).map_err(|_| Problem::unknown("unknown_asset", "asset"))?;
    look(api, what(asset), query).await
}

async fn ledger(
    api: web::Data<Api>,
    name: web::Path<String>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    let ledger = |asset| Look::Ledger { asset, filter: Filter::default() };
    of_fund(&api, name.into_inner(), ledger, &query).await
}

/// The sums of each UTC day.
async fn daily(
    api: web::Data<Api>,
    name: web::Path<String>,
    query: web::Query<PageQuery>,
) -> Result<HttpResponse, Problem> {
    of_fund(&api, name.into_inner(), Look::Daily, &query).await
}

async fn liquidations(api: web::Data<Api>, query: web::Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let (market, account) = (query.market.clone(), query.account.clone());
    look(&api, Look::Liquidations(Filter { market, account, ..Filter::default() }), &query).await
}

async fn adl(api: web::Data<Api>, query: web::Query<PageQuery>) -> Result<HttpResponse, Problem> {
    let (market, account) = (query.market.clone(), query.account.clone());
    look(&api, Look::Adl(Filter { market, account, ..Filter::default() }), &query).await
}

/// Which balance.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BalanceQuery {
    #[serde(default)]
    audit: bool,
}

/// From the running sums; with `?audit=true` computed anew from every account.
async fn conservation(api: web::Data<Api>, query: web::Query<BalanceQuery>) -> Result<HttpResponse, Problem> {
    let answered = ask(&api, Query::Conservation { audit: query.audit }).await?;
    match answered.answer {
        Answer::Conservation(balance, sound) => {
            let holds = balance.holds() && sound;
            let body = json!({ "holds": holds, "assets": balance.assets, "markets": balance.markets });
            Ok(at(answered.seq, body))
        }
        _ => Err(unexpected()),
    }
}

#[allow(clippy::cast_precision_loss, clippy::float_arithmetic, reason = "microseconds shown as seconds")]
async fn status(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let answered = ask(&api, Query::Status).await?;
    let Answer::Status { state_hash, accounts, shards } = answered.answer else { return Err(unexpected()) };
    let TickTimes(count, median, high, max) = api.topology.publisher.ticks().await?;
    let seconds = |micros: u32| f64::from(micros) / 1_000_000.0;
    let body = json!({
        "time": answered.time,
        "state_hash": state_hash,
        "accounts": accounts,
        "shards": shards,
        "version": env!("CARGO_PKG_VERSION"),
        "tick_seconds": { "count": count, "p50": seconds(median), "p99": seconds(high), "max": seconds(max) },
    });
    Ok(at(answered.seq, body))
}
