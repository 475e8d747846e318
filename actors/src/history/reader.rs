//! Readers of the history: connections of their own, on threads of their own, so that nobody who writes waits for one.

use super::{HistoryError, integer};
use backstop_engine::flow::Stop;
use backstop_engine::id::{Millis, Seq};
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How many threads read.
const THREADS: usize = 2;
/// Reads that wait for a thread; each of more waits at its connection.
const WAITING: usize = 64;
/// How long a reader waits where SQLite must put the file in order first.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that only reads, and sees what was last saved.
pub struct Reader {
    pub(super) db: Connection,
}

impl Reader {
    /// Of a history in a file.
    ///
    /// # Errors
    /// [`HistoryError`]: the file cannot be read.
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(path, flags)?;
        db.busy_timeout(PATIENCE)?;
        db.set_prepared_statement_cache_capacity(64);
        Ok(Self { db })
    }

    /// Looks something up: the last command whose events are there, and what was found, of one moment.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub fn look<R>(&self, work: impl FnOnce(&Self) -> Result<R, HistoryError>) -> Result<(Seq, R), HistoryError> {
        let moment = self.db.unchecked_transaction()?;
        let seq: i64 = self.db.prepare_cached("SELECT seq FROM progress")?.query_row([], |row| row.get(0))?;
        let found = work(self)?;
        moment.commit()?;
        Ok((u64::try_from(seq).unwrap_or_default(), found))
    }

    /// The number that the events at or after a time begin with.
    pub(super) fn first_event(&self, time: Millis) -> Result<u64, HistoryError> {
        self.first("SELECT event, time FROM events WHERE event >= ? ORDER BY event LIMIT 1", time)
    }

    /// The number that the liquidations started at or after a time begin with.
    pub(super) fn first_liquidation(&self, time: Millis) -> Result<u64, HistoryError> {
        let sql = "SELECT liquidation, started FROM liquidations WHERE liquidation >= ? ORDER BY liquidation LIMIT 1";
        self.first(sql, time)
    }

    /// Times rise with the numbers, so halving what is left finds the place.
    fn first(&self, sql: &str, time: Millis) -> Result<u64, HistoryError> {
        let mut statement = self.db.prepare_cached(sql)?;
        let (mut low, mut high) = (1_u64, LAST);
        while low < high {
            let middle = low.midpoint(high);
            let read = |row: &Row<'_>| Ok((number(row, 0)?, number(row, 1)?));
            match statement.query_row([integer(middle)], read).optional()? {
                Some((found, at)) if at < time => low = found.saturating_add(1),
                _ => high = middle,
            }
        }
        Ok(low)
    }
}

/// Above every number there will be.
pub(super) const LAST: u64 = 1 << 62;

/// A number of a row.
pub(super) fn number(row: &Row<'_>, place: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(place).map(|number| u64::try_from(number).unwrap_or_default())
}

type Job = Box<dyn FnOnce(Result<&Reader, HistoryError>) + Send>;

/// Threads that read. Cheap to clone; they end with the last clone.
#[derive(Clone)]
pub struct Readers {
    jobs: mpsc::Sender<Job>,
}

impl Readers {
    /// Starts them.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(path: &Path) -> std::io::Result<Self> {
        let (jobs, waiting) = mpsc::channel(WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for _ in 0..THREADS {
            let (path, waiting) = (path.to_owned(), waiting.clone());
            std::thread::Builder::new().name("reader".to_owned()).spawn(move || serve(&path, &waiting))?;
        }
        Ok(Self { jobs })
    }

    /// Looks something up as [`Reader::look`] does, as soon as a thread is free.
    ///
    /// # Errors
    /// The outer: [`Stop::Gone`]. The inner: [`HistoryError`].
    pub async fn look<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Reader) -> Result<R, HistoryError> + Send + 'static,
    ) -> Result<Result<(Seq, R), HistoryError>, Stop> {
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |reader| {
            // Whoever asked may be gone.
            let _ = answer.send(reader.and_then(|reader| reader.look(work)));
        });
        self.jobs.send(job).await.map_err(|_| Stop::Gone("reader"))?;
        answered.await.map_err(|_| Stop::Gone("reader"))
    }
}

/// One at a time waits for the next job; the connection is made for the first.
fn serve(path: &Path, waiting: &Mutex<mpsc::Receiver<Job>>) {
    let mut reader = None;
    loop {
        let next = waiting.lock().ok().and_then(|mut waiting| waiting.blocking_recv());
        let Some(job) = next else { return };
        match &mut reader {
            Some(reader) => job(Ok(reader)),
            none => job(Reader::open(path).map(|opened| &*none.insert(opened))),
        }
    }
}
