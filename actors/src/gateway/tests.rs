//! What a gateway does while its journal waits.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::lifecycle::EmitTick;
use super::*;
use crate::data_dir::Start;
use crate::halt::Halt;
use crate::history::History;
use crate::journal::{JournalStore, MemoryJournal, Position};
use crate::topology::{self, Placement, Plan};
use crossbeam::channel::Receiver;

/// A journal that keeps a batch when it is told to.
struct Gated(Receiver<()>, MemoryJournal);

impl JournalStore for Gated {
    fn append(&mut self, commands: &[Written]) -> std::io::Result<Position> {
        self.0.recv().map_err(std::io::Error::other)?;
        self.1.append(commands)
    }

    fn seal(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn position(&self) -> Position {
        self.1.position()
    }
}

/// A journal on a disk that fails at its second batch.
#[derive(Default)]
struct Failing(Position);

impl JournalStore for Failing {
    fn append(&mut self, _: &[Written]) -> std::io::Result<Position> {
        self.0.batch = self.0.batch.saturating_add(1);
        if self.0.batch == 2 { Err(std::io::Error::other("the disk is gone")) } else { Ok(self.0) }
    }

    fn seal(&mut self) -> std::io::Result<()> {
        Ok(())
    }

    fn position(&self) -> Position {
        self.0
    }
}

/// A gateway in front of a journal, with everything behind it.
fn gateway(journal: Box<dyn JournalStore>, halt: &HaltSender) -> topology::Topology {
    let gateway = GatewayConfig {
        accepts_time: false,
        mark_interval: None,
        policy: Policy::default(),
        clock: Arc::new(|| 1),
        room: None,
        snapshots: None,
    };
    let (start, history) = (Start::default(), History::temporary().unwrap());
    let (placement, shows_accounts) = (Placement::Single, false);
    let plan = Plan { shards: 1, placement, shows_accounts, gateway, start, journal, history };
    let topology = topology::start(plan, halt).unwrap();
    topology.gateway.serve();
    topology
}

#[test]
fn a_batch_that_cannot_be_kept_stops_the_daemon_and_nothing_is_acknowledged_after_it() {
    let (halt, mut halted) = HaltSender::channel();
    actix::System::new().block_on(async {
        let gateway = gateway(Box::new(Failing::default()), &halt).gateway;
        let submit = |name: &str| {
            let line = format!(r#"{{"type":"list_asset","asset":"{name}","scale":2}}"#);
            gateway.submit(vec![Envelope::read(&line)])
        };
        assert!(submit("KEPT").await.is_ok());
        // Both are on their way when the disk fails. The journal would take a third batch: nobody may ask it to.
        let (lost, behind) = (Box::pin(submit("LOST")), Box::pin(submit("BEHIND")));
        let answered = futures_util::future::select(lost, behind);
        tokio::select! {
            halt = halted.recv() => assert!(matches!(halt, Some(Halt::JournalIo(_))), "{halt:?}"),
            answered = answered => panic!("answered: {:?}", answered.factor_first().0),
        }
    });
    halt.shut_down();
}

#[test]
fn a_tick_that_waits_in_a_batch_takes_nobodys_answer() {
    let (halt, _halted) = HaltSender::channel();
    let (open, gate) = crossbeam::channel::unbounded();
    let seqs = actix::System::new().block_on(async {
        let gateway = gateway(Box::new(Gated(gate, MemoryJournal::default())), &halt).gateway;
        let submit = |number: u64| {
            let line =
                format!(r#"{{"type":"list_asset","asset":"A{number}","scale":2,"producer":"p","number":{number}}}"#);
            gateway.depth.enter();
            gateway.addr.send(Submit(vec![Envelope::read(&line)], SmolStr::default()))
        };
        // Two batches are on their way, so the tick waits, and the third command behind it.
        let first = [submit(1), submit(2)];
        gateway.addr.send(EmitTick).await.unwrap();
        let third = submit(3);
        (0..3).for_each(|_| open.send(()).unwrap());
        let mut answers = Vec::new();
        for sent in first.into_iter().chain([third]) {
            answers.extend(sent.await.unwrap().unwrap());
        }
        answers.extend(submit(3).await.unwrap().unwrap());
        let seq = |answer: &Answer| match answer {
            Answer::Accepted { seq, .. } => *seq,
            Answer::Refused { .. } => panic!("{answer:?}"),
        };
        answers.iter().map(seq).collect::<Vec<_>>()
    });
    halt.shut_down();
    assert_eq!(seqs, [1, 2, 4, 4], "the tick is 3");
}
