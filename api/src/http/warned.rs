//! How near deleveraging is, for all who ask: one question to the engine every few seconds, however many they are. It
//! assesses every position of every market, and nothing is applied meanwhile.

use super::Api;
use super::problem::Problem;
use super::reads::{ask, unexpected};
use backstop_actors::conductor::{Answer, Query};
use backstop_engine::id::Seq;
use backstop_engine::view::WarningView;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long an answer serves.
const RESTS: Duration = Duration::from_secs(5);

type Held = (Instant, Seq, Arc<Vec<WarningView>>);

/// The last answer. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Warned(Arc<Mutex<Option<Held>>>);

/// The warnings of all markets that have a price, no older than some seconds, nor than a command that is waited for.
pub(super) async fn warnings(api: &Api, wanted: Option<Seq>) -> Result<(Seq, Arc<Vec<WarningView>>), Problem> {
    let mut held = api.warned.0.lock().await;
    if let Some((made, seq, views)) = held.as_ref()
        && made.elapsed() < RESTS
        && wanted.is_none_or(|wanted| *seq >= wanted)
    {
        return Ok((*seq, views.clone()));
    }
    let answered = ask(api, Query::Warnings).await?;
    let Answer::Warnings(views) = answered.answer else { return Err(unexpected()) };
    let views = Arc::new(views);
    *held = Some((Instant::now(), answered.seq, views.clone()));
    Ok((answered.seq, views))
}
