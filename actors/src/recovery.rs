//! The start: the state is brought to where the journal ends, through the same actors that go on from there.

use crate::data_dir::DataDir;
use crate::gateway::{GatewayHandle, Refusal};
use crate::halt::{Halt, HaltSender};
use crate::journal::{self, JournalError, Position, Written};
use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::sync::mpsc;

/// Commands that are replayed as one batch: batches have no meaning of their own.
const PIECE: usize = 4_096;
/// Pieces read ahead, and pieces on their way.
const AHEAD: usize = 4;

/// What was replayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Batches of the journal.
    pub batches: u64,
    /// Commands in them.
    pub commands: u64,
}

/// Replays everything after a position. What cannot be read or applied stops the daemon.
///
/// # Errors
/// [`Refusal::Halted`]: the reason has been reported.
pub async fn replay(
    data: &DataDir,
    from: Position,
    gateway: &GatewayHandle,
    halt: &HaltSender,
) -> Result<Replayed, Refusal> {
    let (pieces, mut read) = mpsc::channel(AHEAD);
    let (disk, folder, reported) = (data.disk().clone(), data.journal(), halt.clone());
    let reader = std::thread::Builder::new().name("replay".to_owned()).spawn(move || {
        let mut reader = Reader { pieces, piece: Vec::new(), replayed: Replayed::default() };
        let done = journal::read(disk.as_ref(), &folder, &from, |found| reader.take(found.commands()?));
        match done.and_then(|_| reader.send()) {
            Ok(()) => Ok(reader.replayed),
            Err(Ended::Journal(error)) => {
                reported.halt(error.into());
                Err(Refusal::Halted)
            }
            // The other side has reported why.
            Err(Ended::Gone) => Err(Refusal::Halted),
        }
    });
    let reader = reader.map_err(|error| {
        halt.halt(Halt::JournalIo(error));
        Refusal::Halted
    })?;
    let mut on_the_way = FuturesOrdered::new();
    while let Some(piece) = read.recv().await {
        let gateway = gateway.clone();
        on_the_way.push_back(async move { gateway.replay(piece).await });
        if on_the_way.len() >= AHEAD {
            on_the_way.next().await.unwrap_or(Ok(()))?;
        }
    }
    while let Some(done) = on_the_way.next().await {
        done?;
    }
    // What was read before the damage must not be taken for the whole.
    reader.join().unwrap_or(Err(Refusal::Halted))
}

enum Ended {
    Journal(JournalError),
    Gone,
}

impl From<JournalError> for Ended {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}

struct Reader {
    pieces: mpsc::Sender<Vec<Written>>,
    piece: Vec<Written>,
    replayed: Replayed,
}

impl Reader {
    fn take(&mut self, commands: Vec<Written>) -> Result<(), Ended> {
        self.replayed.batches = self.replayed.batches.saturating_add(1);
        let count = commands.iter().filter(|written| written.is_command()).count();
        self.replayed.commands = self.replayed.commands.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        self.piece.extend(commands);
        if self.piece.len() >= PIECE { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), Ended> {
        self.pieces.blocking_send(std::mem::take(&mut self.piece)).map_err(|_| Ended::Gone)
    }
}
