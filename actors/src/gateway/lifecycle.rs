//! The gateway's life: replay, serving, snapshots, and an end in good order.

use super::{Answer, Gateway, Phase, Refusal, Slot, SnapshotPolicy, Written};
use crate::halt::Halt;
use crate::snapshot::{Image, SnapshotError, SnapshotJob, Taken};
use actix::{Addr, AsyncContext, Handler, Message, ResponseFuture};
use backstop_engine::command::{Command, Envelope};
use backstop_engine::instruction::Instruction;
use tokio::sync::oneshot;

/// How far the writing down of the state is.
#[derive(Default)]
pub(super) struct Snapshots {
    /// Batches since the last one was begun.
    batches: u64,
    /// Is one to be begun with the next batch?
    wanted: bool,
    /// Is one under way?
    under_way: bool,
    /// Who waits for the next one, and for the one under way.
    waiting: Vec<oneshot::Sender<Result<Taken, SnapshotError>>>,
    served: Vec<oneshot::Sender<Result<Taken, SnapshotError>>>,
}

impl Snapshots {
    /// Is one to be begun now?
    pub(super) fn is_due(&self) -> bool {
        self.wanted && !self.under_way
    }

    /// The batch that leaves now is the last one in it.
    pub(super) fn begin(&mut self) {
        let served = std::mem::take(&mut self.waiting);
        *self = Self { under_way: true, served, ..Self::default() };
    }
}

impl Gateway {
    /// Gives a command of the journal the place it had.
    pub(super) fn place_again(&mut self, written: Written) -> Result<Slot, Halt> {
        self.pending.batch.replayed = true;
        match written {
            Written::Command { time, command, numbered } => {
                let seq = self.admission.last_seq().saturating_add(1);
                let diverged = |reject| Halt::StateDiverged { seq, reject };
                let entry = self.admission.admit(&command, time).map_err(diverged)?;
                self.pending.batch.entries.push(entry);
                self.take_number(numbered.as_ref());
                self.pending.size = self.pending.size.saturating_add(1);
                Ok(Slot::Entry(numbered))
            }
            Written::Refused { numbered, code, message, field } => {
                Ok(self.use_number(numbered, Answer::again(&code, message, field, None)))
            }
        }
    }

    pub(super) fn count_batch(&mut self) {
        let Some((policy, _)) = &self.config.snapshots else { return };
        self.snapshots.batches = self.snapshots.batches.saturating_add(1);
        self.snapshots.wanted |= policy.batches > 0 && self.snapshots.batches >= policy.batches;
    }

    /// Hands over what a snapshot is made of.
    pub(super) fn write_down(&mut self, image: Image, myself: Addr<Self>) {
        let Some((_, snapshots)) = &self.config.snapshots else { return };
        let done = move |taken| myself.do_send(SnapshotTaken(taken));
        snapshots.take(SnapshotJob { image, producers: self.producers.kept(), done: Box::new(done) });
    }

    /// Answers whoever waits for the end, if it is there.
    pub(super) fn look_for_end(&mut self) {
        let rests = self.pending.size == 0 && self.in_flight.is_empty();
        if rests && !self.snapshots.wanted && !self.snapshots.under_way {
            // Whoever asked may be gone.
            for stopped in self.stopped.drain(..) {
                let _ = stopped.send(());
            }
        }
    }
}

/// A batch of the journal, again.
#[derive(Message)]
#[rtype(result = "Result<(), Refusal>")]
pub(super) struct Replay(pub(super) Vec<Written>);

impl Handler<Replay> for Gateway {
    type Result = ResponseFuture<Result<(), Refusal>>;

    fn handle(&mut self, replay: Replay, _: &mut Self::Context) -> Self::Result {
        self.depth.leave();
        match replay.0.into_iter().map(|written| self.place_again(written)).collect::<Result<Vec<Slot>, Halt>>() {
            Ok(slots) => {
                let answers = self.enlist(slots);
                Box::pin(async { answers.await.map(drop).map_err(|_| Refusal::Halted) })
            }
            Err(reason) => {
                self.halt.halt(reason);
                Box::pin(async { Err(Refusal::Halted) })
            }
        }
    }
}

/// Everything is as it was.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Serve;

impl Handler<Serve> for Gateway {
    type Result = ();

    fn handle(&mut self, _: Serve, ctx: &mut Self::Context) {
        self.depth.leave();
        self.phase = Phase::Serving;
        // What was replayed may be long enough for a snapshot.
        self.dispatch();
        if let Some(interval) = self.config.mark_interval {
            ctx.run_interval(interval, |_, ctx| ctx.notify(EmitTick));
        }
        if let Some((SnapshotPolicy { interval: Some(interval), .. }, _)) = self.config.snapshots {
            ctx.run_interval(interval, |gateway, _| {
                gateway.snapshots.wanted |= gateway.phase == Phase::Serving && gateway.snapshots.batches > 0;
                gateway.dispatch();
            });
        }
    }
}

/// It is time for a tick.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct EmitTick;

impl Handler<EmitTick> for Gateway {
    type Result = ();

    fn handle(&mut self, _: EmitTick, _: &mut Self::Context) {
        let tick = Envelope { command: Command::Tick, time: None, producer: None, number: None };
        // A tick that has not left yet will see everything this one would.
        let last = self.pending.batch.entries.last();
        if self.phase == Phase::Serving && last.is_none_or(|last| last.instruction != Instruction::Tick) {
            let now = self.now();
            self.apply_due(now);
            let slot = self.place(Ok(tick), now, "");
            // Nobody waits for its answer, but what comes after it in the batch has one of its own.
            drop(self.enlist(vec![slot]));
        }
    }
}

/// Has the state written down.
#[derive(Message)]
#[rtype(result = "Result<Taken, SnapshotError>")]
pub(super) struct TakeSnapshot;

impl Handler<TakeSnapshot> for Gateway {
    type Result = ResponseFuture<Result<Taken, SnapshotError>>;

    fn handle(&mut self, _: TakeSnapshot, _: &mut Self::Context) -> Self::Result {
        self.depth.leave();
        if self.config.snapshots.is_none() {
            return Box::pin(async { Err(SnapshotError::NotKept) });
        }
        let (reply, taken) = oneshot::channel();
        self.snapshots.waiting.push(reply);
        self.snapshots.wanted = true;
        self.dispatch();
        Box::pin(async { taken.await.unwrap_or(Err(SnapshotError::Halted)) })
    }
}

/// The state is written down, or could not be.
#[derive(Message)]
#[rtype(result = "()")]
struct SnapshotTaken(Result<Taken, SnapshotError>);

impl Handler<SnapshotTaken> for Gateway {
    type Result = ();

    fn handle(&mut self, taken: SnapshotTaken, _: &mut Self::Context) {
        self.snapshots.under_way = false;
        for waiting in self.snapshots.served.drain(..) {
            // Whoever asked may be gone.
            let _ = waiting.send(taken.0.clone());
        }
        self.dispatch();
        self.look_for_end();
    }
}

/// End in good order.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Stop;

impl Handler<Stop> for Gateway {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: Stop, _: &mut Self::Context) -> Self::Result {
        self.depth.leave();
        self.phase = Phase::Stopping;
        let (reply, stopped) = oneshot::channel();
        self.stopped.push(reply);
        self.snapshots.wanted |= self.config.snapshots.is_some() && self.snapshots.batches > 0;
        self.dispatch();
        self.look_for_end();
        Box::pin(async { stopped.await.unwrap_or(()) })
    }
}
