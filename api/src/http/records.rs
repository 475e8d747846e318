//! Records: the receipt of each liquidation and each cut, how near the next one is, and the report of each day.

use super::operations::{Answers, Operation};
use super::params::{Form, Given, Param, path};
use super::problem::{Kind, Problem};
use super::reads::at;
use super::{Api, shapes};
use actix_web::{HttpResponse, web};
use backstop_actors::history::ReceiptId;

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
    ]
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
