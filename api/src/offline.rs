//! What is done to a data directory without serving: the same start and end as the daemon's, with nothing in between.

use crate::cli::{Keep, Reindex, Snapshot};
use crate::daemon::{self, DaemonError};
use crate::store::{self, Store};
use backstop_actors::halt::HaltSender;
use backstop_actors::snapshot::{SnapshotError, Taken};
use backstop_engine::rulebook::Policy;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
enum OfflineError {
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error("the daemon at {0} did not take a snapshot: {1}")]
    Remote(SocketAddr, String),
}

impl OfflineError {
    fn code(&self) -> u8 {
        match self {
            Self::Daemon(error) => error.code(),
            Self::Snapshot(_) | Self::Remote(..) => crate::exit::IO,
        }
    }
}

/// Nothing but what is asked for is written down.
const KEEP: Keep = Keep { snapshot_batches: 0, snapshot_seconds: 0, snapshots_kept: 3, min_free_mb: 0 };

/// `backstop snapshot`.
pub(crate) fn snapshot(options: &Snapshot) -> ExitCode {
    drop(daemon::log(daemon::LOG));
    let done = match (&options.admin, &options.data_dir) {
        (Some(admin), _) => remote(*admin, options.token.as_deref()),
        (None, Some(root)) => local(root),
        (None, None) => Ok(()),
    };
    crate::ended(done, OfflineError::code)
}

fn remote(admin: SocketAddr, token: Option<&str>) -> Result<(), OfflineError> {
    let failed = |error: ureq::Error| OfflineError::Remote(admin, error.to_string());
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(REMOTE));
    let agent: ureq::Agent = config.build().into();
    let mut request = agent.post(format!("http://{admin}/snapshot"));
    if let Some(token) = token {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut response = request.send_empty().map_err(failed)?;
    let body = response.body_mut().read_to_string().map_err(failed)?;
    if !response.status().is_success() {
        return Err(OfflineError::Remote(admin, body));
    }
    println!("{body}");
    Ok(())
}

/// A snapshot of a large venue takes seconds.
const REMOTE: Duration = Duration::from_secs(300);

fn local(root: &Path) -> Result<(), OfflineError> {
    let store = store::open(root).map_err(DaemonError::from)?;
    if let Some(taken) = caught_up(store, true)? {
        println!("{}", serde_json::to_string(&taken).unwrap_or_default());
    }
    Ok(())
}

/// `backstop reindex`.
pub(crate) fn reindex(options: &Reindex) -> ExitCode {
    drop(daemon::log(daemon::LOG));
    let done = store::open_without_history(&options.data_dir).map_err(DaemonError::from);
    let done = done.map_err(OfflineError::from).and_then(|store| caught_up(store, false));
    crate::ended(done.map(drop), OfflineError::code)
}

/// Starts, replays, takes a snapshot if asked for, and ends in good order.
fn caught_up(store: Store, takes_snapshot: bool) -> Result<Option<Taken>, OfflineError> {
    actix::System::new().block_on(async {
        let (halt, mut halted) = HaltSender::channel();
        let opened = store::start(1, daemon::gateway(false, None, Policy::default()), Some((store, &KEEP)), &halt)?;
        let (topology, _data) = opened.catch_up(&halt, &mut halted).await?;
        topology.gateway.serve();
        let work = async {
            let taken = if takes_snapshot { Some(topology.gateway.snapshot().await?) } else { None };
            topology.stop().await;
            Ok(taken)
        };
        let done = tokio::select! {
            done = work => done,
            halt = halted.recv() => Err(halt.map_or(DaemonError::Replay, DaemonError::Halted).into()),
        };
        halt.shut_down();
        done
    })
}
