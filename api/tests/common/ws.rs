//! A client of `/v1/stream` that hides nothing.

#![allow(dead_code, reason = "each test file uses its part")]

use super::common::{Ask, Daemon, PATIENCE};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::time::{Duration, Instant};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, HandshakeError, Message, WebSocket};

/// An open stream.
pub(crate) struct Ws(WebSocket<TcpStream>);

/// What comes over a stream.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A text.
    Said(Value),
    /// The daemon has closed it: code and reason.
    Closed(u16, String),
    /// Nothing within the time to wait.
    Nothing,
}

impl Ws {
    /// Opens a stream with a query and headers; else the status and body of the refusal.
    pub(crate) fn ask(daemon: &Daemon, ask: &Ask) -> Result<Self, (u16, String)> {
        let mut request = format!("ws://{}{}", daemon.api, ask.target).into_client_request().unwrap();
        for (name, value) in &ask.headers {
            let (name, value) = (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            request.headers_mut().insert(name, value);
        }
        match tungstenite::client(request, daemon.connect()) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(HandshakeError::Failure(Error::Http(response))) => {
                let body = response.body().clone().unwrap_or_default();
                Err((response.status().as_u16(), String::from_utf8(body).unwrap()))
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// Opens one that is welcome.
    #[track_caller]
    pub(crate) fn open(daemon: &Daemon, query: &str) -> Self {
        Self::welcomed(daemon, &Ask::get(&format!("/v1/stream{query}")))
    }

    /// Opens one with headers that is welcome.
    #[track_caller]
    pub(crate) fn welcomed(daemon: &Daemon, ask: &Ask) -> Self {
        let mut stream = Self::ask(daemon, ask).unwrap_or_else(|refused| panic!("{refused:?}"));
        let welcome = stream.hear();
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        stream
    }

    /// Sends any message.
    pub(crate) fn send(&mut self, message: Message) {
        self.0.send(message).unwrap();
    }

    /// Sends any message to a stream that may be gone.
    pub(crate) fn try_send(&mut self, message: Message) -> bool {
        self.0.send(message).is_ok()
    }

    /// Asks something.
    pub(crate) fn say(&mut self, ask: &Value) {
        self.send(Message::text(ask.to_string()));
    }

    /// Follows topics.
    pub(crate) fn subscribe(&mut self, topics: &[&str], resume_from: Option<u64>) {
        let mut ask = json!({"op": "subscribe", "topics": topics});
        if let Some(seq) = resume_from {
            ask["resume_from"] = json!(seq);
        }
        self.say(&ask);
    }

    /// The next message, of any kind.
    pub(crate) fn message(&mut self) -> Message {
        self.0.read().unwrap()
    }

    /// What comes next; pings are answered by themselves.
    pub(crate) fn next(&mut self) -> Heard {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Heard::Said(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(frame)) => {
                    let frame = frame.map(|frame| (u16::from(frame.code), frame.reason.to_string()));
                    let (code, reason) = frame.unwrap_or((u16::from(CloseCode::Status), String::new()));
                    return Heard::Closed(code, reason);
                }
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => return Heard::Nothing,
                Err(error) => return Heard::Closed(0, error.to_string()),
            }
        }
    }

    /// The next text.
    #[track_caller]
    pub(crate) fn hear(&mut self) -> Value {
        match self.next() {
            Heard::Said(value) => value,
            other => panic!("{other:?}"),
        }
    }

    /// The next text of a type, whatever else comes before.
    #[track_caller]
    pub(crate) fn hear_of(&mut self, kind: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let heard = self.hear();
            if heard["type"] == kind {
                return heard;
            }
            assert!(Instant::now() < until, "no {kind} comes");
        }
    }

    /// The close, whatever else comes before.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> (u16, String) {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.next() {
                Heard::Closed(code, reason) => return (code, reason),
                Heard::Said(_) => assert!(Instant::now() < until, "it is not closed"),
                Heard::Nothing => panic!("it is not closed"),
            }
        }
    }

    /// Everything that was said up to now: a question is answered after it.
    #[track_caller]
    pub(crate) fn so_far(&mut self) -> Vec<Value> {
        self.say(&json!({"op": "ping"}));
        let mut heard = Vec::new();
        loop {
            match self.hear() {
                pong if pong["type"] == "pong" => return heard,
                other => heard.push(other),
            }
        }
    }

    /// Waits no longer than this for what comes next.
    pub(crate) fn hurry(&mut self, wait: Duration) {
        self.0.get_ref().set_read_timeout(Some(wait)).unwrap();
    }

    /// The bare connection.
    pub(crate) fn connection(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }
}

/// The events that a client has, by topic, and whether each came right after the one before.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Collected(pub(crate) BTreeMap<String, Vec<(u64, Value)>>);

impl Collected {
    /// The last event of a topic.
    pub(crate) fn last(&self, topic: &str) -> u64 {
        self.0.get(topic).and_then(|events| events.last()).map_or(0, |(seq, _)| *seq)
    }

    /// Takes a message, if it is an event; it must follow what is there.
    #[track_caller]
    pub(crate) fn take(&mut self, message: &Value) {
        if message["type"] != "event" {
            assert_ne!(message["type"], "error", "{message}");
            return;
        }
        let topic = message["topic"].as_str().unwrap();
        let (seq, previous) = (message["seq"].as_u64().unwrap(), message["previous"].as_u64().unwrap());
        assert_eq!(message["event"]["seq"], seq, "{message}");
        assert_eq!(previous, self.last(topic), "right after the one before: {message}");
        assert!(seq > previous, "{message}");
        self.0.entry(topic.to_owned()).or_default().push((seq, message["event"].clone()));
    }

    /// All events of topics from the beginning, as the history has them now.
    #[track_caller]
    pub(crate) fn all(stream: &mut Ws, topics: &[&str]) -> Self {
        let mut whole = Self::default();
        stream.subscribe(topics, Some(0));
        stream.so_far().iter().for_each(|message| whole.take(message));
        whole
    }

    /// The events of a topic.
    pub(crate) fn of(&self, topic: &str) -> Vec<Value> {
        self.0.get(topic).into_iter().flatten().map(|(_, event)| event.clone()).collect()
    }
}
