//! What listeners hear, and what they know of how far everything is.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod venue;

use backstop_actors::conductor::{Answer, Query};
use backstop_actors::publisher::Progress;
use backstop_actors::topology::Placement;
use backstop_engine::id::AccountId;
use std::sync::Arc;
use tokio::sync::broadcast::error::TryRecvError;
use venue::{read, submit, with};

const DEPOSITS: &str = r#"{"type":"list_asset","asset":"USDT","scale":2,"time":5}
{"type":"deposit","account":"alice","asset":"USDT","amount":"10","time":6}
{"type":"deposit","account":"bob","asset":"USDT","amount":"20","time":7}"#;

#[test]
fn every_listener_is_told_the_same_events_and_shares_one_text_of_each() {
    with(2, Placement::Spread, async |topology| {
        let mut listeners = [topology.publisher.listen(), topology.publisher.listen()];
        submit(topology, &read(DEPOSITS)).await;
        topology.publisher.ticks().await.unwrap();
        let heard = listeners.each_mut().map(|listener| listener.try_recv().unwrap());
        assert_eq!((heard[0].seq, heard[0].time), (3, 7));
        assert!(heard[0].events.len() >= 2);
        for (one, other) in heard[0].events.iter().zip(&heard[1].events) {
            assert_eq!(&**one.body(), serde_json::to_string(&one.event).unwrap());
            assert!(Arc::ptr_eq(one.body(), other.body()));
        }
    });
}

#[test]
fn a_slow_listener_loses_the_oldest_and_hears_how_much_while_nobody_waits_for_it() {
    with(1, Placement::Single, async |topology| {
        submit(topology, &read(DEPOSITS)).await;
        let mut slow = topology.publisher.listen();
        let deposit = read(r#"{"type":"deposit","account":"a","asset":"USDT","amount":"1","time":8}"#);
        for _ in 0..600 {
            submit(topology, &deposit).await;
        }
        let Err(TryRecvError::Lagged(missed)) = slow.try_recv() else { panic!("it lags") };
        let mut heard = 0;
        while let Ok(told) = slow.try_recv() {
            heard += 1;
            assert!(!told.events.is_empty());
        }
        assert_eq!(missed + heard, 600);
    });
}

#[test]
fn progress_says_what_is_told_and_answers_say_at_which_event_they_hold() {
    with(3, Placement::Spread, async |topology| {
        let mut progress = topology.publisher.progress();
        assert_eq!(*progress.borrow_and_update(), Progress::default());
        submit(topology, &read(DEPOSITS)).await;
        let seen = *progress.wait_for(|progress| progress.seq >= 3).await.unwrap();
        let ask = Query::Accounts(["bob", "nobody", "alice"].map(|name| AccountId(name.into())).to_vec());
        let answered = topology.conductor.ask(ask).await.unwrap();
        assert_eq!(seen, Progress { seq: answered.seq, time: answered.time, events: answered.events });
        assert!(seen.events > 0);
        let Answer::Accounts(found) = answered.answer else { panic!("accounts") };
        let names = found.iter().map(|view| view.as_ref().map(|view| view.account.0.as_str()));
        assert_eq!(names.collect::<Vec<_>>(), [Some("bob"), None, Some("alice")]);
        for view in found.into_iter().flatten() {
            let answered = topology.conductor.ask(Query::Account(view.account.clone())).await.unwrap();
            let Answer::Account(Some(alone)) = answered.answer else { panic!("an account") };
            assert_eq!(alone, view);
        }
    });
}
