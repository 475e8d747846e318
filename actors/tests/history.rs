//! What readers look up: filtered, resumed, and the same however it was built.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod past;
mod venue;

use backstop_actors::history::{About, Filter, History, Item, Look, Reader, Topic};
use backstop_engine::flow::EntryOutcome;
use backstop_engine::id::Seq;
use past::{Played, events, opened, play, scenarios, tables, weeks, written};
use rusqlite::Connection;
use venue::{files, read};

fn texts(items: &[Item]) -> Vec<String> {
    items.iter().map(|item| item.body.get().to_owned()).collect()
}

/// All items of a list, a few at a time.
fn walk(reader: &Reader, look: &Look, limit: usize) -> Vec<Item> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let (items, more) = reader.page(look, after, limit).unwrap();
        assert!(items.len() <= limit && (!more || items.len() == limit));
        found.extend(items);
        if !more {
            return found;
        }
        after = found.last().unwrap().number;
    }
}

fn list<'a>(played: &'a Played, wanted: impl Fn(&About<'_>) -> bool + 'a) -> Vec<String> {
    let kept = events(played).filter(|event| {
        let about = About::of(event);
        about.is_kept() && wanted(&about)
    });
    kept.map(|event| serde_json::to_string(event).unwrap()).collect()
}

#[test]
fn what_an_event_is_about_is_what_is_shown_of_it() {
    for played in scenarios() {
        for event in events(&played) {
            let (about, shown) = (About::of(event), serde_json::to_value(event).unwrap());
            assert_eq!(shown["type"].as_str().unwrap(), about.kind);
            let fields = [("market", &about.market), ("asset", &about.asset), ("account", &about.account)];
            for (name, found) in fields {
                assert_eq!(shown[name].as_str(), found.as_deref(), "{name} in {shown}");
            }
            assert_eq!(shown["liquidation"].as_u64(), about.liquidation, "{shown}");
        }
    }
}

#[test]
fn a_history_is_the_same_however_it_was_saved_interrupted_and_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let few = scenarios().into_iter().map(|played| (played, 3));
    for (place, (played, often)) in few.chain([(weeks(7), 41)]).enumerate() {
        let played = &played;
        let path = |name: &str| folder.path().join(format!("{place}-{name}.sqlite"));
        written(&path("whole"), played);
        let wanted = tables(&path("whole"));
        // Saved after every command, and opened again after some, with the last ones taken again.
        let mut history = opened(&path("pieces"), played);
        for (index, entry) in played.entries.iter().enumerate() {
            history.take(entry.seq, &entry.events).unwrap();
            history.save().unwrap();
            if index % often == 2 {
                drop(history);
                history = opened(&path("pieces"), played);
                for entry in &played.entries[index.saturating_sub(4)..=index] {
                    history.take(entry.seq, &entry.events).unwrap();
                }
            }
        }
        history.commit().unwrap();
        assert_eq!(tables(&path("pieces")), wanted);
        // What a crash leaves: what was not saved is taken again.
        let (saved, last): (&[EntryOutcome], Option<&EntryOutcome>) = match played.entries.split_last() {
            Some((last, saved)) => (saved, Some(last)),
            None => (&[], None),
        };
        let mut history = opened(&path("crash"), played);
        saved.iter().for_each(|entry| history.take(entry.seq, &entry.events).unwrap());
        history.commit().unwrap();
        last.iter().for_each(|entry| history.take(entry.seq, &entry.events).unwrap());
        drop(history);
        assert_eq!(History::open(&path("crash")).unwrap().through(), saved.last().map_or(0, |entry| entry.seq));
        written(&path("crash"), played);
        assert_eq!(tables(&path("crash")), wanted);
    }
}

#[test]
fn a_history_of_another_version_is_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("history.sqlite");
    let old = Connection::open(&path).unwrap();
    let tables = "CREATE TABLE progress (one INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
        INSERT INTO progress VALUES (1, 77);
        CREATE TABLE ledger (event INTEGER PRIMARY KEY, body TEXT); CREATE VIEW adl AS SELECT body FROM ledger;
        CREATE INDEX of_body ON ledger (body); PRAGMA user_version = 1";
    old.execute_batch(tables).unwrap();
    drop(old);
    let history = History::open(&path).unwrap();
    assert_eq!(history.through(), 0);
    drop(history);
    assert_eq!(History::open(&path).unwrap().through(), 0, "and is of this version from then on");
}

#[test]
fn lists_are_filtered_by_market_account_and_time_and_paged_by_number() {
    let folder = tempfile::tempdir().unwrap();
    let (mut ledgers, mut cuts, mut liquidations) = (0, 0, 0);
    for (place, played) in scenarios().iter().enumerate() {
        let reader = written(&folder.path().join(place.to_string()), played);
        let mut names: Vec<Option<String>> = vec![None, Some("nobody".to_owned())];
        names.extend(events(played).filter_map(|event| About::of(event).account.map(|name| Some(name.into_owned()))));
        names.sort();
        names.dedup();
        let mut markets: Vec<Option<String>> = vec![None, Some("nowhere".to_owned())];
        markets.extend(events(played).filter_map(|event| About::of(event).market.map(|name| Some(name.into_owned()))));
        markets.sort();
        markets.dedup();
        let mut times: Vec<u64> = events(played).map(|event| event.time).collect();
        times.dedup();
        let middle = times.get(times.len() / 2).copied().unwrap_or(1);
        for (market, account) in markets.iter().flat_map(|market| names.iter().map(move |name| (market, name))) {
            for (from, to) in
                [(None, None), (Some(middle), None), (None, Some(middle)), (Some(middle), Some(middle + 1))]
            {
                let filter = Filter { market: market.clone(), account: account.clone(), from, to };
                let within = |time: u64| from.is_none_or(|from| time >= from) && to.is_none_or(|to| time < to);
                let of = |wanted: &[&str], asset: Option<&str>| -> Vec<String> {
                    let topic = Topic {
                        types: wanted.iter().map(|kind| (*kind).to_owned()).collect(),
                        market: market.clone(),
                        account: account.clone(),
                        asset: asset.map(str::to_owned),
                    };
                    let found = events(played).filter(|event| within(event.time) && topic.holds(&About::of(event)));
                    found.map(|event| serde_json::to_string(event).unwrap()).collect()
                };
                let look = Look::Adl(filter.clone());
                let wanted = of(&["adl_triggered", "deleveraged"], None);
                cuts += wanted.len();
                assert_eq!(texts(&walk(&reader, &look, 2)), wanted, "{filter:?}");
                let look = Look::Ledger { asset: "USDT".to_owned(), filter: filter.clone() };
                let wanted = of(&["fund_entry"], Some("USDT"));
                ledgers += wanted.len();
                assert_eq!(texts(&walk(&reader, &look, 3)), wanted, "{filter:?}");
                let found = walk(&reader, &Look::Liquidations(filter.clone()), 1);
                liquidations += found.len();
                let started = events(played).filter(|event| About::of(event).kind == "liquidation_started");
                let wanted = started.filter(|event| {
                    let about = About::of(event);
                    let reached = |market: &String| {
                        events(played).map(About::of).any(|other| {
                            let there = ["liquidation_started", "liquidation_settled"].contains(&&*other.kind);
                            there && other.liquidation == about.liquidation && other.market.as_deref() == Some(market)
                        })
                    };
                    within(event.time)
                        && account.as_deref().is_none_or(|account| about.account.as_deref() == Some(account))
                        && market.as_ref().is_none_or(reached)
                });
                let wanted: Vec<u64> = wanted.map(|event| About::of(event).liquidation.unwrap()).collect();
                assert_eq!(found.iter().map(|item| item.number).collect::<Vec<_>>(), wanted, "{filter:?}");
            }
        }
    }
    assert!(ledgers > 100 && cuts > 100 && liquidations > 100, "{ledgers} {cuts} {liquidations}");
}

#[test]
fn a_stream_goes_on_after_any_event_without_a_gap_and_knows_what_came_before() {
    let folder = tempfile::tempdir().unwrap();
    let topic =
        |types: &[&str]| Topic { types: types.iter().map(|kind| (*kind).to_owned()).collect(), ..Topic::default() };
    for (place, played) in scenarios().iter().enumerate() {
        let reader = written(&folder.path().join(place.to_string()), played);
        let account = events(played).find_map(|event| About::of(event).account.map(|name| name.into_owned()));
        let topics = [
            Topic::default(),
            topic(&["liquidation_started", "liquidation_settled", "liquidation_ended"]),
            topic(&["market_state"]),
            topic(&["mark_updated"]),
            Topic { asset: Some("USDT".to_owned()), ..topic(&["fund_entry", "unbacked"]) },
            Topic { market: Some("BTC-USDT".to_owned()), ..Topic::default() },
            Topic { account: account.clone(), ..Topic::default() },
            Topic { account, ..topic(&["deleveraged", "fund_entry"]) },
        ];
        let last = events(played).last().map_or(0, |event| event.seq);
        for topic in &topics {
            let wanted = list(played, |about| topic.holds(about));
            let numbers: Vec<u64> =
                walk(&reader, &Look::Events(vec![topic.clone()]), 3).iter().map(|item| item.number).collect();
            assert_eq!(texts(&walk(&reader, &Look::Events(vec![topic.clone()]), 1000)), wanted, "{topic:?}");
            assert_eq!(numbers.len(), wanted.len());
            for after in [0, 1, last / 2, last] {
                let (found, _) = reader.page(&Look::Events(vec![topic.clone()]), after, 10_000).unwrap();
                let rest: Vec<u64> = numbers.iter().copied().filter(|number| *number > after).collect();
                assert_eq!(found.iter().map(|item| item.number).collect::<Vec<_>>(), rest);
                let previous = numbers.iter().copied().filter(|number| *number < after).max();
                assert_eq!(reader.previous(topic, after).unwrap(), previous, "{topic:?} before {after}");
            }
        }
        let several = Look::Events(topics[1..].to_vec());
        let wanted = list(played, |about| topics[1..].iter().any(|topic| topic.holds(about)));
        assert_eq!(texts(&walk(&reader, &several, 2)), wanted, "each once");
    }
}

#[test]
fn readers_see_everything_published_and_at_which_command() {
    let path = files().into_iter().find(|path| path.ends_with("fund-exhausted-then-adl.ndjson")).unwrap();
    let commands = read(&std::fs::read_to_string(path).unwrap());
    let wanted = play(&commands);
    let cuts = list(&wanted, |about| about.kind == "deleveraged");
    assert!(!cuts.is_empty());
    venue::with(2, backstop_actors::topology::Placement::Spread, async |topology| {
        for envelope in &commands {
            venue::submit(topology, std::slice::from_ref(envelope)).await;
            let seq: Seq = topology.conductor.ask(backstop_actors::conductor::Query::Marks).await.unwrap().seq;
            let (found, ()) = topology.publisher.look_up(|_| Ok(())).await.unwrap().unwrap();
            assert_eq!(found, seq);
        }
        let topic = Topic { types: vec!["deleveraged".to_owned()], ..Topic::default() };
        let read = backstop_actors::publisher::Read { look: Look::Events(vec![topic]), after: 0, limit: 100 };
        let (_, items, more) = topology.publisher.read(read).await.unwrap().unwrap();
        assert_eq!((texts(&items), more), (cuts, false));
    });
}

#[test]
fn what_is_not_kept_is_removed_at_the_end() {
    let mut history = History::temporary().unwrap();
    let path = history.path().to_owned();
    history.take(1, &[]).unwrap();
    history.save().unwrap();
    assert_eq!(Reader::open(&path).unwrap().look(|_| Ok(())).unwrap(), (1, ()));
    history.close();
    assert!(!path.parent().unwrap().exists());
}
