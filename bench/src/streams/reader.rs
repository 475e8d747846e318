//! Clients of `/v1/stream`: those that read, and hold every topic to its chain; those that stop reading.

use super::TOPICS;
use crate::Failed;
use crate::daemon::PATIENCE;
use crate::fall;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use tungstenite::{Error, Message, WebSocket};

/// How long a read waits before it is looked whether it is over.
const GLANCE: Duration = Duration::from_millis(100);
/// Bytes of a segment on an ordinary network. Loopback has 64 KiB, and with it the daemon's kernel would take
/// megabytes for a client that does not read.
const SEGMENT: u32 = 1_460;
/// Bytes that the kernel of a client that stops reading takes for it.
const TAKEN: usize = 4 * 1_024;

/// The last event of each topic, once nothing more comes.
pub(super) type Goal = BTreeMap<String, u64>;

/// An open stream.
pub(super) struct Client(WebSocket<TcpStream>);

/// What came of a topic.
#[derive(Debug, Clone, Default)]
pub(super) struct Chain {
    /// What it began after.
    pub(super) after: u64,
    /// The events, in the order in which they came.
    pub(super) events: Vec<u64>,
}

/// What came.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) topics: BTreeMap<String, Chain>,
    /// Topics that began again with a snapshot, as marks may.
    pub(super) anew: u64,
    /// What is wrong with it.
    pub(super) wrong: Option<String>,
    /// Why the daemon ended it, if it did.
    pub(super) ended: Option<String>,
}

/// The topics of a client; each follows the account of a market maker as well.
pub(super) fn topics(place: usize) -> Vec<String> {
    let account = format!("account:{}", fall::maker(place.is_multiple_of(2), place / 2));
    TOPICS.iter().map(|topic| (*topic).to_owned()).chain([account]).collect()
}

impl Client {
    /// Connects and follows topics, from a snapshot on or from an event on. It has read nothing of them.
    pub(super) fn open(api: SocketAddr, topics: &[String], more: &str) -> Result<Self, Failed> {
        let stream = TcpStream::connect_timeout(&api, PATIENCE)?;
        stream.set_nodelay(true)?;
        Self::over(stream, api, topics, more)
    }

    /// The same, over a connection in which little fits that nobody reads.
    pub(super) fn narrow(api: SocketAddr, topics: &[String]) -> Result<Self, Failed> {
        let socket = Socket::new(Domain::for_address(api), Type::STREAM, None)?;
        socket.set_tcp_mss(SEGMENT)?;
        socket.set_recv_buffer_size(TAKEN)?;
        socket.connect_timeout(&api.into(), PATIENCE)?;
        Self::over(socket.into(), api, topics, "")
    }

    fn over(stream: TcpStream, api: SocketAddr, topics: &[String], more: &str) -> Result<Self, Failed> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let address = format!("ws://{api}/v1/stream?topics={}{more}", topics.join(","));
        let (socket, _) = tungstenite::client(address, stream).map_err(|error| format!("no stream: {error}"))?;
        Ok(Self(socket))
    }

    /// Does the daemon still hold its end of the connection? Only Linux says so.
    pub(super) fn is_held(&self, api: SocketAddr) -> Result<bool, Failed> {
        const ESTABLISHED: &str = "01";
        let client = self.0.get_ref().local_addr()?;
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        let port = |address: &str| address.split_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
        Ok(table.lines().any(|line| {
            let mut words = line.split_whitespace().skip(1);
            let ends = [words.next().and_then(port), words.next().and_then(port)];
            ends == [Some(api.port()), Some(client.port())] && words.next() == Some(ESTABLISHED)
        }))
    }

    fn wait(&self, time: Duration) -> Result<(), Failed> {
        Ok(self.0.get_ref().set_read_timeout(Some(time))?)
    }

    /// The next text; none when nothing has come in time. The end of the stream is written down.
    fn next(&mut self, heard: &mut Heard) -> Option<String> {
        match self.0.read() {
            Ok(Message::Text(text)) => Some(text.as_str().to_owned()),
            Ok(Message::Close(reason)) => {
                let reason = reason.map_or_else(|| "without a reason".to_owned(), |frame| frame.reason.to_string());
                heard.ended = Some(reason);
                None
            }
            Ok(_) => None,
            Err(Error::Io(error)) if is_early(&error) => None,
            Err(error) => {
                heard.ended.get_or_insert_with(|| error.to_string());
                None
            }
        }
    }

    /// Reads until every topic has been followed.
    pub(super) fn begin(&mut self, topics: usize) -> Result<Heard, Failed> {
        let mut heard = Heard::default();
        while heard.topics.len() < topics {
            if let Some(text) = self.next(&mut heard) {
                heard.take(&text);
            }
            if let Some(wrong) = heard.wrong.as_ref().or(heard.ended.as_ref()) {
                return Err(format!("a stream does not begin: {wrong}").into());
            }
        }
        Ok(heard)
    }

    /// Reads until everything that is known to be there has come, or the daemon ends it.
    pub(super) fn read(mut self, mut heard: Heard, goal: &OnceLock<(Instant, Goal)>) -> Result<Heard, Failed> {
        self.wait(GLANCE)?;
        loop {
            let text = self.next(&mut heard);
            if let Some(text) = &text {
                heard.take(text);
            } else if let Some((since, goal)) = goal.get() {
                // Nothing more comes, so whatever came twice has come.
                if heard.reaches(goal) || since.elapsed() > PATIENCE {
                    return Ok(heard);
                }
            }
            if heard.wrong.is_some() || heard.ended.is_some() {
                return Ok(heard);
            }
        }
    }

    /// Everything that has happened on topics that are kept.
    pub(super) fn all(api: SocketAddr, topics: &[String]) -> Result<Heard, Failed> {
        let mut client = Self::open(api, topics, "&resume_from=0")?;
        // It is answered when all of them have been told.
        client.0.send(Message::text(r#"{"op":"ping"}"#))?;
        let mut heard = Heard::default();
        loop {
            match client.next(&mut heard) {
                Some(text) if text.contains(r#""type":"pong""#) => return Ok(heard),
                Some(text) => heard.take(&text),
                None => {}
            }
            if let Some(wrong) = heard.wrong.as_ref().or(heard.ended.as_ref()) {
                return Err(format!("the history cannot be read: {wrong}").into());
            }
        }
    }

    /// One that has stopped reading reads what there is after all, to its end.
    pub(super) fn wake(mut self, patience: Duration) -> Result<Heard, Failed> {
        self.wait(GLANCE)?;
        let (mut heard, since) = (Heard::default(), Instant::now());
        while heard.ended.is_none() && heard.wrong.is_none() && since.elapsed() < patience {
            if let Some(text) = self.next(&mut heard) {
                heard.take(&text);
            }
        }
        Ok(heard)
    }
}

/// Has only time passed?
fn is_early(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

/// Topic, number and number before of an event, without reading the event.
fn event(text: &str) -> Option<(&str, u64, u64)> {
    let rest = text.strip_prefix(r#"{"type":"event","topic":""#)?;
    let (topic, rest) = rest.split_once(r#"","seq":"#)?;
    let (seq, rest) = rest.split_once(r#","previous":"#)?;
    let (previous, _) = rest.split_once(',')?;
    Some((topic, seq.parse().ok()?, previous.parse().ok()?))
}

impl Heard {
    fn take(&mut self, text: &str) {
        if let Some((topic, seq, previous)) = event(text) {
            let Some(chain) = self.topics.get_mut(topic) else {
                self.wrong = Some(format!("an event of {topic}, which nobody follows"));
                return;
            };
            let last = chain.last();
            if previous != last || seq <= last {
                self.wrong = Some(format!("{topic}: event {seq} names {previous} before it, but {last} was the last"));
            }
            chain.events.push(seq);
            return;
        }
        let value: Value = serde_json::from_str(text).unwrap_or_default();
        match value.get("type").and_then(Value::as_str) {
            Some("subscribed") => self.follow(&value),
            Some("welcome" | "warning" | "pong") => {}
            _ => self.wrong = Some(format!("unexpected: {text}")),
        }
    }

    fn follow(&mut self, value: &Value) {
        let topic = value.get("topic").and_then(Value::as_str);
        let Some((topic, after)) = topic.zip(value.get("previous").and_then(Value::as_u64)) else {
            self.wrong = Some(format!("followed without a topic or a number: {value}"));
            return;
        };
        let chain = Chain { after, events: Vec::new() };
        if self.topics.insert(topic.to_owned(), chain).is_some() {
            self.anew += 1;
            if topic != super::MARKS {
                self.wrong = Some(format!("{topic} began anew"));
            }
        }
    }

    /// Has every topic come as far?
    fn reaches(&self, goal: &Goal) -> bool {
        self.topics.iter().all(|(topic, chain)| goal.get(topic).is_none_or(|last| chain.last() >= *last))
    }

    /// Everything that was to come has come, and nothing else: no topic that is kept lacks an event or has one more.
    pub(super) fn check(&self, all: &Heard) -> Result<u64, String> {
        if let Some(wrong) = self.wrong.as_ref().or(self.ended.as_ref()) {
            return Err(wrong.clone());
        }
        let mut events = 0;
        for (topic, chain) in &self.topics {
            events += chain.events.len() as u64;
            let Some(kept) = all.topics.get(topic) else { continue };
            let wanted: Vec<u64> = kept.events.iter().copied().filter(|seq| *seq > chain.after).collect();
            if wanted != chain.events {
                return Err(format!("{topic}: {} events came, {} were to come", chain.events.len(), wanted.len()));
            }
        }
        Ok(events)
    }

    /// The last event of each topic.
    pub(super) fn goal(&self) -> Goal {
        self.topics.iter().map(|(topic, chain)| (topic.clone(), chain.last())).collect()
    }
}

impl Chain {
    fn last(&self) -> u64 {
        self.events.last().copied().unwrap_or(self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(texts: &[&str]) -> Heard {
        let mut heard = Heard::default();
        texts.iter().for_each(|text| heard.take(text));
        heard
    }

    const BEGUN: &str = r#"{"type":"subscribed","topic":"adl","resumed":false,"previous":7,"cause":3,"snapshot":null}"#;

    fn told(seq: u64, previous: u64) -> String {
        format!(r#"{{"type":"event","topic":"adl","seq":{seq},"previous":{previous},"event":{{"seq":1}}}}"#)
    }

    #[test]
    fn a_chain_without_a_gap_is_right() {
        let heard = heard(&[BEGUN, &told(9, 7), &told(12, 9)]);
        assert_eq!(heard.wrong, None);
        let all = Chain { after: 0, events: vec![2, 7, 9, 12] };
        let mut history = Heard { topics: [("adl".to_owned(), all)].into(), ..Heard::default() };
        assert_eq!(heard.check(&history), Ok(2));
        history.topics.get_mut("adl").unwrap().events.push(13);
        assert!(heard.check(&history).is_err());
    }

    #[test]
    fn gaps_and_repetitions_are_found() {
        assert!(heard(&[BEGUN, &told(9, 8)]).wrong.is_some());
        assert!(heard(&[BEGUN, &told(9, 7), &told(9, 7)]).wrong.is_some());
        assert!(heard(&[BEGUN, &told(9, 7), &told(9, 9)]).wrong.is_some());
        assert!(heard(&[&told(9, 7)]).wrong.is_some());
        assert!(heard(&[BEGUN, BEGUN]).wrong.is_some());
    }
}
