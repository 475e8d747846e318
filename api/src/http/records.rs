//! Records: the receipt of each liquidation and each cut, how near the next one is, and the report of each day.

use super::gate::At;
use super::operations::{Answers, Operation};
use super::params::{Form, Given, Param, path, query};
use super::problem::{Kind, Problem};
use super::reads::{asset, at, page};
use super::{Api, shapes};
use actix_web::{HttpResponse, web};
use backstop_actors::history::{DailyReport, Reader, ReceiptId, write_csv};
use backstop_engine::id::Seq;

pub(super) const RECEIPT: Param =
    path("receipt", Form::Receipt, "`liquidation-N`, or `adl-N` after the number of the cut's event.");

pub(super) fn operations() -> Vec<Operation> {
    use Answers::Json;
    vec![
        Operation::read(
            "/v1/receipts/{receipt}",
            "tapes",
            "How an account was treated: one document",
            Json(shapes::receipt),
            || web::to(receipt),
        )
        .with(&[RECEIPT])
        .or(&[Kind::UnknownReceipt]),
        Operation::read(
            "/v1/reports/{asset}/{day}",
            "fund",
            "The report of a day: sums that close exactly",
            Answers::JsonOrCsv(shapes::report),
            || web::to(report),
        )
        .with(&[ASSET, DAY, FORMAT])
        .or(&[Kind::UnknownAsset, Kind::UnknownDay]),
        Operation::read(
            "/v1/reports/{asset}",
            "fund",
            "The reports of days",
            Answers::JsonOrCsv(shapes::reports),
            || web::to(reports),
        )
        .with(&[ASSET, FROM, TO, FORMAT])
        .or(&[Kind::UnknownAsset, Kind::UnknownDay]),
    ]
}

const ASSET: Param = path("asset", Form::Name, "A settlement asset.");
const DAY: Param = path("day", Form::Day, "A UTC day, as 2025-10-10.");
const FROM: Param = query("from", Form::Day, "The first day; the last 31 days when left out.");
const TO: Param = query("to", Form::Day, "The last day; the last there is when left out.");
const FORMAT: Param = query("format", Form::Word(&["json", "csv"]), "How it is written; JSON when left out.");
/// Most days that are told at once.
const DAYS_MAX: u64 = 366;
/// Days when nobody says which.
const DAYS: u64 = 31;

/// The reports of days, first to last, of those there are; none where the asset has none.
async fn told(
    api: &Api,
    asset: String,
    days: (Option<String>, Option<String>),
) -> Result<(Seq, Vec<DailyReport>), Problem> {
    let look = move |reader: &Reader| {
        let Some((first, last)) = reader.reported_days(&asset)? else { return Ok(Some(Vec::new())) };
        // A day before 1970 is before everything.
        let named = |name: Option<String>| match name {
            Some(name) => reader.day_named(&name).map(|day| Some(day.unwrap_or(0))),
            None => Ok(None),
        };
        let (from, to) = (named(days.0)?, named(days.1)?);
        let to = to.unwrap_or(last).min(last);
        let from = from.unwrap_or_else(|| to.saturating_sub(DAYS.saturating_sub(1))).max(first);
        if to.saturating_sub(from) >= DAYS_MAX {
            return Ok(None);
        }
        let mut reports = Vec::new();
        for day in from..=to {
            reports.extend(reader.report(&asset, day)?);
        }
        Ok(Some(reports))
    };
    let (seq, found) = api.topology.publisher.look_up(look).await??;
    let too_many =
        || Problem::new(Kind::OutOfRange, format!("more than {DAYS_MAX} days; ask for fewer at a time")).field("from");
    Ok((seq, found.ok_or_else(too_many)?))
}

fn rows(reports: &[DailyReport], seq: Seq) -> Result<HttpResponse, Problem> {
    let mut text = Vec::new();
    write_csv(reports, &mut text).map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    let mut response = HttpResponse::Ok().content_type("text/csv; charset=utf-8").body(text);
    response.extensions_mut().insert(At(seq));
    Ok(response)
}

async fn report(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let (asset, day) = (asset(&api, &given).await?, given.owned("day"));
    let (seq, reports) = told(&api, asset, (day.clone(), day.clone())).await?;
    let found = reports.first().filter(|report| Some(&report.day) == day.as_ref());
    let found = found.ok_or_else(|| Problem::plain(Kind::UnknownDay).field("day"))?;
    if given.text("format") == Some("csv") { rows(std::slice::from_ref(found), seq) } else { Ok(at(seq, found)) }
}

async fn reports(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let asset = asset(&api, &given).await?;
    let (seq, reports) = told(&api, asset, (given.owned("from"), given.owned("to"))).await?;
    if given.text("format") == Some("csv") { rows(&reports, seq) } else { Ok(page(reports, false, None, seq)) }
}

/// The name of a receipt, as the path has it.
pub(super) fn named(given: &Given) -> Result<ReceiptId, Problem> {
    given.required("receipt").parse().map_err(|_| Problem::plain(Kind::UnknownReceipt).field("receipt"))
}

async fn receipt(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let id = named(&given)?;
    let (seq, found) = api.topology.publisher.look_up(move |reader| reader.receipt(id)).await??;
    found.map(|receipt| at(seq, receipt)).ok_or_else(|| Problem::plain(Kind::UnknownReceipt).field("receipt"))
}
