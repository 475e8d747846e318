//! How a daemon under traffic comes to its end.

use super::producer::Control;
use super::workload::Draw;
use crate::Failed;
use crate::daemon::{Daemon, PATIENCE};
use crate::http::Connection;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Longest time of traffic before the end, in microseconds.
const TRAFFIC_MAX: u64 = 400_000;

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// SIGKILL.
    Kill,
    /// SIGKILL within or after a snapshot that was asked for.
    KillAtSnapshot,
    /// SIGSTOP, SIGCONT, more traffic, SIGKILL.
    Pause,
    /// SIGSTOP, SIGKILL.
    KillPaused,
    /// SIGTERM, and while it ends SIGKILL.
    KillWhileItEnds,
    /// SIGTERM, and it must end with 0.
    Terminate,
}

impl Ending {
    /// Mostly a plain kill.
    pub(super) fn draw(draw: &mut Draw) -> Self {
        match draw.below(100) {
            0..55 => Self::Kill,
            55..75 => Self::KillAtSnapshot,
            75..81 => Self::Pause,
            81..86 => Self::KillPaused,
            86..93 => Self::KillWhileItEnds,
            _ => Self::Terminate,
        }
    }

    /// Does it count as a kill?
    pub(super) fn kills(self) -> bool {
        self != Self::Terminate
    }

    /// As the report names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Kill => "under traffic",
            Self::KillAtSnapshot => "while or after it took a snapshot",
            Self::Pause => "under traffic, after SIGSTOP and SIGCONT",
            Self::KillPaused => "while stopped by SIGSTOP",
            Self::KillWhileItEnds => "while it ended after SIGTERM",
            Self::Terminate => "not at all",
        }
    }

    /// Lets traffic run for a while and brings the end. The daemon is gone when this returns.
    pub(super) fn end(self, daemon: &mut Daemon, control: &Control, draw: &mut Draw) -> Result<(), Failed> {
        let pause = |draw: &mut Draw, most: u64| std::thread::sleep(Duration::from_micros(draw.below(most)));
        pause(draw, TRAFFIC_MAX);
        if let Some(status) = daemon.ended()? {
            return Err(format!("the daemon ended by itself with {status}").into());
        }
        let kill = |daemon: &mut Daemon| {
            control.down.store(true, Ordering::SeqCst);
            daemon.kill()
        };
        match self {
            Self::Kill => {}
            Self::KillAtSnapshot => {
                // Nobody waits for the answer: the kill may come before it.
                let mut asking = Connection::open(daemon.admin()?, PATIENCE)?;
                asking.requests.post("/snapshot", b"")?;
                pause(draw, 30_000);
            }
            Self::Pause => {
                daemon.signal("STOP")?;
                pause(draw, 300_000);
                daemon.signal("CONT")?;
                pause(draw, TRAFFIC_MAX / 4);
            }
            Self::KillPaused => {
                daemon.signal("STOP")?;
                pause(draw, 100_000);
            }
            Self::KillWhileItEnds => {
                control.down.store(true, Ordering::SeqCst);
                daemon.signal("TERM")?;
                pause(draw, 60_000);
            }
            Self::Terminate => {
                control.down.store(true, Ordering::SeqCst);
                daemon.stop()?;
                return Ok(());
            }
        }
        kill(daemon)?;
        Ok(())
    }
}
