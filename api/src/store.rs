//! The data directory as the daemon uses it: opened, brought up to where it ended, and told about.

use crate::cli::Keep;
use crate::daemon::DaemonError;
use backstop_actors::conductor::{Answer, Query};
use backstop_actors::data_dir::{DataDir, DataError, Findings, Recovered, Start};
use backstop_actors::gateway::{GatewayConfig, SnapshotPolicy};
use backstop_actors::halt::{Halt, HaltSender};
use backstop_actors::history::History;
use backstop_actors::journal::{Damage, JournalError, JournalStore, MemoryJournal, Position};
use backstop_actors::recovery;
use backstop_actors::snapshot::SnapshotHandle;
use backstop_actors::topology::{self, Placement, Plan, Topology};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedReceiver;

/// A data directory with what was found in it.
pub(crate) struct Store {
    data: DataDir,
    recovered: Recovered,
    opened: Instant,
}

/// Opens a data directory.
pub(crate) fn open(root: &Path) -> Result<Store, DataError> {
    let opened = Instant::now();
    let (data, migrated) = DataDir::open(root)?;
    let mut recovered = data.recover()?;
    recovered.findings.migrated = migrated;
    Ok(Store { data, recovered, opened })
}

impl Store {
    /// Has nothing been kept yet?
    pub(crate) fn is_empty(&self) -> bool {
        self.recovered.journal.position().batch == 0
    }
}

/// A data directory whose history is to be built anew.
pub(crate) fn open_without_history(root: &Path) -> Result<Store, DataError> {
    let (data, _) = DataDir::open(root)?;
    data.forget_history()?;
    drop(data);
    open(root)
}

/// The exit code of a directory that cannot be used.
pub(crate) fn code(error: &DataError) -> u8 {
    match error {
        DataError::Locked(_)
        | DataError::Foreign(_)
        | DataError::Absent(_)
        | DataError::Newer { .. }
        | DataError::Snapshot { .. } => crate::exit::CONFIG,
        DataError::Io { .. } => crate::exit::IO,
        DataError::History { .. } => crate::exit::CORRUPT,
        DataError::Journal(error) => journal_code(error),
    }
}

/// The exit code of a journal that cannot be used.
pub(crate) fn journal_code(error: &JournalError) -> u8 {
    match error {
        JournalError::Io { .. } => crate::exit::IO,
        JournalError::Damaged { damage: Damage::Newer(_), .. } => crate::exit::CONFIG,
        _ => crate::exit::CORRUPT,
    }
}

/// Where the state begins and what comes after.
struct Rest {
    data: DataDir,
    from: Position,
    findings: Findings,
    opened: Instant,
}

/// Actors that have not caught up yet.
pub(crate) struct Opened {
    pub(crate) topology: Topology,
    rest: Option<Rest>,
}

/// Starts the actors over a store, or over nothing that is kept.
pub(crate) fn start(
    shards: usize,
    mut gateway: GatewayConfig,
    store: Option<(Store, &Keep)>,
    halt: &HaltSender,
) -> Result<Opened, DaemonError> {
    let (placement, shows_accounts) = (Placement::Spread, false);
    let Some((store, keep)) = store else {
        let (start, journal) = (Start::default(), Box::new(MemoryJournal::default()));
        let history = History::temporary().map_err(|error| DaemonError::History(error.to_string()))?;
        let plan = Plan { shards, placement, shows_accounts, gateway, start, journal, history };
        return Ok(Opened { topology: topology::start(plan, halt)?, rest: None });
    };
    let Store { data, recovered, opened } = store;
    let Recovered { start, journal, history, findings } = recovered;
    let interval = (keep.snapshot_seconds > 0).then(|| Duration::from_secs(keep.snapshot_seconds));
    let policy = SnapshotPolicy { batches: keep.snapshot_batches, interval };
    let shelf = data.shelf(usize::from(keep.snapshots_kept));
    gateway.snapshots = Some((policy, SnapshotHandle::start(shelf)?));
    gateway.room = Some(data.room(keep.min_free_mb.saturating_mul(1024 * 1024)));
    let (from, journal) = (start.position, Box::new(journal));
    let plan = Plan { shards, placement, shows_accounts, gateway, start, journal, history };
    let rest = Some(Rest { data, from, findings, opened });
    Ok(Opened { topology: topology::start(plan, halt)?, rest })
}

impl Opened {
    /// Replays what comes after the snapshot, and says what was found. The directory is in use until the result is
    /// dropped.
    pub(crate) async fn catch_up(
        self,
        halt: &HaltSender,
        halted: &mut UnboundedReceiver<Halt>,
    ) -> Result<(Topology, Option<DataDir>), DaemonError> {
        let Self { topology, rest } = self;
        let Some(Rest { data, from, findings, opened }) = rest else { return Ok((topology, None)) };
        if let Some((format, kept)) = &findings.migrated {
            tracing::warn!(format, backup = %kept.display(), "the data directory was migrated");
        }
        if let Some(cut) = &findings.cut {
            tracing::warn!(
                file = %cut.path.display(), offset = cut.offset, bytes = cut.bytes, reason = %cut.damage,
                "the end of the journal was cut: a write that was never acknowledged"
            );
        }
        for (path, reason) in &findings.unusable {
            tracing::warn!(file = %path.display(), reason, "this snapshot cannot be used; an older one is taken, or the whole journal replayed");
        }
        let replay = async {
            let replayed = recovery::replay(&data, from, &topology.gateway, halt).await.ok()?;
            topology.publisher.commit().await.ok()?;
            Some((replayed, topology.conductor.ask(Query::Status).await.ok()?))
        };
        // Whoever cannot go on says why; what waits for it would wait for ever.
        let caught_up = tokio::select! {
            biased;
            halt = halted.recv() => return Err(halt.map_or(DaemonError::Replay, DaemonError::Halted)),
            caught_up = replay => caught_up,
        };
        let Some((replayed, answered)) = caught_up else {
            return Err(halted.try_recv().map_or(DaemonError::Replay, DaemonError::Halted));
        };
        let Answer::Status { state_hash, accounts, .. } = answered.answer else { return Err(DaemonError::Replay) };
        tracing::info!(
            snapshot = findings.snapshot.map_or_else(|| "none".to_owned(), |(_, seq)| seq.to_string()),
            batches = replayed.batches,
            commands = replayed.commands,
            seq = answered.seq,
            accounts,
            state_hash,
            seconds = format!("{:.3}", opened.elapsed().as_secs_f64()),
            "recovered"
        );
        Ok((topology, Some(data)))
    }
}
