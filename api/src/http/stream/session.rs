//! One open stream: what its client asks, what it is told, and when it is cut.

use super::ask::{self, Ask};
use super::topic::Topic;
use crate::http::Api;
use crate::http::auth::Caller;
use crate::http::problem::{Kind, Problem};
use actix_ws::{CloseCode, CloseReason, Message, MessageStream, Session};
use backstop_actors::conductor::{Answer, Answered, Query};
use backstop_actors::history::{self, About, Look};
use backstop_actors::publisher::{Read, Told};
use backstop_actors::telemetry;
use backstop_engine::id::{AccountId, Seq};
use backstop_engine::view::AccountView;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How long a stream waits for more when the daemon ends.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// Events that are read from the history at once.
const PAGE: usize = 500;
/// Messages that a client may send within ten seconds.
const ASKS: usize = 200;

/// Why a stream ends.
enum End {
    /// The client has gone.
    Gone,
    /// It is cut, and told why.
    Cut(CloseCode, &'static str),
}

/// A topic that is followed.
struct Followed {
    events: history::Topic,
    /// The last event of it that the client has, or had before its snapshot.
    previous: u64,
    /// Of an account: what it was last told of its places.
    places: Option<Vec<Place>>,
}

/// Where a position stands in the queue of deleveraging: market, leg and class.
type Place = (String, String, Option<u8>);

struct Stream {
    api: Api,
    caller: Caller,
    session: Session,
    followed: BTreeMap<Topic, Followed>,
    slow: Duration,
    /// Has it been busy with what came before? Then it may have missed what came meanwhile, and finds it in the history.
    behind: bool,
    /// Topics that were asked for since they were last counted.
    asks: usize,
}

/// Serves a stream to its end.
pub(super) async fn run(
    api: Api,
    caller: Caller,
    session: Session,
    messages: MessageStream,
    topics: Vec<Topic>,
    resume_from: Option<u64>,
) {
    let slow = Duration::from_millis(api.streams.limits.slow_ms);
    let mut stream = Stream { api, caller, session, followed: BTreeMap::new(), slow, behind: false, asks: 0 };
    let Err(end) = stream.serve(messages, topics, resume_from).await;
    if let End::Cut(code, reason) = end {
        telemetry::stream_cut(reason);
        let reason = CloseReason { code, description: Some(reason.to_owned()) };
        // Whoever does not read will not read this either.
        let _ = timeout(Duration::from_secs(1), stream.session.close(Some(reason))).await;
    }
}

impl Stream {
    async fn serve(
        &mut self,
        mut messages: MessageStream,
        topics: Vec<Topic>,
        resume_from: Option<u64>,
    ) -> Result<std::convert::Infallible, End> {
        let limits = self.api.streams.limits.clone();
        let every = |ms: u64| {
            let mut ticks = interval(Duration::from_millis(ms));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut pings, mut looks) = (every(limits.ping_ms), every(limits.account_ms));
        let (mut phase, mut heard) = (self.api.phase.watch(), Instant::now());
        let mut asked: VecDeque<Instant> = VecDeque::new();
        let mut told = self.api.topology.publisher.listen();
        let answered = self.ask(Query::Marks).await.map_err(|_| End::Cut(CloseCode::Away, Kind::Halted.code()))?;
        let (seq, events, time) = (answered.seq, answered.events, answered.time);
        self.say(&json!({ "type": "welcome", "seq": events, "cause": seq, "time": time })).await?;
        if !topics.is_empty() {
            self.follow(topics, resume_from).await?;
        }
        loop {
            tokio::select! {
                message = messages.next() => {
                    heard = Instant::now();
                    // A message counts once, and once for each topic that it asked for.
                    let asks = std::mem::take(&mut self.asks).saturating_add(1);
                    asked.extend(std::iter::repeat_n(heard, asks));
                    while asked.front().is_some_and(|at| heard.duration_since(*at) > Duration::from_secs(10)) {
                        asked.pop_front();
                    }
                    if asked.len() > ASKS {
                        return Err(End::Cut(CloseCode::Policy, Kind::RateLimited.code()));
                    }
                    self.hear(message).await?;
                    // Whoever has read all of it was there all the while.
                    heard = Instant::now();
                }
                batch = told.recv() => match batch {
                    Ok(batch) => {
                        self.tell(&batch).await?;
                        self.behind &= !told.is_empty();
                    }
                    Err(RecvError::Lagged(_)) if self.behind => {
                        self.catch_up().await?;
                        heard = Instant::now();
                    }
                    Err(RecvError::Lagged(_)) => return Err(End::Cut(CloseCode::Policy, "slow_reader")),
                    Err(RecvError::Closed) => return Err(End::Cut(CloseCode::Away, Kind::ShuttingDown.code())),
                },
                _ = pings.tick() => {
                    if heard.elapsed() > Duration::from_millis(limits.ping_ms.saturating_mul(2)) {
                        return Err(End::Cut(CloseCode::Policy, "no_answer"));
                    }
                    let sent = timeout(self.slow, self.session.ping(b"")).await;
                    sent.map_err(|_| End::Cut(CloseCode::Policy, "slow_reader"))?.map_err(|_| End::Gone)?;
                }
                _ = looks.tick() => {
                    if !self.api.keys.hold(&self.caller) {
                        return Err(End::Cut(CloseCode::Policy, Kind::InvalidCredentials.code()));
                    }
                    self.warn().await?;
                }
                stopping = phase.wait_for(|phase| phase.is_stopping()) => {
                    drop(stopping);
                    // What was taken before the end is applied, and told.
                    while let Ok(Ok(batch)) = timeout(LAST_WORDS, told.recv()).await {
                        self.tell(&batch).await?;
                    }
                    return Err(End::Cut(CloseCode::Away, Kind::ShuttingDown.code()));
                }
            }
        }
    }

    /// Sends a text; whoever does not take it in time is cut.
    async fn send(&mut self, text: String) -> Result<(), End> {
        match timeout(self.slow, self.session.text(text)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(End::Cut(CloseCode::Policy, "slow_reader")),
        }
    }

    async fn say(&mut self, value: &Value) -> Result<(), End> {
        self.send(value.to_string()).await
    }

    async fn refuse(&mut self, problem: &Problem) -> Result<(), End> {
        let mut told = serde_json::to_value(problem).unwrap_or_default();
        if let Value::Object(fields) = &mut told {
            // Here the type says what kind of message it is; the page of the problem is named beside it.
            if let Some(page) = fields.insert("type".to_owned(), "error".into()) {
                fields.insert("page".to_owned(), page);
            }
        }
        self.say(&told).await
    }

    async fn hear(&mut self, message: Option<Result<Message, actix_ws::ProtocolError>>) -> Result<(), End> {
        let ask = match message {
            None | Some(Ok(Message::Close(_))) => return Err(End::Gone),
            Some(Err(_)) => return Err(End::Cut(CloseCode::Protocol, Kind::Malformed.code())),
            Some(Ok(Message::Ping(bytes))) => {
                let sent = timeout(self.slow, self.session.pong(&bytes)).await;
                return sent.map_err(|_| End::Cut(CloseCode::Policy, "slow_reader"))?.map_err(|_| End::Gone);
            }
            Some(Ok(Message::Text(text))) => Ask::read(&text),
            Some(Ok(Message::Binary(_) | Message::Continuation(_))) => {
                Err(Problem::new(Kind::Malformed, "send whole texts"))
            }
            Some(Ok(Message::Pong(_) | Message::Nop)) => return Ok(()),
        };
        match ask {
            Ok(Ask::Ping) => self.say(&json!({ "type": "pong" })).await,
            Ok(Ask::Subscribe { topics, resume_from }) => match ask::topics(&topics) {
                Ok(topics) => self.follow(topics, resume_from).await,
                Err(problem) => self.refuse(&problem).await,
            },
            Ok(Ask::Unsubscribe { topics }) => match ask::topics(&topics) {
                Ok(topics) => {
                    for topic in topics {
                        self.followed.remove(&topic);
                        self.say(&json!({ "type": "unsubscribed", "topic": topic.to_string() })).await?;
                    }
                    Ok(())
                }
                Err(problem) => self.refuse(&problem).await,
            },
            Ok(shown @ Ask::Authenticate { .. }) => match ask::caller(&self.api, shown) {
                Ok(caller) => {
                    self.caller = caller;
                    self.say(&json!({ "type": "authenticated", "key": self.caller.name() })).await
                }
                Err(problem) => self.refuse(&problem).await,
            },
            Err(problem) => self.refuse(&problem).await,
        }
    }

    /// Follows topics: after an event where it is known what came since, else from a snapshot on.
    async fn follow(&mut self, topics: Vec<Topic>, resume_from: Option<u64>) -> Result<(), End> {
        let most = self.api.streams.limits.topics;
        // Each is followed once, however often it is named.
        let topics: BTreeSet<Topic> = topics.into_iter().take(most.saturating_add(1)).collect();
        for topic in topics {
            self.asks = self.asks.saturating_add(1);
            let allowed = match topic.allows(&self.caller) {
                Ok(()) if self.followed.len() >= most && !self.followed.contains_key(&topic) => {
                    Err(Problem::new(Kind::TooManyStreams, format!("{most} topics are followed already")))
                }
                allowed => allowed,
            };
            let done = match (allowed, resume_from.filter(|_| topic.is_kept())) {
                (Err(problem), _) => Err(problem),
                (Ok(()), Some(after)) => self.resume(&topic, after).await?,
                (Ok(()), None) => self.begin(&topic).await?,
            };
            if let Err(problem) = done {
                self.drop_topic(&topic, problem).await?;
            }
        }
        Ok(())
    }

    /// Follows a topic no more, and says why: what comes next would hide that something is missing.
    async fn drop_topic(&mut self, topic: &Topic, problem: Problem) -> Result<(), End> {
        self.followed.remove(topic);
        self.refuse(&problem.field(topic.to_string())).await
    }

    /// Tells what came on a topic after an event. What happens meanwhile is told live afterwards, or found here.
    async fn resume(&mut self, topic: &Topic, after: u64) -> Result<Result<(), Problem>, End> {
        let mut last = self.api.progress().events;
        if after > last {
            // What has been applied may be known before it is told.
            match self.ask(Query::Marks).await {
                Ok(answered) => last = answered.events,
                Err(problem) => return Ok(Err(problem)),
            }
        }
        if after > last {
            let detail = format!("there is no event {after} yet, the last is {last}");
            return Ok(Err(Problem::new(Kind::OutOfRange, detail)));
        }
        let events = topic.events();
        self.followed.insert(topic.clone(), Followed { events: events.clone(), previous: after, places: None });
        self.say(&json!({ "type": "subscribed", "topic": topic.to_string(), "resumed": true, "previous": after }))
            .await?;
        self.read_on(topic).await
    }

    /// Tells what the history has of a topic after what the client has.
    async fn read_on(&mut self, topic: &Topic) -> Result<Result<(), Problem>, End> {
        self.behind = true;
        while let Some(followed) = self.followed.get(topic) {
            let look = Look::Events(vec![followed.events.clone()]);
            let read = Read { look, after: followed.previous, limit: PAGE };
            let (_, items, more) = match self.api.topology.publisher.read(read).await.map_err(Problem::from) {
                Ok(Ok(page)) => page,
                Ok(Err(error)) => return Ok(Err(error.into())),
                Err(problem) => return Ok(Err(problem)),
            };
            for item in items {
                self.event(topic, item.number, item.body.get()).await?;
            }
            if !more {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// Finds what was missed while it was busy: in the history, or where that is not kept, with a new snapshot.
    async fn catch_up(&mut self) -> Result<(), End> {
        let topics: Vec<Topic> = self.followed.keys().cloned().collect();
        for topic in topics {
            let done = if topic.is_kept() { self.read_on(&topic).await? } else { self.begin(&topic).await? };
            if let Err(problem) = done {
                self.drop_topic(&topic, problem).await?;
            }
        }
        Ok(())
    }

    /// Follows a topic from a snapshot on.
    async fn begin(&mut self, topic: &Topic) -> Result<Result<(), Problem>, End> {
        match self.snapshot(topic).await {
            Ok((message, followed)) => {
                self.followed.insert(topic.clone(), followed);
                self.say(&message).await?;
                Ok(Ok(()))
            }
            Err(problem) => Ok(Err(problem)),
        }
    }

    /// Sends an event of a topic, unless the client has it.
    async fn event(&mut self, topic: &Topic, seq: u64, body: &str) -> Result<(), End> {
        let Some(followed) = self.followed.get_mut(topic).filter(|followed| followed.previous < seq) else {
            return Ok(());
        };
        let previous = std::mem::replace(&mut followed.previous, seq);
        self.send(format!(r#"{{"type":"event","topic":"{topic}","seq":{seq},"previous":{previous},"event":{body}}}"#))
            .await
    }

    async fn tell(&mut self, batch: &Arc<Told>) -> Result<(), End> {
        for told in &batch.events {
            let about = About::of(&told.event);
            let of = self.followed.iter().filter(|(_, followed)| followed.events.holds(&about));
            let topics: Vec<Topic> = of.map(|(topic, _)| topic.clone()).collect();
            for topic in topics {
                self.event(&topic, told.event.seq, told.body()).await?;
            }
        }
        Ok(())
    }

    async fn ask(&self, query: Query) -> Result<Answered, Problem> {
        Ok(self.api.topology.conductor.ask(query).await?)
    }

    /// What a topic begins with.
    async fn snapshot(&self, topic: &Topic) -> Result<(Value, Followed), Problem> {
        let mut places = None;
        let (seq, events, data) = match topic {
            Topic::Fund | Topic::Ledger => self.funds(topic).await?,
            Topic::Marks | Topic::MarketState => {
                let answered = self.ask(Query::Marks).await?;
                let Answer::Marks(marks) = answered.answer else { return Err(Problem::plain(Kind::Internal)) };
                let shown = |mark: &backstop_engine::view::MarkView| match topic {
                    Topic::Marks => json!(mark),
                    _ => json!({ "market": mark.market, "state": mark.state, "reason": mark.reason }),
                };
                (answered.seq, answered.events, marks.iter().map(shown).collect())
            }
            Topic::Account(account) => {
                let answered = self.ask(Query::Account(account.clone())).await?;
                let Answer::Account(view) = answered.answer else { return Err(Problem::plain(Kind::Internal)) };
                places = Some(view.as_ref().map(classes).unwrap_or_default());
                (answered.seq, answered.events, json!(view))
            }
            Topic::Orders => {
                let answered = self.ask(Query::Orders).await?;
                let Answer::Orders(orders) = answered.answer else { return Err(Problem::plain(Kind::Internal)) };
                (answered.seq, answered.events, json!(orders))
            }
            // These begin with what happens next; what has happened is on the tapes.
            Topic::Liquidations | Topic::Adl | Topic::Rules => {
                let answered = self.ask(Query::Marks).await?;
                (answered.seq, answered.events, Value::Null)
            }
        };
        let message = json!({
            "type": "subscribed", "topic": topic.to_string(), "resumed": false,
            "previous": events, "cause": seq, "snapshot": data,
        });
        Ok((message, Followed { events: topic.events(), previous: events, places }))
    }

    async fn funds(&self, topic: &Topic) -> Result<(Seq, u64, Value), Problem> {
        let answered = self.ask(Query::Funds).await?;
        let Answer::Funds(funds) = answered.answer else { return Err(Problem::plain(Kind::Internal)) };
        let shown = funds.iter().map(|fund| match topic {
            Topic::Fund => json!(fund),
            _ => json!({ "asset": fund.asset, "entries": fund.entries, "last_hash": fund.last_hash }),
        });
        Ok((answered.seq, answered.events, shown.collect()))
    }

    /// Warns the accounts that are followed when their place in the queue of deleveraging has changed class.
    async fn warn(&mut self) -> Result<(), End> {
        let of = self.followed.keys().filter_map(|topic| match topic {
            Topic::Account(account) => Some(account.clone()),
            _ => None,
        });
        let accounts: Vec<AccountId> = of.collect();
        if accounts.is_empty() {
            return Ok(());
        }
        let answered = match self.ask(Query::Accounts(accounts.clone())).await {
            Ok(answered) => answered,
            // The daemon is stopping; the stream hears of it by itself.
            Err(_) => return Ok(()),
        };
        let Answer::Accounts(views) = answered.answer else { return Ok(()) };
        for (account, view) in accounts.into_iter().zip(views) {
            let now = view.as_ref().map(classes).unwrap_or_default();
            let topic = Topic::Account(account);
            let Some(followed) = self.followed.get_mut(&topic) else { continue };
            let before = followed.places.replace(now.clone());
            if before.is_some_and(|before| before != now) {
                let positions = view.map(|view| view.positions).unwrap_or_default();
                let told = json!({
                    "type": "warning", "topic": topic.to_string(), "cause": answered.seq, "time": answered.time,
                    "positions": positions,
                });
                self.say(&told).await?;
            }
        }
        Ok(())
    }
}

/// The class of each position.
fn classes(view: &AccountView) -> Vec<Place> {
    let of = view.positions.iter().map(|position| {
        let leg = serde_json::to_value(position.leg).ok().and_then(|leg| leg.as_str().map(str::to_owned));
        (position.market.to_string(), leg.unwrap_or_default(), position.adl_quantile)
    });
    of.collect()
}
