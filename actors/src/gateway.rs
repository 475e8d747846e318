//! The gateway: gives every command its place, gathers batches, and answers when a batch is kept and applied.
//!
//! While one batch is on its way the next gathers: load decides how large a batch is, no timer does. Above a bound new
//! commands are turned away; it never queues without one.

mod producers;

use crate::halt::{DeathWatch, HaltSender};
use crate::journal::{AppendBatch, JournalHandle, Record, Written};
use crate::station::Depth;
use crate::telemetry::Admissions;
use actix::{Actor, Addr, ArbiterHandle, AsyncContext, Context, Handler, Message, ResponseFuture};
use backstop_engine::admission::Admission;
use backstop_engine::command::{Command, Envelope};
use backstop_engine::decode::Malformed;
use backstop_engine::event::{Event, Fact};
use backstop_engine::flow::BatchOutcome;
use backstop_engine::id::{Millis, Seq};
use backstop_engine::instruction::Entry;
use backstop_engine::reject::{Code, Reject};
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
    /// The daemon has stopped taking commands.
    #[error("the daemon is stopping")]
    Halted,
}

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Kept and applied.
    Accepted {
        /// Its place.
        seq: Seq,
        /// Its time.
        time: Millis,
        /// What it did, where that is the command's result and not the state's: entries of the fund, settlements.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        events: Vec<Event>,
    },
    /// Refused: nothing has changed.
    Refused {
        /// The stable code.
        code: &'static str,
        /// One sentence.
        message: String,
        /// The field.
        field: String,
        /// Its place, where it got as far as taking one.
        #[serde(skip_serializing_if = "Option::is_none")]
        seq: Option<Seq>,
    },
}

impl Answer {
    fn malformed(malformed: &Malformed) -> Self {
        Self::Refused {
            code: malformed.code.as_str(),
            message: malformed.message.clone(),
            field: malformed.field.clone(),
            seq: None,
        }
    }

    fn rejected(reject: &Reject, seq: Option<Seq>) -> Self {
        Self::Refused { code: reject.code.as_str(), message: reject.to_string(), field: reject.field.to_owned(), seq }
    }
}

/// One command of a submission: read, or refused already.
pub type Read = Result<Envelope, Malformed>;

#[derive(Message)]
#[rtype(result = "Result<Vec<Answer>, Refusal>")]
struct Submit(Vec<Read>);

/// The way to the gateway. Cheap to clone.
#[derive(Clone)]
pub struct GatewayHandle {
    addr: Addr<Gateway>,
    depth: Depth,
}

impl GatewayHandle {
    /// Starts the gateway on an arbiter, in front of a journal.
    pub fn start(config: GatewayConfig, journal: JournalHandle, halt: HaltSender, place: &ArbiterHandle) -> Self {
        let depth = Depth::default();
        let counted = depth.clone();
        let addr = Gateway::start_in_arbiter(place, move |_| Gateway::new(config, journal, counted, halt));
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
        self.depth.enter();
        self.addr.send(Submit(commands)).await.unwrap_or(Err(Refusal::Halted))
    }
}

/// What stands at a place of a submission until its batch is applied.
enum Slot {
    Done(Answer),
    /// The next entry of the batch, and the number it was given by its producer.
    Entry(Option<(SmolStr, u64)>),
    /// The answer to a command whose number was given before.
    Same(SmolStr, u64),
}

struct Waiter {
    slots: Vec<Slot>,
    reply: oneshot::Sender<Vec<Answer>>,
}

#[derive(Default)]
struct Batch {
    written: Vec<Written>,
    entries: Vec<Entry>,
    waiters: Vec<Waiter>,
}

/// How the gateway works.
#[derive(Clone)]
pub struct GatewayConfig {
    /// May a command bring its own time? For scenarios and demos; a venue's commands get the gateway's.
    pub accepts_time: bool,
    /// Emits a tick so often; none when a scenario writes its own.
    pub mark_interval: Option<Duration>,
    /// The clock.
    pub clock: Arc<dyn Fn() -> Millis + Send + Sync>,
}

/// The actor that owns the order of commands.
pub struct Gateway {
    config: GatewayConfig,
    admission: Admission,
    producers: Producers,
    journal: JournalHandle,
    depth: Depth,
    pending: Batch,
    in_flight: VecDeque<Vec<Waiter>>,
    admissions: Admissions,
    halt: HaltSender,
    _watch: DeathWatch,
}

impl Gateway {
    fn new(config: GatewayConfig, journal: JournalHandle, depth: Depth, halt: HaltSender) -> Self {
        let watch = halt.watch("gateway");
        Self {
            config,
            admission: Admission::default(),
            producers: Producers::default(),
            journal,
            depth,
            pending: Batch::default(),
            in_flight: VecDeque::new(),
            admissions: Admissions::default(),
            halt,
            _watch: watch,
        }
    }

    fn now(&self) -> Millis {
        (self.config.clock)().max(self.admission.last_time())
    }

    /// Gives a command its place in the pending batch.
    fn place(&mut self, read: Read) -> Slot {
        let envelope = match read {
            Ok(envelope) => envelope,
            Err(malformed) => return Slot::Done(Answer::malformed(&malformed)),
        };
        let numbered = envelope.producer.clone().zip(envelope.number);
        if let Some((producer, number)) = &numbered {
            match self.producers.look_up(producer, *number) {
                Known::Next => {}
                Known::Before => return Slot::Same(producer.clone(), *number),
                Known::Crowd(most) => {
                    let most = u64::try_from(most).unwrap_or(u64::MAX);
                    let reject =
                        Reject::limit(Code::OutOfRange, "producer", most.saturating_add(1).into(), most.into());
                    return Slot::Done(Answer::rejected(&reject, None));
                }
                Known::Gap(expected) => {
                    let reject = Reject::limit(Code::OutOfOrder, "number", (*number).into(), expected.into());
                    return Slot::Done(Answer::rejected(&reject, None));
                }
            }
        }
        let time = match envelope.time {
            Some(time) if self.config.accepts_time => time,
            Some(_) => return Slot::Done(Answer::malformed(&Malformed::new(Code::UnknownField, "time"))),
            None => self.now(),
        };
        match self.admission.admit(&envelope.command, time) {
            Ok(entry) => {
                self.pending.written.push(Written { seq: entry.seq, time, command: envelope.command });
                self.pending.entries.push(entry);
                if let Some((producer, number)) = &numbered {
                    self.producers.take(producer, *number, None);
                }
                Slot::Entry(numbered)
            }
            Err(reject) => {
                let answer = Answer::rejected(&reject, None);
                if let Some((producer, number)) = &numbered {
                    self.producers.take(producer, *number, Some(answer.clone()));
                }
                Slot::Done(answer)
            }
        }
    }

    /// Sends the pending batch on its way, if there is room.
    fn dispatch(&mut self) {
        if self.in_flight.len() >= IN_FLIGHT_MAX || self.pending.entries.is_empty() {
            return;
        }
        let Batch { written, entries, waiters } = std::mem::take(&mut self.pending);
        self.in_flight.push_back(waiters);
        if let Err(reason) = self.journal.append(AppendBatch { record: Record { commands: written }, entries }) {
            self.halt.halt(reason);
        }
    }
}

impl Actor for Gateway {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        if let Some(interval) = self.config.mark_interval {
            ctx.run_interval(interval, |gateway, _| {
                let tick = Envelope { command: Command::Tick, time: None, producer: None, number: None };
                // A tick that has not left yet will see everything this one would.
                if gateway.pending.entries.last().is_none_or(|last| last.instruction != TICK) {
                    gateway.place(Ok(tick));
                    gateway.dispatch();
                }
            });
        }
    }
}

const TICK: backstop_engine::instruction::Instruction = backstop_engine::instruction::Instruction::Tick;

impl Handler<Submit> for Gateway {
    type Result = ResponseFuture<Result<Vec<Answer>, Refusal>>;

    fn handle(&mut self, submit: Submit, _: &mut Self::Context) -> Self::Result {
        self.depth.leave();
        if submit.0.len() > SUBMISSION_MAX {
            self.admissions.refused("too_large");
            return Box::pin(async { Err(Refusal::TooLarge) });
        }
        if self.pending.entries.len().saturating_add(submit.0.len()) > PENDING_MAX {
            self.admissions.refused("overloaded");
            return Box::pin(async { Err(Refusal::Overloaded { retry_after_ms: RETRY_AFTER_MS }) });
        }
        let slots: Vec<Slot> = submit.0.into_iter().map(|read| self.place(read)).collect();
        let (reply, answers) = oneshot::channel();
        let waits = slots.iter().any(|slot| matches!(slot, Slot::Entry(_)));
        let waiter = Waiter { slots, reply };
        let same = waiter.slots.iter().any(|slot| matches!(slot, Slot::Same(..)));
        match (waits || !self.pending.entries.is_empty(), self.in_flight.back_mut()) {
            (true, _) if waits || same => self.pending.waiters.push(waiter),
            // The first of a repeated command is still on its way: wait for it.
            (false, Some(last)) if same => last.push(waiter),
            _ => finish(waiter, &mut self.producers, &mut VecDeque::new(), &self.admissions),
        }
        self.dispatch();
        self.admissions.pending(self.pending.entries.len());
        Box::pin(async { answers.await.map_err(|_| Refusal::Halted) })
    }
}

/// A batch is applied; its outcomes, in order.
#[derive(Debug, Default, Message)]
#[rtype(result = "()")]
pub struct BatchApplied {
    /// By entry.
    pub outcomes: VecDeque<Answer>,
    /// The last command in it.
    pub last_seq: Seq,
    /// Its time.
    pub last_time: Millis,
}

impl BatchApplied {
    /// Adds what a piece of the batch did.
    pub fn add(&mut self, outcome: &BatchOutcome) {
        for entry in &outcome.entries {
            self.last_seq = entry.seq;
            self.last_time = entry.time;
            let answer = match entry.result {
                Ok(()) => {
                    let events = entry.events.iter().filter(|event| is_result(&event.fact)).cloned().collect();
                    Answer::Accepted { seq: entry.seq, time: entry.time, events }
                }
                Err(reject) => Answer::rejected(&reject, Some(entry.seq)),
            };
            self.outcomes.push_back(answer);
        }
    }
}

/// Is the fact the result of the command that caused it, and not of the state it met (as everything a tick does)?
fn is_result(fact: &Fact) -> bool {
    matches!(fact, Fact::FundEntry(entry) if entry.liquidation.is_none())
}

impl Handler<BatchApplied> for Gateway {
    type Result = ();

    fn handle(&mut self, mut applied: BatchApplied, _: &mut Self::Context) {
        for waiter in self.in_flight.pop_front().unwrap_or_default() {
            finish(waiter, &mut self.producers, &mut applied.outcomes, &self.admissions);
        }
        self.dispatch();
        self.admissions.pending(self.pending.entries.len());
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
                if let Some((producer, number)) = numbered {
                    producers.answer(&producer, number, answer.clone());
                }
                answer
            }
            Slot::Same(producer, number) => producers.first_answer(&producer, number),
        });
    }
    for answer in &answers {
        if let Answer::Refused { code, .. } = answer {
            admissions.refused(code);
        }
    }
    // Whoever asked may be gone.
    let _ = waiter.reply.send(answers);
}
