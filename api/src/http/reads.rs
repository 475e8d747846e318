//! Reads: the state between two batches, and the history, each with the sequence number it holds at.

use super::auth::Caller;
use super::gate::At;
use super::operations::{Access, Answers, Operation};
use super::params::{ACCOUNT, CURSOR, FROM, Form, Given, LIMIT, MARKET, Param, TO, path, query};
use super::problem::{Kind, Problem};
use super::{Api, shapes, warned};
use crate::config::Role;
use actix_web::{HttpResponse, web};
use backstop_actors::conductor::{Answer, Answered, Query};
use backstop_actors::history::{Filter, Look};
use backstop_actors::publisher::{Read, TickTimes};
use backstop_engine::id::{AccountId, Seq};
use backstop_engine::rulebook::market_rules;
use backstop_engine::rules::{Market, Rules};
use backstop_engine::view::{AccountView, FundView, MarkView};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Items of a page when nobody says how many.
const PAGE: u64 = 100;

const ASSET: Param = path("asset", Form::Name, "A settlement asset.");
const OF_MARKET: Param = path("market", Form::Name, "A market.");
const OF_ACCOUNT: Param = path("account", Form::Name, "An account.");
const AUDIT: Param = query("audit", Form::Flag, "Compute the sums anew from every account.");

pub(super) fn operations() -> Vec<Operation> {
    use Answers::Json;
    let own = Access::Account("account");
    let account_problems = &[Kind::UnknownAccount];
    let read = Operation::read;
    vec![
        read("/v1/accounts/{account}", "accounts", "An account: assets and positions", Json(shapes::account), || {
            web::to(account)
        })
        .with(&[OF_ACCOUNT])
        .of(own)
        .or(account_problems),
        read("/v1/accounts/{account}/positions", "accounts", "Its positions", Json(shapes::positions), || {
            web::to(positions)
        })
        .with(&[OF_ACCOUNT])
        .of(own)
        .or(account_problems),
        read("/v1/markets", "markets", "Every market: rules, mark and state", Json(shapes::markets), || {
            web::to(markets)
        }),
        read("/v1/markets/{market}/mark", "markets", "Mark, index and sources", Json(shapes::mark), || web::to(mark))
            .with(&[OF_MARKET])
            .or(&[Kind::UnknownMarket]),
        read(
            "/v1/markets/{market}/warning",
            "markets",
            "How near auto-deleveraging is, in money and in price",
            Json(shapes::warning),
            || web::to(warning),
        )
        .with(&[OF_MARKET])
        .or(&[Kind::UnknownMarket, Kind::NoMark])
        .fleeting(),
        read("/v1/warnings", "markets", "The same of every market that has a price", Json(shapes::warnings), || {
            web::to(warnings)
        })
        .fleeting(),
        read("/v1/fund/{asset}", "fund", "The fund of an asset", Json(shapes::fund), || web::to(fund))
            .with(&[ASSET])
            .or(&[Kind::UnknownAsset]),
        read(
            "/v1/fund/{asset}/ledger",
            "fund",
            "Every movement of its cash, hash-chained",
            Json(shapes::events),
            || web::to(ledger),
        )
        .with(&[ASSET, CURSOR, LIMIT, MARKET, ACCOUNT, FROM, TO])
        .or(&[Kind::UnknownAsset]),
        read("/v1/fund/{asset}/daily", "fund", "Sums of each UTC day", Json(shapes::daily), || web::to(daily))
            .with(&[ASSET, CURSOR, LIMIT])
            .or(&[Kind::UnknownAsset]),
        read("/v1/liquidations", "tapes", "Every liquidation, none sampled away", Json(shapes::liquidations), || {
            web::to(liquidations)
        })
        .with(&[CURSOR, LIMIT, MARKET, ACCOUNT, FROM, TO]),
        read("/v1/adl", "tapes", "Every deleveraging, none sampled away", Json(shapes::events), || web::to(adl))
            .with(&[CURSOR, LIMIT, MARKET, ACCOUNT, FROM, TO]),
        read("/v1/conservation", "proof", "What came in against what is there", Json(shapes::conservation), || {
            web::to(conservation)
        })
        .with(&[AUDIT])
        .or(&[Kind::MissingCredentials, Kind::Forbidden, Kind::KeysRequired])
        .personal(),
        read("/v1/status", "daemon", "State hash and timings", Json(shapes::status), || web::to(status))
            .of(Access::Venue)
            .fleeting(),
    ]
}

/// A page of a list.
#[derive(Serialize)]
struct Items<T> {
    items: Vec<T>,
    next: Option<String>,
    seq: Seq,
}

/// A body that holds at a sequence number.
fn holding(seq: Seq, body: impl Serialize) -> HttpResponse {
    let mut response = HttpResponse::Ok().json(body);
    response.extensions_mut().insert(At(seq));
    response
}

pub(super) fn page<T: Serialize>(items: Vec<T>, more: bool, last: Option<u64>, seq: Seq) -> HttpResponse {
    let next = last.filter(|_| more).map(|last| last.to_string());
    holding(seq, Items { items, next, seq })
}

pub(super) async fn ask(api: &Api, query: Query) -> Result<Answered, Problem> {
    Ok(api.topology.conductor.ask(query).await?)
}

/// An object with the sequence number it holds at.
pub(super) fn at(seq: Seq, value: impl Serialize) -> HttpResponse {
    let mut body = serde_json::to_value(value).unwrap_or(Value::Null);
    if let Value::Object(fields) = &mut body {
        fields.insert("seq".to_owned(), json!(seq));
    }
    holding(seq, body)
}

pub(super) fn unexpected() -> Problem {
    Problem::new(Kind::Internal, "the answer is not to this question")
}

async fn view(api: &Api, given: &Given) -> Result<(Seq, AccountView), Problem> {
    let answered = ask(api, Query::Account(AccountId(given.required("account").into()))).await?;
    match answered.answer {
        Answer::Account(Some(view)) => Ok((answered.seq, view)),
        _ => Err(Problem::plain(Kind::UnknownAccount).field("account")),
    }
}

async fn account(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let (seq, view) = view(&api, &given).await?;
    Ok(at(seq, view))
}

async fn positions(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let (seq, view) = view(&api, &given).await?;
    Ok(page(view.positions, false, None, seq))
}

/// The rules and all prices, of one moment.
pub(super) async fn rules(api: &Api) -> Result<(Seq, Arc<Rules>, Vec<MarkView>), Problem> {
    let answered = ask(api, Query::Rules).await?;
    match answered.answer {
        Answer::Rules(rules, marks) => Ok((answered.seq, rules, marks)),
        _ => Err(unexpected()),
    }
}

pub(super) async fn marks(api: &Api) -> Result<(Seq, Vec<MarkView>), Problem> {
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
        let asset = rules.asset(market.asset).map_or("", |asset| asset.name.as_str());
        let mut shown = market_rules(market, asset);
        if let Value::Object(fields) = &mut shown {
            fields.insert("mark".to_owned(), json!(mark.and_then(|mark| mark.mark)));
            fields.insert("state".to_owned(), json!(mark.map(|mark| mark.state)));
        }
        shown
    };
    Ok(page(rules.markets().iter().map(shown).collect(), false, None, seq))
}

async fn mark(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let (seq, marks) = marks(&api).await?;
    let found = marks.into_iter().find(|mark| Some(mark.market.as_str()) == given.text("market"));
    found.map(|mark| at(seq, mark)).ok_or_else(|| Problem::plain(Kind::UnknownMarket).field("market"))
}

/// How near deleveraging is, of one moment.
async fn warning(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let name = given.required("market");
    let (_, marks) = marks(&api).await?;
    if !marks.iter().any(|mark| mark.market == name.as_str()) {
        return Err(Problem::plain(Kind::UnknownMarket).field("market"));
    }
    let (seq, views) = warned::warnings(&api, given.whole("wait_for")).await?;
    let found = views.iter().find(|view| view.market == name.as_str());
    found.map(|view| at(seq, view)).ok_or_else(|| Problem::plain(Kind::NoMark).field("market"))
}

async fn warnings(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let (seq, views) = warned::warnings(&api, given.whole("wait_for")).await?;
    Ok(page(views.iter().collect(), false, None, seq))
}

/// The fund of an asset.
pub(super) async fn fund_view(api: &Api, asset: String) -> Result<(Seq, FundView), Problem> {
    let answered = ask(api, Query::Fund(asset)).await?;
    match answered.answer {
        Answer::Fund(Some(view)) => Ok((answered.seq, view)),
        _ => Err(Problem::plain(Kind::UnknownAsset).field("asset")),
    }
}

async fn fund(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let (seq, view) = fund_view(&api, given.required("asset")).await?;
    Ok(at(seq, view))
}

pub(super) async fn look(api: &Api, look: Look, given: &Given) -> Result<HttpResponse, Problem> {
    let limit = usize::try_from(given.whole("limit").unwrap_or(PAGE)).unwrap_or(usize::MAX);
    let read = Read { look, after: given.whole("cursor").unwrap_or(0), limit };
    let (seq, items, more) = api.topology.publisher.read(read).await??;
    let last = items.last().map(|item| item.number);
    Ok(page(items.iter().map(|item| &item.body).collect(), more, last, seq))
}

/// A fund that is there.
pub(super) async fn asset(api: &Api, given: &Given) -> Result<String, Problem> {
    let asset = given.required("asset");
    let (_, rules, _) = rules(api).await?;
    rules.asset_named(&asset).map_err(|_| Problem::plain(Kind::UnknownAsset).field("asset"))?;
    Ok(asset)
}

async fn ledger(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let (asset, filter) = (asset(&api, &given).await?, filter(&given));
    look(&api, Look::Ledger { asset, filter }, &given).await
}

/// The sums of each UTC day.
async fn daily(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    look(&api, Look::Daily(asset(&api, &given).await?), &given).await
}

async fn liquidations(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    look(&api, Look::Liquidations(filter(&given)), &given).await
}

async fn adl(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    look(&api, Look::Adl(filter(&given)), &given).await
}

/// Which items.
fn filter(given: &Given) -> Filter {
    let (market, account) = (given.owned("market"), given.owned("account"));
    Filter { market, account, from: given.whole("from"), to: given.whole("to") }
}

/// From the running sums; with `?audit=true` computed anew from every account, which costs as much as there are accounts.
async fn conservation(api: web::Data<Api>, caller: Caller, given: Given) -> Result<HttpResponse, Problem> {
    let audit = given.flag("audit");
    if audit && caller == Caller::Public && api.keys.are_none() {
        return Err(Problem::plain(Kind::KeysRequired).field("audit"));
    }
    if audit {
        caller.must_be(&[Role::Venue, Role::Operator])?;
    }
    let answered = ask(&api, Query::Conservation { audit }).await?;
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
