//! A numbered producer: sends, remembers every first answer, and after a crash asks again and compares.

use super::workload::{self, Draw};
use crate::daemon::PATIENCE;
use crate::http::{Connection, Reply};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What must not be. The text says what was expected and what was there.
pub(super) type Violation = String;

/// Bytes on their way at once: answers to more might fill the socket while nobody reads.
const FLIGHT_BYTES: usize = 192 * 1024;
/// Whole answers remembered, to show when one differs.
const SHOWN: usize = 4_096;
/// Answers asked for again after a restart: so many of the latest, and as many at random.
const ASKED_AGAIN: u64 = 24;
/// Bodies turned away one after the other, after which a producer gives up for this time.
const TURNED_AWAY_MAX: u64 = 40;

/// How long a daemon that stops by itself may take from closing its connections to its exit.
const LAST_WORDS: Duration = Duration::from_secs(15);

/// What the producers must know of the daemon.
#[derive(Default)]
pub(super) struct Control {
    /// Send no more.
    pub(super) stop: AtomicBool,
    /// The daemon is about to end: a lost connection is no surprise.
    pub(super) down: AtomicBool,
}

/// The first answer to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    digest: u64,
    /// Its place; 0 when it was refused without one.
    seq: u64,
}

/// What a producer has seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    /// Numbers answered.
    pub(super) answered: u64,
    /// Of these, refused.
    pub(super) refused: u64,
    /// Numbers that were taken although their answer never arrived.
    pub(super) recovered: u64,
    /// Answers asked for again, and the same.
    pub(super) repeated: u64,
    /// Bodies turned away, by code.
    pub(super) turned_away: BTreeMap<String, u64>,
}

/// One producer, across all lives of the daemon on one directory.
pub(super) struct Producer {
    index: u64,
    seed: u64,
    draw: Draw,
    outcomes: Vec<Outcome>,
    latest: VecDeque<String>,
    sent: u64,
    fresh: usize,
    pub(super) tally: Tally,
}

fn digest(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn code(answer: &Value) -> &str {
    answer.get("code").and_then(Value::as_str).unwrap_or_default()
}

fn read(line: &str) -> Result<Value, Violation> {
    serde_json::from_str(line).map_err(|error| format!("an answer is not JSON: {error}: {line}"))
}

/// A body's answers, one a line.
fn lines(reply: &Reply, wanted: usize) -> Result<Vec<&str>, Violation> {
    let lines: Vec<&str> = reply.body.lines().collect();
    if reply.status != 200 || lines.len() != wanted {
        return Err(format!("{wanted} commands got status {} and {} answers", reply.status, lines.len()));
    }
    Ok(lines)
}

impl Producer {
    /// Number 1 is its next.
    pub(super) fn new(seed: u64, index: u64) -> Self {
        let draw = Draw::new(seed, 1_000 + index, 0);
        let (outcomes, latest, tally) = (Vec::new(), VecDeque::new(), Tally::default());
        Self { index, seed, draw, outcomes, latest, sent: 0, fresh: 0, tally }
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        format!("p{}", self.index)
    }

    /// Numbers answered.
    fn answered(&self) -> u64 {
        self.outcomes.len() as u64
    }

    /// Numbers with their places, all of them.
    pub(super) fn places(&self) -> impl Iterator<Item = (u64, u64)> {
        self.outcomes
            .iter()
            .zip(1..)
            .filter(|(outcome, _)| outcome.seq > 0)
            .map(|(outcome, number)| (number, outcome.seq))
    }

    /// Those answered since this was last asked.
    pub(super) fn fresh(&mut self) -> Vec<(u64, u64)> {
        let from = std::mem::replace(&mut self.fresh, self.outcomes.len()) as u64;
        self.places().filter(|(number, _)| *number > from).collect()
    }

    fn command(&self, number: u64) -> String {
        workload::command(self.seed, self.index, number)
    }

    fn body(&self, numbers: impl Iterator<Item = u64>) -> String {
        numbers.map(|number| self.command(number) + "\n").collect()
    }

    /// Takes an answer. False when the number got none: it comes before one that is missing.
    fn take(&mut self, number: u64, line: &str) -> Result<bool, Violation> {
        let answer = read(line)?;
        let (name, answered) = (self.name(), self.answered());
        if code(&answer) == "out_of_order" {
            return match number <= answered {
                true => Err(format!("{name}: number {number} was answered before, and is now out of order: {line}")),
                false => Ok(false),
            };
        }
        let seq = answer.get("seq").and_then(Value::as_u64).unwrap_or(0);
        let outcome = Outcome { digest: digest(line), seq };
        if number <= answered {
            let place = usize::try_from(number - 1).unwrap_or(usize::MAX);
            let first = self.outcomes.get(place).copied();
            self.tally.repeated += 1;
            if first == Some(outcome) {
                return Ok(true);
            }
            let back = usize::try_from(answered - number).unwrap_or(usize::MAX);
            let shown = self.latest.iter().rev().nth(back).map_or("(forgotten)", String::as_str);
            return Err(format!("{name}: number {number} was first answered {shown} and is now answered {line}"));
        }
        if number > answered + 1 {
            return Err(format!("{name}: number {number} was taken, but {} was not: {line}", answered + 1));
        }
        self.outcomes.push(outcome);
        self.latest.push_back(line.to_owned());
        if self.latest.len() > SHOWN {
            self.latest.pop_front();
        }
        self.tally.answered += 1;
        self.tally.refused += u64::from(!code(&answer).is_empty());
        Ok(true)
    }

    /// Takes the answers of a body. False when some must be sent again.
    fn take_all(&mut self, first: u64, last: u64, reply: &Reply) -> Result<bool, Violation> {
        if reply.status != 200 {
            let code = format!("{} {}", reply.status, reply.code());
            *self.tally.turned_away.entry(code).or_default() += 1;
            return Ok(false);
        }
        let wanted = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        let mut whole = true;
        for (number, line) in (first..=last).zip(lines(reply, wanted)?) {
            whole &= self.take(number, line)?;
        }
        Ok(whole)
    }

    /// Commands of the next body: mostly one, sometimes hundreds.
    fn size(&mut self) -> u64 {
        match self.draw.below(100) {
            0..75 => 1,
            75..96 => self.draw.within(2, 20),
            _ => self.draw.within(50, 300),
        }
    }

    /// Sends until told to stop, until the connection is lost, or until it is turned away too often.
    pub(super) fn traffic(&mut self, api: SocketAddr, control: &Control) -> Result<(), Violation> {
        match self.send(api, control) {
            Ok(done) => done,
            Err(error) => {
                // The one who ends the daemon says so before. One that ends by itself may close its connections first.
                let since = Instant::now();
                while since.elapsed() < LAST_WORDS {
                    if control.down.load(Ordering::SeqCst) {
                        return Ok(());
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(format!("{}: the connection was lost though nobody ended the daemon: {error}", self.name()))
            }
        }
    }

    fn send(&mut self, api: SocketAddr, control: &Control) -> std::io::Result<Result<(), Violation>> {
        let mut connection = Connection::open(api, PATIENCE)?;
        let (mut flight, mut bytes) = (VecDeque::new(), 0);
        let (mut next, mut window, mut whole, mut away) = (self.answered() + 1, 1, true, 0);
        loop {
            let stopping = control.stop.load(Ordering::SeqCst) || away > TURNED_AWAY_MAX;
            while !stopping && whole && flight.len() < window && bytes < FLIGHT_BYTES {
                let last = next + self.size() - 1;
                let body = self.body(next..=last);
                self.sent = self.sent.max(last);
                flight.push_back((next, last, body.len()));
                bytes += body.len();
                connection.requests.commands(&body)?;
                next = last + 1;
            }
            let Some((first, last, length)) = flight.pop_front() else {
                if stopping {
                    return Ok(Ok(()));
                }
                // Nothing is on its way: a moment's thought, and on from the first number without an answer.
                let pause = if whole { self.draw.below(4_000) } else { 10_000 };
                std::thread::sleep(Duration::from_micros(pause));
                (next, whole, window) =
                    (self.answered() + 1, true, usize::try_from(self.draw.within(1, 6)).unwrap_or(1));
                if self.draw.below(20) == 0
                    && let Err(violation) = self.send_twice(&mut connection, api)?
                {
                    return Ok(Err(violation));
                }
                next = next.max(self.answered() + 1);
                continue;
            };
            let reply = connection.replies.next()?;
            bytes -= length;
            away = if reply.status == 200 { 0 } else { away + 1 };
            match self.take_all(first, last, &reply) {
                Ok(taken) => whole &= taken,
                Err(violation) => return Ok(Err(violation)),
            }
        }
    }

    /// The same body on two connections at once: one of them is the first, and both get its answers.
    fn send_twice(&mut self, connection: &mut Connection, api: SocketAddr) -> std::io::Result<Result<(), Violation>> {
        let mut other = Connection::open(api, PATIENCE)?;
        let first = self.answered() + 1;
        let last = first + self.draw.below(10);
        let body = self.body(first..=last);
        self.sent = self.sent.max(last);
        connection.requests.commands(&body)?;
        other.requests.commands(&body)?;
        for reply in [connection.replies.next()?, other.replies.next()?] {
            if let Err(violation) = self.take_all(first, last, &reply) {
                return Ok(Err(violation));
            }
        }
        Ok(Ok(()))
    }

    /// After a restart: nothing answered may be forgotten, and everything asked for again must be as it was.
    pub(super) fn reconcile(&mut self, api: SocketAddr) -> Result<(), Violation> {
        let name = self.name();
        let lost = |error: std::io::Error| format!("{name}: the connection was lost while asking again: {error}");
        let mut connection = Connection::open(api, PATIENCE).map_err(lost)?;
        let expected = self.expected(&mut connection)?;
        let (answered, sent) = (self.answered(), self.sent);
        if expected <= answered {
            return Err(format!("{name}: number {answered} was acknowledged, and now {expected} is expected"));
        }
        if expected > sent + 1 {
            return Err(format!("{name}: no more than {sent} was ever sent, and now {expected} is expected"));
        }
        // Taken, though the answer never arrived.
        while self.answered() + 1 < expected {
            let (first, last) = (self.answered() + 1, (self.answered() + 500).min(expected - 1));
            let reply = connection.commands(&self.body(first..=last)).map_err(lost)?;
            if !self.take_all(first, last, &reply)? {
                return Err(format!("{name}: {expected} was expected, yet not all before it have an outcome"));
            }
            self.tally.recovered += last - first + 1;
        }
        let answered = self.answered();
        let mut again: Vec<u64> = (answered.saturating_sub(ASKED_AGAIN) + 1..=answered).collect();
        again.extend((0..ASKED_AGAIN).map(|_| answered - self.draw.below(answered.min(SHOWN as u64))));
        again.retain(|number| (1..=answered).contains(number));
        if again.is_empty() {
            return Ok(());
        }
        let reply = connection.commands(&self.body(again.iter().copied())).map_err(lost)?;
        for (number, line) in again.iter().zip(lines(&reply, again.len())?) {
            self.take(*number, line)?;
        }
        Ok(())
    }

    /// The number the daemon expects next, as its refusal of a gap says.
    fn expected(&self, connection: &mut Connection) -> Result<u64, Violation> {
        let name = self.name();
        let far = workload::numbered(r#"{"type":"tick"}"#, &name, self.sent + 1_000_000);
        let reply = connection.commands(&far).map_err(|error| format!("{name}: the connection was lost: {error}"))?;
        let answers = lines(&reply, 1)?;
        let line = answers.first().copied().unwrap_or_default();
        let answer = read(line)?;
        let message = answer.get("message").and_then(Value::as_str).unwrap_or_default();
        let told = message.rsplit(' ').next().and_then(|word| word.parse().ok());
        told.filter(|_| code(&answer) == "out_of_order").ok_or_else(|| format!("{name}: a gap was answered {line}"))
    }
}

#[cfg(test)]
#[path = "producer_tests.rs"]
mod tests;
