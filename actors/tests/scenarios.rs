//! Every scenario file on the real actor graph, with 1, 2 and 7 shards: the same events and the same state hash as the
//! engine alone, byte for byte.
#![allow(clippy::unwrap_used, clippy::panic)]

mod venue;

use actix::System;
use backstop_actors::conductor::{Answer, Query};
use backstop_actors::gateway;
use backstop_actors::halt::HaltSender;
use backstop_actors::topology::Placement;
use backstop_engine::command::Envelope;
use backstop_engine::event::{Event, Fact};
use backstop_engine::reference::{Options, Reference};
use std::path::Path;
use venue::{files, start};

/// The commands of a file that can be read, each with its time.
fn commands(path: &Path) -> Vec<Envelope> {
    venue::read(&std::fs::read_to_string(path).unwrap())
}

/// Tape and hash of the engine alone.
fn alone(commands: &[Envelope]) -> (Vec<String>, String) {
    let mut engine = Reference::new(Options::default());
    let mut tape = Vec::new();
    for envelope in commands {
        if let Ok(outcome) = engine.submit(&envelope.command, envelope.time.unwrap()) {
            tape.extend(outcome.events.iter().map(|event| serde_json::to_string(event).unwrap()));
        }
    }
    (tape, engine.state_hash().unwrap())
}

/// Tape and hash of the actors; the commands are submitted `piece` at a time.
fn acted(commands: &[Envelope], shards: usize, placement: Placement, piece: usize) -> (Vec<String>, String) {
    let (halt, _halted) = HaltSender::channel();
    let system = System::new();
    let done = system.block_on(async {
        let topology = start(shards, placement, &halt);
        let mut listener = topology.publisher.listen();
        let mut tape = Vec::new();
        let mut hear = || {
            while let Ok(told) = listener.try_recv() {
                tape.extend(told.events.iter().map(|event| event.body().to_string()));
            }
        };
        for piece in commands.chunks(piece) {
            venue::submit(&topology, piece).await;
            hear();
        }
        let answered = topology.conductor.ask(Query::Status).await.unwrap();
        let Answer::Status { state_hash, .. } = answered.answer else { panic!("a status") };
        // Whoever asks the publisher hears of everything that was applied before.
        topology.publisher.ticks().await.unwrap();
        hear();
        topology.stop().await;
        (tape, state_hash)
    });
    halt.shut_down();
    System::current().stop();
    done
}

fn assert_equal(path: &Path, wanted: &(Vec<String>, String), got: &(Vec<String>, String), what: &str) {
    for (place, (wanted, got)) in wanted.0.iter().zip(&got.0).enumerate() {
        assert_eq!(wanted, got, "{} {what}: event {place}", path.display());
    }
    assert_eq!(wanted.0.len(), got.0.len(), "{} {what}", path.display());
    assert_eq!(wanted.1, got.1, "{} {what}: state hash", path.display());
}

#[test]
fn the_actors_equal_the_reference_event_for_event() {
    for path in files() {
        let commands = commands(&path);
        let wanted = alone(&commands);
        for (shards, piece) in [(1, 1), (2, usize::MAX), (7, 3)] {
            let got = acted(&commands, shards, Placement::Spread, piece.min(commands.len()));
            assert_equal(&path, &wanted, &got, &format!("on {shards} shards, {piece} at a time"));
        }
    }
}

#[test]
fn all_actors_on_one_thread_equal_them_too() {
    for path in files() {
        let commands = commands(&path);
        let got = acted(&commands, 2, Placement::Single, commands.len());
        assert_equal(&path, &alone(&commands), &got, "on one thread");
    }
}

#[test]
fn a_repeated_number_gets_the_first_answer_and_a_gap_is_refused() {
    let (halt, _halted) = HaltSender::channel();
    let system = System::new();
    let answers = system.block_on(async {
        let topology = start(1, Placement::Single, &halt);
        let numbered = |number: u64, amount: &str| {
            Envelope::read(&format!(
                r#"{{"type":"deposit","account":"a","asset":"USDT","amount":"{amount}","producer":"p","number":{number}}}"#
            ))
        };
        let list = Envelope::read(r#"{"type":"list_asset","asset":"USDT","scale":2}"#);
        let batch = vec![list, numbered(1, "5"), numbered(1, "5"), numbered(3, "7"), numbered(2, "0.001"), numbered(2, "9")];
        let first = topology.gateway.submit(batch).await.unwrap();
        let second = topology.gateway.submit(vec![numbered(1, "5"), numbered(3, "1")]).await.unwrap();
        (first, second)
    });
    halt.shut_down();
    System::current().stop();
    let code = |answer: &gateway::Answer| match answer {
        gateway::Answer::Accepted { seq, .. } => seq.to_string(),
        gateway::Answer::Refused(refused) => refused.code.to_owned(),
    };
    let first: Vec<String> = answers.0.iter().map(code).collect();
    assert_eq!(first, ["1", "2", "2", "out_of_order", "too_precise", "too_precise"]);
    let second: Vec<String> = answers.1.iter().map(code).collect();
    assert_eq!(second, ["2", "3"]);
}

#[test]
fn a_refusal_leaves_an_event_with_its_code() {
    let commands: Vec<Envelope> = [
        r#"{"type":"list_asset","asset":"USDT","scale":2,"time":0}"#,
        r#"{"type":"withdraw","account":"a","asset":"USDT","amount":"5","time":0}"#,
    ]
    .iter()
    .map(|line| Envelope::read(line).unwrap())
    .collect();
    let mut engine = Reference::new(Options::default());
    let events: Vec<Event> =
        commands.iter().flat_map(|envelope| engine.submit(&envelope.command, 0).unwrap().events).collect();
    assert!(matches!(events.last().unwrap().fact, Fact::Rejected { code: "insufficient_margin", .. }));
}
