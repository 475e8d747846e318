//! Bodies of commands at instants fixed beforehand, on a connection of their own, until it is told to stop.

use crate::Failed;
use crate::daemon::PATIENCE;
use crate::figures::Latencies;
use crate::http::Connection;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is sent at an instant.
pub(crate) struct Body {
    /// Commands, one a line.
    pub(crate) lines: String,
    /// Is the time to its answer of interest?
    pub(crate) timed: bool,
}

/// Somebody who sends.
pub(crate) struct Feeder {
    over: Arc<AtomicBool>,
    thread: JoinHandle<Result<Latencies, Failed>>,
}

impl Feeder {
    /// Sends a body every so often. Late is late: the time to an answer counts from the instant its body was due.
    pub(crate) fn start(
        api: SocketAddr,
        every: Duration,
        mut body: impl FnMut(u64) -> Result<Body, Failed> + Send + 'static,
    ) -> Result<Self, Failed> {
        let mut connection = Connection::open(api, PATIENCE)?;
        let over = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (mut latencies, mut due) = (Latencies::default(), Instant::now());
            for place in 0.. {
                if seen.load(Ordering::SeqCst) {
                    break;
                }
                let Body { lines, timed } = body(place)?;
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let reply = connection.commands(&lines)?;
                if reply.status != 200 || reply.body.contains("\"code\"") {
                    let shown = reply.body.lines().find(|line| line.contains("\"code\"")).unwrap_or_default();
                    return Err(format!("a command was refused: status {}: {shown}", reply.status).into());
                }
                if timed {
                    latencies.push(due.elapsed());
                }
                due += every;
            }
            Ok(latencies)
        });
        Ok(Self { over, thread })
    }

    /// Stops it; the time to each answer of interest.
    pub(crate) fn stop(self) -> Result<Latencies, Failed> {
        self.over.store(true, Ordering::SeqCst);
        self.thread.join().map_err(|_| "the feeder panicked")?
    }
}
