//! The way to the gateway.

use super::lifecycle::{Replay, Serve, Stop, TakeSnapshot};
use super::producers::Producers;
use super::{Answer, Gateway, GatewayConfig, KeptProducer, Read, Refusal, Submit};
use crate::halt::HaltSender;
use crate::journal::{JournalHandle, Written};
use crate::snapshot::{SnapshotError, Taken};
use crate::station::Depth;
use actix::{Actor, Addr, ArbiterHandle};
use backstop_engine::admission::Admission;

/// The way to the gateway. Cheap to clone.
#[derive(Clone)]
pub struct GatewayHandle {
    pub(super) addr: Addr<Gateway>,
    pub(super) depth: Depth,
}

impl GatewayHandle {
    /// Starts the gateway on an arbiter, in front of a journal. It knows what it knew when the state was written down.
    pub fn start(
        config: GatewayConfig,
        (admission, producers): (Admission, Vec<KeptProducer>),
        journal: JournalHandle,
        halt: HaltSender,
        place: &ArbiterHandle,
    ) -> Self {
        let depth = Depth::default();
        let counted = depth.clone();
        let known = (admission, Producers::restore(producers));
        let addr = Gateway::start_in_arbiter(place, move |_| Gateway::new(config, known, journal, counted, halt));
        Self { addr, depth }
    }

    /// How many messages wait.
    pub fn depth(&self) -> Depth {
        self.depth.clone()
    }

    /// Its address, for the conductor's answers.
    pub fn addr(&self) -> Addr<Gateway> {
        self.addr.clone()
    }

    /// Submits commands: the answers come when all are kept and applied, in their order.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was taken.
    pub async fn submit(&self, commands: Vec<Read>) -> Result<Vec<Answer>, Refusal> {
        self.submit_by("", commands).await
    }

    /// Submits commands of somebody whose name changes of the rules bear.
    ///
    /// # Errors
    /// [`Refusal`]: nothing was taken.
    pub async fn submit_by(&self, by: &str, commands: Vec<Read>) -> Result<Vec<Answer>, Refusal> {
        self.depth.enter();
        self.addr.send(Submit(commands, by.into())).await.unwrap_or(Err(Refusal::Halted))
    }

    /// Applies a batch of the journal again; resolves when that is done.
    ///
    /// # Errors
    /// [`Refusal::Halted`].
    pub async fn replay(&self, commands: Vec<Written>) -> Result<(), Refusal> {
        self.depth.enter();
        self.addr.send(Replay(commands)).await.unwrap_or(Err(Refusal::Halted))
    }

    /// Everything is as it was: ticks and snapshots begin.
    pub fn serve(&self) {
        self.depth.enter();
        self.addr.do_send(Serve);
    }

    /// Has the state written down.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub async fn snapshot(&self) -> Result<Taken, SnapshotError> {
        self.depth.enter();
        self.addr.send(TakeSnapshot).await.unwrap_or(Err(SnapshotError::Halted))
    }

    /// Stops taking commands; resolves when everything taken is applied, answered and written down.
    pub async fn stop(&self) {
        self.depth.enter();
        // An error means that it has ended already.
        let _ = self.addr.send(Stop).await;
    }
}
