//! The daemon: actors, API and admin listener, until a signal or a halt.

use crate::cli::{Keep, Serve};
use crate::http::{self, Api, Intake, Phase};
use crate::store::{self, Store};
use backstop_actors::data_dir::DataError;
use backstop_actors::gateway::GatewayConfig;
use backstop_actors::halt::{Halt, HaltSender};
use backstop_actors::telemetry;
use backstop_actors::topology::StartError;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::UnboundedReceiver;

/// What keeps the daemon from starting or going on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The server failed.
    #[error("the server failed: {0}")]
    Server(#[from] std::io::Error),
    /// The metrics recorder cannot be installed.
    #[error("cannot install the metrics recorder: {0}")]
    Metrics(String),
    /// The data directory cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The actors cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The history in memory cannot be made.
    #[error("the history cannot be made: {0}")]
    History(String),
    /// The journal could not be replayed; the halt says why.
    #[error("the journal could not be replayed")]
    Replay,
    /// It had to stop.
    #[error("halted: {0}")]
    Halted(#[from] Halt),
}

impl DaemonError {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Halted(Halt::JournalIo(_) | Halt::History(_)) | Self::Listen { .. } | Self::Server(_) => {
                crate::exit::IO
            }
            Self::Halted(Halt::JournalCorrupt(error)) => store::journal_code(error),
            Self::Halted(Halt::StateDiverged { .. }) | Self::Start(StartError::State(_)) => crate::exit::CORRUPT,
            Self::Data(error) => store::code(error),
            _ => crate::exit::SOFTWARE,
        }
    }
}

/// What a daemon is started with. It takes its listeners, so that a caller can bind port 0.
pub(crate) struct Setup<'a> {
    pub(crate) store: Option<(Store, &'a Keep)>,
    pub(crate) api: TcpListener,
    pub(crate) admin: TcpListener,
    pub(crate) shards: usize,
    pub(crate) accepts_time: bool,
    pub(crate) mark_interval: Option<Duration>,
}

/// Binds an address.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, DaemonError> {
    TcpListener::bind(address).map_err(|error| DaemonError::Listen { address, error })
}

/// Logs go to standard error; `BACKSTOP_LOG` says which.
pub(crate) fn log() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("BACKSTOP_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,actix_server=warn,actix_http=off"));
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second daemon in one process keeps the first one's log.
    let _ = logger.try_init();
}

fn recorder() -> Result<PrometheusHandle, DaemonError> {
    let failed = |error: metrics_exporter_prometheus::BuildError| DaemonError::Metrics(error.to_string());
    let mut builder = PrometheusBuilder::new();
    for (name, _, _, bounds) in telemetry::HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds).map_err(failed)?;
    }
    let handle = builder.install_recorder().map_err(failed)?;
    telemetry::describe(env!("CARGO_PKG_VERSION"));
    Ok(handle)
}

fn system_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// How a gateway works that nothing is kept for.
pub(crate) fn gateway(accepts_time: bool, mark_interval: Option<Duration>) -> GatewayConfig {
    GatewayConfig { accepts_time, mark_interval, clock: Arc::new(system_millis), room: None, snapshots: None }
}

/// Runs until `stop` resolves or the actors halt. `ready` is called when requests are served.
///
/// After `stop` nothing more is taken; what was taken is answered and safe, and the state is written down, before this
/// returns. A signal then ends it at once.
pub(crate) async fn run(
    setup: Setup<'_>,
    ready: impl FnOnce(),
    stop: impl Future<Output = ()>,
) -> Result<(), DaemonError> {
    let metrics = recorder()?;
    let (halt, mut halted) = HaltSender::channel();
    let opened = store::start(setup.shards, gateway(setup.accepts_time, setup.mark_interval), setup.store, &halt)?;
    let phase = Phase::default();
    let api = Api { topology: opened.topology.clone(), phase: phase.clone(), intake: Intake::default() };
    let admin = http::serve_admin(setup.admin, api.clone(), metrics)?;
    let admin_handle = admin.handle();
    drop(actix::spawn(admin));
    let mut stop = std::pin::pin!(stop);
    let (topology, _data) = tokio::select! {
        () = &mut stop => {
            halt.shut_down();
            return Ok(());
        }
        caught_up = opened.catch_up(&halt, &mut halted) => caught_up?,
    };
    topology.gateway.serve();
    let server = http::serve_api(setup.api, api)?;
    let handle = server.handle();
    drop(actix::spawn(server));
    phase.serving();
    ready();
    let ended = until(&mut halted, &mut stop).await;
    phase.stopping();
    if ended.is_ok() {
        tracing::info!("stopping: nothing more is taken; a second signal ends at once");
        let in_good_order = async {
            topology.stop().await;
            handle.stop(true).await;
        };
        // What cannot be kept while stopping is as bad as before.
        tokio::select! {
            () = in_good_order => {}
            () = signal() => tracing::warn!("ended at once; the next start replays the journal"),
            halt = halted.recv() => halt.map_or(Ok(()), |halt| Err(DaemonError::Halted(halt)))?,
        }
    } else {
        // Whoever waits for an answer waits for one that will not come.
        handle.stop(false).await;
    }
    admin_handle.stop(false).await;
    halt.shut_down();
    ended
}

async fn until(halted: &mut UnboundedReceiver<Halt>, stop: impl Future<Output = ()>) -> Result<(), DaemonError> {
    tokio::select! {
        () = stop => Ok(()),
        halt = halted.recv() => halt.map_or(Ok(()), |halt| Err(halt.into())),
    }
}

/// Resolves at SIGINT or SIGTERM.
pub(crate) async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    match (interrupt, terminate) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Without signals only a kill ends it.
        _ => std::future::pending().await,
    }
}

/// `backstop serve`.
pub(crate) fn serve(options: &Serve) -> ExitCode {
    log();
    let done = listen(options);
    if done.is_ok() {
        tracing::info!("stopped");
    }
    crate::ended(done, DaemonError::code)
}

fn listen(options: &Serve) -> Result<(), DaemonError> {
    let (api, admin) = (bind(options.listen)?, bind(options.admin)?);
    let (listen, admin_at) = (api.local_addr()?, admin.local_addr()?);
    let (shards, data_dir) = (usize::from(options.shards), options.data_dir.display());
    let store = Some((store::open(&options.data_dir)?, &options.keep));
    let mark_interval = (options.mark_interval_ms > 0).then(|| Duration::from_millis(options.mark_interval_ms));
    let setup = Setup { store, api, admin, shards, accepts_time: false, mark_interval };
    let ready = move || tracing::info!(api = %listen, admin = %admin_at, shards, data_dir = %data_dir, "serving");
    actix::System::new().block_on(run(setup, ready, signal()))
}
