//! Why the daemon must stop, and how everybody hears of it.

use crate::history::HistoryError;
use crate::journal::JournalError;
use backstop_engine::flow::Stop;
use backstop_engine::id::Seq;
use backstop_engine::reject::Reject;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// Why the daemon must stop. Nothing is acknowledged after one.
#[derive(Debug, thiserror::Error)]
pub enum Halt {
    /// The journal cannot be written.
    #[error("the journal cannot be written: {0}")]
    JournalIo(#[source] std::io::Error),
    /// A command of the journal was refused that was taken when it was written: another program wrote it.
    #[error("the journal does not fit this program at sequence number {seq}: {reject}")]
    StateDiverged {
        /// Where.
        seq: Seq,
        /// Why it was refused.
        reject: Reject,
    },
    /// The journal cannot be read.
    #[error(transparent)]
    JournalCorrupt(#[from] JournalError),
    /// The history cannot be written.
    #[error("the history cannot be written: {0}")]
    History(#[source] HistoryError),
    /// The flow cannot go on.
    #[error("the flow stopped: {0}")]
    Flow(#[from] Stop),
    /// An actor ended that must not.
    #[error("the actor {0} ended")]
    ActorDied(&'static str),
    /// A message that must fit did not.
    #[error("the mailbox of the {0} is full")]
    MailboxFull(&'static str),
}

/// Where a halt is reported. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HaltSender {
    reports: mpsc::UnboundedSender<Halt>,
    shutting_down: Arc<AtomicBool>,
}

impl HaltSender {
    /// A channel for the first halt.
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Halt>) {
        let (reports, receiver) = mpsc::unbounded_channel();
        (Self { reports, shutting_down: Arc::default() }, receiver)
    }

    /// Reports a halt.
    pub fn halt(&self, halt: Halt) {
        tracing::error!(reason = %halt, "halt");
        // Without a receiver the daemon is stopping already.
        let _ = self.reports.send(halt);
    }

    /// From now on actors may end.
    pub fn shut_down(&self) {
        self.shutting_down.store(true, Ordering::SeqCst);
    }

    /// A watch that reports the end of what holds it, however it ends: a panic in a handler drops the actor silently.
    pub fn watch(&self, actor: &'static str) -> DeathWatch {
        DeathWatch { actor, halt: self.clone() }
    }
}

/// Held by an actor; see [`HaltSender::watch`].
#[derive(Debug)]
pub struct DeathWatch {
    actor: &'static str,
    halt: HaltSender,
}

impl Drop for DeathWatch {
    fn drop(&mut self) {
        if !self.halt.shutting_down.load(Ordering::SeqCst) {
            self.halt.halt(Halt::ActorDied(self.actor));
        }
    }
}
