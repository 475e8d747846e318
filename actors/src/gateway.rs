//! The gateway: gives every command its place, gathers batches, and answers when a batch is kept and applied.
//!
//! While one batch is on its way the next gathers: load decides how large a batch is, no timer does. Above a bound new
//! commands are turned away; it never queues without one.

mod answer;
mod handle;
mod lifecycle;
mod producers;

pub use answer::{Answer, Refused, Results};
pub use handle::GatewayHandle;
pub use producers::KeptProducer;

use crate::halt::{DeathWatch, HaltSender};
use crate::journal::{self, JournalHandle, Numbered, Written};
use crate::snapshot::{Image, SnapshotHandle};
use crate::station::Depth;
use crate::telemetry::Admissions;
use actix::{Actor, AsyncContext, Context, Handler, Message, ResponseFuture};
use backstop_engine::admission::Admission;
use backstop_engine::command::{Command, Envelope};
use backstop_engine::decode::Malformed;
use backstop_engine::flow::BatchOutcome;
use backstop_engine::id::{Millis, Seq};
use backstop_engine::reject::{Code, Reject};
use backstop_engine::rulebook::Policy;
use lifecycle::Snapshots;
use producers::{Known, Producers};
use smol_str::SmolStr;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// Commands that may wait for the next batch: some hundred milliseconds of work.
pub const PENDING_MAX: usize = 65_536;
/// Commands that one submission may bring.
pub const SUBMISSION_MAX: usize = 32_768;
/// Batches on their way at once: one is written while one is applied.
const IN_FLIGHT_MAX: usize = 2;
/// Submissions that wait in the mailbox; each belongs to a connection.
const MAILBOX: usize = 1_024;
/// When to come back after being turned away.
const RETRY_AFTER_MS: u64 = 250;

/// Why nothing of a submission was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Come back later.
    #[error("too many commands are waiting")]
    Overloaded {
        /// When.
        retry_after_ms: u64,
    },
    /// More commands than one submission may bring.
    #[error("a submission may bring {SUBMISSION_MAX} commands")]
    TooLarge,
    /// The disk has no room for more.
    #[error("the disk of the data directory is nearly full")]
    StorageFull {
        /// When to look again.
        retry_after_ms: u64,
    },
    /// The daemon ends in good order.
    #[error("the daemon is shutting down")]
    ShuttingDown,
    /// The daemon had to stop.
    #[error("the daemon is stopping")]
    Halted,
}

/// One command of a submission: read, or refused already.
pub type Read = Result<Envelope, Malformed>;

#[derive(Message)]
#[rtype(result = "Result<Vec<Answer>, Refusal>")]
struct Submit(Vec<Read>, SmolStr);

/// What stands at a place of a submission until its batch is applied.
enum Slot {
    Done(Answer),
    /// The next entry of the batch.
    Entry(Option<Numbered>),
    /// Refused before it took a place; the number is used when the batch is safe.
    Used(Numbered, Answer),
    /// The answer to a command whose number was given before.
    Same(Numbered),
}

struct Waiter {
    slots: Vec<Slot>,
    reply: oneshot::Sender<Vec<Answer>>,
}

#[derive(Default)]
struct Pending {
    batch: journal::Batch,
    waiters: Vec<Waiter>,
    /// Commands and used numbers in it.
    size: usize,
}

/// When the state is written down by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPolicy {
    /// After so many batches; 0 for never.
    pub batches: u64,
    /// After so long, if anything has happened.
    pub interval: Option<Duration>,
}

/// Is there room on the disk for what is taken?
pub type Room = Arc<dyn Fn() -> bool + Send + Sync>;

/// How the gateway works.
#[derive(Clone)]
pub struct GatewayConfig {
    /// May a command bring its own time? For scenarios and demos; a venue's commands get the gateway's.
    pub accepts_time: bool,
    /// Emits a tick so often; none when a scenario writes its own.
    pub mark_interval: Option<Duration>,
    /// What is held back of changes of the rules. Nothing of it is state: what it decides is in the journal.
    pub policy: Policy,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Millis + Send + Sync>,
    /// Looked at before anything is taken; none where nothing is kept.
    pub room: Option<Room>,
    /// When and where the state is written down; none where nothing is kept.
    pub snapshots: Option<(SnapshotPolicy, SnapshotHandle)>,
}

/// What it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Replaying,
    Serving,
    Stopping,
}

/// The actor that owns the order of commands.
pub struct Gateway {
    config: GatewayConfig,
    phase: Phase,
    admission: Admission,
    producers: Producers,
    journal: JournalHandle,
    depth: Depth,
    pending: Pending,
    in_flight: VecDeque<Vec<Waiter>>,
    snapshots: Snapshots,
    stopped: Vec<oneshot::Sender<()>>,
    admissions: Admissions,
    halt: HaltSender,
    _watch: DeathWatch,
}

impl Gateway {
    fn new(
        config: GatewayConfig,
        (admission, producers): (Admission, Producers),
        journal: JournalHandle,
        depth: Depth,
        halt: HaltSender,
    ) -> Self {
        let watch = halt.watch("gateway");
        Self {
            config,
            phase: Phase::Replaying,
            admission,
            producers,
            journal,
            depth,
            pending: Pending::default(),
            in_flight: VecDeque::new(),
            snapshots: Snapshots::default(),
            stopped: Vec::new(),
            admissions: Admissions::default(),
            halt,
            _watch: watch,
        }
    }

    fn now(&self) -> Millis {
        (self.config.clock)()
    }

    /// Has planned changes of the rules carried out whose time has come. A scenario writes its own, as it does ticks.
    fn apply_due(&mut self, now: Millis) {
        if self.config.accepts_time {
            return;
        }
        if self.admission.due(now.max(self.admission.last_time())).is_none() {
            return;
        }
        let time = now.max(self.admission.last_time());
        let due = self.admission.pending().filter(|pending| pending.effective_time <= time);
        let mut due: Vec<(Millis, Seq)> = due.map(|pending| (pending.effective_time, pending.change)).collect();
        due.sort_unstable();
        for (_, change) in due {
            let envelope =
                Envelope { command: Command::ApplyRules { change }, time: None, producer: None, number: None };
            // One that cannot be carried out (a ceiling has come down since) waits for a veto; those after it do not.
            let Slot::Entry(_) = self.place(Ok(envelope), now, "") else { continue };
            self.pending.waiters.push(Waiter { slots: vec![Slot::Entry(None)], reply: oneshot::channel().0 });
        }
    }

    /// Gives a command that `by` has sent and that came at `now` its place in the pending batch.
    fn place(&mut self, read: Read, now: Millis, by: &str) -> Slot {
        let envelope = match read {
            Ok(envelope) => envelope,
            Err(malformed) => return Slot::Done(Answer::malformed(&malformed)),
        };
        let Envelope { command, time, producer, number } = envelope;
        let numbered = producer.zip(number).map(|(producer, number)| Numbered { producer, number });
        if let Some(known) = &numbered {
            let limited = |code, field, value: u64, limit: u64| {
                Slot::Done(Answer::rejected(&Reject::limit(code, field, value.into(), limit.into()), None))
            };
            match self.producers.look_up(&known.producer, known.number) {
                Known::Next => {}
                Known::Before => return Slot::Same(known.clone()),
                Known::Crowd(most) => {
                    let most = u64::try_from(most).unwrap_or(u64::MAX);
                    return limited(Code::OutOfRange, "producer", most.saturating_add(1), most);
                }
                Known::Gap(expected) => return limited(Code::OutOfOrder, "number", known.number, expected),
            }
        }
        let time = match time {
            Some(time) if self.config.accepts_time => time,
            Some(_) => return Slot::Done(Answer::malformed(&Malformed::new(Code::UnknownField, "time"))),
            None => now.max(self.admission.last_time()),
        };
        let reviewed = self.config.policy.review(&self.admission, command, time, by);
        let admitted = reviewed.and_then(|command| Ok((self.admission.admit(&command, time)?, command)));
        match admitted {
            Ok((entry, command)) => {
                self.pending.batch.commands.push(Written::Command { time, command, numbered: numbered.clone() });
                self.pending.batch.entries.push(entry);
                self.take_number(numbered.as_ref());
                self.pending.size = self.pending.size.saturating_add(1);
                Slot::Entry(numbered)
            }
            Err(reject) => {
                let answer = Answer::rejected(&reject, None);
                let Some(numbered) = numbered else { return Slot::Done(answer) };
                let (message, field) = (reject.to_string(), reject.field.to_owned());
                let code = SmolStr::new_static(reject.code.as_str());
                self.pending.batch.commands.push(Written::Refused { numbered: numbered.clone(), code, message, field });
                self.use_number(numbered, answer)
            }
        }
    }

    fn take_number(&mut self, numbered: Option<&Numbered>) {
        if let Some(Numbered { producer, number }) = numbered {
            self.producers.take(producer, *number);
        }
    }

    fn use_number(&mut self, numbered: Numbered, answer: Answer) -> Slot {
        self.take_number(Some(&numbered));
        self.pending.size = self.pending.size.saturating_add(1);
        Slot::Used(numbered, answer)
    }

    /// Lets those who wait be answered with the batch that their slots belong to.
    fn enlist(&mut self, slots: Vec<Slot>) -> oneshot::Receiver<Vec<Answer>> {
        let (reply, answers) = oneshot::channel();
        let waits = slots.iter().any(|slot| matches!(slot, Slot::Entry(_) | Slot::Used(..)));
        let same = slots.iter().any(|slot| matches!(slot, Slot::Same(_)));
        let waiter = Waiter { slots, reply };
        match self.in_flight.back_mut() {
            // The first of a repeated command is still on its way: wait for it.
            _ if waits || (same && self.pending.size > 0) => self.pending.waiters.push(waiter),
            Some(last) if same => last.push(waiter),
            _ => finish(waiter, &mut self.producers, &mut VecDeque::new(), &self.admissions),
        }
        self.dispatch();
        self.admissions.pending(self.pending.size);
        answers
    }

    /// Sends the pending batch on its way, if there is room.
    fn dispatch(&mut self) {
        // While it replays, the journal stands farther than the state.
        let may_begin = self.phase != Phase::Replaying;
        let is_due = may_begin && self.snapshots.is_due();
        if self.in_flight.len() >= IN_FLIGHT_MAX || (self.pending.size == 0 && !is_due) {
            return;
        }
        let Pending { mut batch, waiters, size } = std::mem::take(&mut self.pending);
        if size > 0 {
            self.count_batch();
        }
        // Counting may have made it due.
        batch.snapshot = may_begin && self.snapshots.is_due();
        if batch.snapshot {
            self.snapshots.begin();
        }
        self.in_flight.push_back(waiters);
        if let Err(reason) = self.journal.append(batch) {
            self.halt.halt(reason);
        }
    }
}

impl Actor for Gateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Submit> for Gateway {
    type Result = ResponseFuture<Result<Vec<Answer>, Refusal>>;

    fn handle(&mut self, submit: Submit, _: &mut Self::Context) -> Self::Result {
        self.depth.leave();
        let retry_after_ms = RETRY_AFTER_MS;
        let refusal = match self.phase {
            Phase::Stopping => Some((Refusal::ShuttingDown, "shutting_down")),
            _ if submit.0.len() > SUBMISSION_MAX => Some((Refusal::TooLarge, "too_large")),
            _ if self.pending.size.saturating_add(submit.0.len()) > PENDING_MAX => {
                Some((Refusal::Overloaded { retry_after_ms }, "overloaded"))
            }
            _ if self.config.room.as_ref().is_some_and(|is_left| !is_left()) => {
                Some((Refusal::StorageFull { retry_after_ms }, "storage_full"))
            }
            _ => None,
        };
        if let Some((refusal, code)) = refusal {
            self.admissions.refused(code);
            return Box::pin(async move { Err(refusal) });
        }
        let now = self.now();
        let Submit(reads, by) = submit;
        self.apply_due(now);
        self.pending.batch.reserve(reads.len());
        let slots: Vec<Slot> = reads.into_iter().map(|read| self.place(read, now, &by)).collect();
        let answers = self.enlist(slots);
        Box::pin(async { answers.await.map_err(|_| Refusal::Halted) })
    }
}

/// A batch is applied; its outcomes, in order.
#[derive(Default, Message)]
#[rtype(result = "()")]
pub struct BatchApplied {
    /// By entry.
    pub outcomes: VecDeque<Answer>,
    /// The last command in it, and its time.
    pub last: Option<(Seq, Millis)>,
    /// The state after it, where that is to be written down.
    pub image: Option<Box<Image>>,
}

impl BatchApplied {
    /// Adds what a piece of the batch did.
    pub fn add(&mut self, outcome: &BatchOutcome) {
        self.outcomes.reserve(outcome.entries.len());
        for entry in &outcome.entries {
            self.last = Some((entry.seq, entry.time));
            self.outcomes.push_back(Answer::of(entry));
        }
    }
}

impl Handler<BatchApplied> for Gateway {
    type Result = ();

    fn handle(&mut self, mut applied: BatchApplied, ctx: &mut Self::Context) {
        for waiter in self.in_flight.pop_front().unwrap_or_default() {
            finish(waiter, &mut self.producers, &mut applied.outcomes, &self.admissions);
        }
        if let Some(image) = applied.image {
            self.write_down(*image, ctx.address());
        }
        self.dispatch();
        self.admissions.pending(self.pending.size);
        self.look_for_end();
    }
}

/// Fills the places of a submission and answers it.
fn finish(waiter: Waiter, producers: &mut Producers, outcomes: &mut VecDeque<Answer>, admissions: &Admissions) {
    let mut answers = Vec::with_capacity(waiter.slots.len());
    for slot in waiter.slots {
        answers.push(match slot {
            Slot::Done(answer) => answer,
            Slot::Entry(numbered) => {
                let Some(answer) = outcomes.pop_front() else { unreachable!("an outcome for each entry") };
                if let Some(Numbered { producer, number }) = numbered {
                    producers.answer(&producer, number, answer.clone());
                }
                answer
            }
            Slot::Used(Numbered { producer, number }, answer) => {
                producers.answer(&producer, number, answer.clone());
                answer
            }
            Slot::Same(Numbered { producer, number }) => producers.first_answer(&producer, number),
        });
    }
    for answer in &answers {
        if let Answer::Refused(refused) = answer {
            admissions.refused(refused.code);
        }
    }
    // Whoever asked may be gone.
    let _ = waiter.reply.send(answers);
}

#[cfg(test)]
mod tests;
