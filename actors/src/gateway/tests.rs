//! What a gateway does while its journal waits.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::lifecycle::EmitTick;
use super::*;
use crate::data_dir::Start;
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

#[test]
fn a_tick_that_waits_in_a_batch_takes_nobodys_answer() {
    let (halt, _halted) = HaltSender::channel();
    let (open, gate) = crossbeam::channel::unbounded();
    let seqs = actix::System::new().block_on(async {
        let gateway = GatewayConfig {
            accepts_time: false,
            mark_interval: None,
            clock: Arc::new(|| 1),
            room: None,
            snapshots: None,
        };
        let plan = Plan {
            shards: 1,
            placement: Placement::Single,
            shows_accounts: false,
            gateway,
            start: Start::default(),
            journal: Box::new(Gated(gate, MemoryJournal::default())),
            history: History::in_memory().unwrap(),
        };
        let gateway = topology::start(plan, &halt).unwrap().gateway;
        gateway.serve();
        let submit = |number: u64| {
            let line =
                format!(r#"{{"type":"list_asset","asset":"A{number}","scale":2,"producer":"p","number":{number}}}"#);
            gateway.depth.enter();
            gateway.addr.send(Submit(vec![Envelope::read(&line)]))
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
