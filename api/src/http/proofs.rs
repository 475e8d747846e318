//! Proofs: the signed root of each day, the way from a receipt to it, and an export that anybody can verify offline.

use super::operations::{Answers, Operation};
use super::params::{CURSOR, Form, Given, LIMIT, Param, path, query};
use super::problem::{Kind, Problem};
use super::reads::{at, page};
use super::records::{RECEIPT, named};
use super::{Api, shapes};
use crate::seal::{Seal, SealError};
use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use backstop_actors::history::{Head, Reader};
use backstop_engine::canonical::sha256;
use backstop_engine::fund::{GENESIS, hex};
use backstop_engine::id::Seq;
use backstop_engine::proof::{
    DayTree, FORMAT, Hash, Header, NotCanonical, Opening, Record, SignedRoot, Writer, day_of,
};
use futures_util::stream;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

pub(super) fn operations() -> Vec<Operation> {
    use Answers::Json;
    const DAY: Param = path("day", Form::Day, "A UTC day that is over.");
    const FROM: Param = query("from", Form::Day, "The first day; the first there is when left out.");
    const TO: Param = query("to", Form::Day, "The last day, which must be over; the last there is when left out.");
    let read = Operation::read;
    let kept = &[Kind::NotKept, Kind::ProofFailed];
    let of_day = &[Kind::NotKept, Kind::ProofFailed, Kind::UnknownDay];
    vec![
        read(
            "/v1/proof",
            "proof",
            "The public key, and how far the record is sealed",
            Json(shapes::proof_state),
            || web::to(state),
        )
        .or(kept),
        read("/v1/proof/days", "proof", "The signed root of each day", Json(shapes::roots), || web::to(days))
            .with(&[CURSOR, LIMIT])
            .or(kept),
        read("/v1/proof/days/{day}", "proof", "The signed root of a day", Json(shapes::root), || web::to(day))
            .with(&[DAY])
            .or(of_day),
        read(
            "/v1/receipts/{receipt}/proof",
            "proof",
            "That a receipt is in the record",
            Json(shapes::inclusion),
            || web::to(inclusion),
        )
        .with(&[RECEIPT])
        .or(&[Kind::NotKept, Kind::ProofFailed, Kind::UnknownReceipt, Kind::UnknownDay, Kind::Overloaded]),
        read(
            "/v1/export",
            "proof",
            "Ledgers, receipts and roots of sealed days, for `backstop verify`",
            Answers::Lines,
            || web::to(export),
        )
        .with(&[FROM, TO])
        .or(&[Kind::NotKept, Kind::ProofFailed, Kind::UnknownDay, Kind::Overloaded])
        .fleeting(),
    ]
}

impl From<SealError> for Problem {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Stop(stop) => stop.into(),
            error => Self::new(Kind::ProofFailed, error.to_string()),
        }
    }
}

impl From<NotCanonical> for Problem {
    fn from(error: NotCanonical) -> Self {
        Self::new(Kind::ProofFailed, error.to_string())
    }
}

/// What is sealed, brought up to now.
async fn sealed(api: &Api) -> Result<(Seq, &Seal, Vec<SignedRoot>), Problem> {
    let seal = api.seal.as_ref().ok_or_else(|| Problem::new(Kind::NotKept, "nothing is kept, so nothing is sealed"))?;
    // Whatever has been acknowledged has been told by now.
    api.topology.publisher.look_up(|_| Ok(())).await??;
    let progress = api.progress();
    seal.catch_up(&api.topology.publisher, progress.time).await?;
    Ok((progress.seq, seal, seal.roots().await))
}

async fn state(api: web::Data<Api>) -> Result<HttpResponse, Problem> {
    let (seq, seal, roots) = sealed(&api).await?;
    let body = json!({
        "algorithm": "ed25519",
        "key": hex(seal.key().verifying_key().as_bytes()),
        "days": roots.len(),
        "last": roots.last(),
    });
    Ok(at(seq, body))
}

async fn days(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let (seq, _, roots) = sealed(&api).await?;
    let after = given.whole("cursor").unwrap_or(0);
    let limit = given.whole("limit").unwrap_or(100);
    let end = after.saturating_add(limit);
    let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let more = roots.len() > whole(end);
    let items: Vec<SignedRoot> = roots.into_iter().skip(whole(after)).take(whole(limit)).collect();
    Ok(page(items, more, Some(end), seq))
}

fn of_day<'a>(roots: &'a [SignedRoot], day: &str) -> Result<&'a SignedRoot, Problem> {
    let found = roots.iter().find(|root| root.root.day == day);
    found.ok_or_else(|| {
        Problem::new(Kind::UnknownDay, format!("{day} is not sealed: it is not over, or nothing is known of it"))
            .field("day")
    })
}

async fn day(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let (seq, _, roots) = sealed(&api).await?;
    Ok(at(seq, of_day(&roots, &given.required("day"))?))
}

async fn inclusion(api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let id = named(&given)?;
    let (seq, seal, roots) = sealed(&api).await?;
    let ended = move |reader: &Reader| Ok(reader.receipt(id)?.map(|receipt| receipt.ended()));
    let (_, found) = api.topology.publisher.look_up(ended).await??;
    let unknown = || Problem::plain(Kind::UnknownReceipt).field("receipt");
    let over = found
        .ok_or_else(unknown)?
        .ok_or_else(|| Problem::new(Kind::UnknownDay, "it has not ended").field("receipt"))?;
    let root = of_day(&roots, &day_of(over))?.clone();
    let _turn = turn(&api.turns)?;
    let (seal, name) = (seal.clone(), root.root.day.clone());
    let id = id.to_string();
    let find = move || {
        let receipts = seal.receipts(&name)?;
        let tree = DayTree::new(receipts.iter().map(|(id, line)| (id.clone(), Hash(sha256(line.as_bytes())))));
        let line = receipts.into_iter().find(|(known, _)| *known == id).map(|(_, line)| line);
        Ok::<_, SealError>(line.zip(tree.prove(&id)))
    };
    let found = web::block(find).await.map_err(|_| Problem::plain(Kind::Internal))??;
    let (line, proof) = found.ok_or_else(unknown)?;
    let receipt: Value = serde_json::from_str(&line).map_err(|_| Problem::plain(Kind::Internal))?;
    Ok(at(
        seq,
        json!({ "receipt": receipt, "proof": proof, "root": root.root, "signature": root.signature, "key": root.key }),
    ))
}

/// One of few turns at what takes long.
fn turn(turns: &Arc<Semaphore>) -> Result<tokio::sync::OwnedSemaphorePermit, Problem> {
    let later = |_| Problem::later(Kind::Overloaded, "proofs and exports are being made for others", 1_000);
    turns.clone().try_acquire_owned().map_err(later)
}

async fn export(request: HttpRequest, api: web::Data<Api>, given: Given) -> Result<HttpResponse, Problem> {
    let (_, seal, roots) = sealed(&api).await?;
    let place = |name: &str| match given.text(name) {
        Some(day) => of_day(&roots, day).map(|found| roots.iter().position(|root| root.root.day == found.root.day)),
        None => Ok(None),
    };
    let last = roots.len().checked_sub(1).ok_or_else(|| Problem::new(Kind::UnknownDay, "no day is over yet"))?;
    let (first, last) = (place("from")?.unwrap_or(0), place("to")?.unwrap_or(last));
    let chosen: Vec<SignedRoot> = roots.get(first..=last).map(<[SignedRoot]>::to_vec).unwrap_or_default();
    let (Some(from), Some(to)) = (chosen.first().map(|root| root.root.clone()), chosen.last()) else {
        return Err(Problem::new(Kind::OutOfRange, "`from` is after `to`").field("from"));
    };
    if request.method() == Method::HEAD {
        return Ok(HttpResponse::Ok().content_type("application/x-ndjson").finish());
    }
    let turn = turn(&api.exports)?;
    let begun = from.day.clone();
    let heads = move |reader: &Reader| {
        let day = reader.day_named(&begun)?.unwrap_or_default();
        reader.heads(day)
    };
    let (_, heads) = api.topology.publisher.look_up(heads).await??;
    let assets = heads.into_iter().filter_map(opening).collect();
    let header =
        Header { format: FORMAT, from: from.day, to: to.root.day.clone(), assets, previous_root: from.previous_root };
    let (writer, line) = Writer::new(&header)?;
    let (lines, read) = mpsc::channel::<Result<Bytes, Problem>>(16);
    let (api, seal) = (api.get_ref().clone(), seal.clone());
    let patience = Duration::from_millis(api.streams.patience_ms());
    drop(actix_web::rt::spawn(async move {
        let lines = Lines(lines, patience);
        if lines.send(line).await
            && let Err(problem) = write(&api, &seal, writer, chosen, &lines).await
        {
            // The client sees that it is cut: an export without its last line does not verify.
            let _ = timeout(patience, lines.0.send(Err(problem))).await;
        }
        drop(turn);
    }));
    let body = stream::unfold(read, |mut read| async move { read.recv().await.map(|line| (line, read)) });
    Ok(HttpResponse::Ok().content_type("application/x-ndjson").streaming(body))
}

/// A ledger before the export; none of an asset that has none.
fn opening(head: Head) -> Option<Opening> {
    let (last_entry, last_hash) = head.last.unwrap_or((0, GENESIS.to_owned()));
    let pools = head
        .pools
        .into_iter()
        .map(|(pool, balance)| Some((pool.into(), balance.parse().ok().map(backstop_engine::money::Money::new)?)));
    Some(Opening { asset: head.asset.into(), last_entry, last_hash, pools: pools.collect::<Option<_>>()? })
}

/// Where lines go, and how long each may wait to be read.
struct Lines(mpsc::Sender<Result<Bytes, Problem>>, Duration);

impl Lines {
    /// Sends a line: is anybody reading?
    async fn send(&self, line: String) -> bool {
        matches!(timeout(self.1, self.0.send(Ok(line.into()))).await, Ok(Ok(())))
    }
}

/// Writes the days of an export; ends early when nobody reads.
async fn write(
    api: &Api,
    seal: &Seal,
    mut writer: Writer,
    days: Vec<SignedRoot>,
    lines: &Lines,
) -> Result<(), Problem> {
    for root in days {
        let name = root.root.day.clone();
        let of = name.clone();
        let entries = move |reader: &Reader| match reader.day_named(&of)? {
            Some(day) => reader.entries_of(day),
            None => Ok(Vec::new()),
        };
        let (_, entries) = api.topology.publisher.look_up(entries).await??;
        for entry in entries {
            if !lines.send(writer.record(Record::Entry(&entry))?).await {
                return Ok(());
            }
        }
        let sealed = seal.clone();
        let receipts =
            web::block(move || sealed.receipts(&name)).await.map_err(|_| Problem::plain(Kind::Internal))??;
        for (_, line) in receipts {
            let receipt: Value = serde_json::from_str(&line).map_err(|_| Problem::plain(Kind::Internal))?;
            if !lines.send(writer.record(Record::Receipt(&receipt))?).await {
                return Ok(());
            }
        }
        if !lines.send(writer.record(Record::Day(&root))?).await {
            return Ok(());
        }
    }
    let end = writer.end(seal.key())?;
    lines.send(end).await;
    Ok(())
}
