//! The daemon: actors, API and admin listener, until a signal or a halt.

use crate::cli::Serve;
use crate::http::{self, Api};
use backstop_actors::gateway::GatewayConfig;
use backstop_actors::halt::{Halt, HaltSender};
use backstop_actors::journal::MemoryJournal;
use backstop_actors::telemetry;
use backstop_actors::topology::{self, Placement, Plan};
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
    /// It had to stop.
    #[error("halted: {0}")]
    Halted(#[from] Halt),
}

impl DaemonError {
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Halted(Halt::JournalIo(_)) | Self::Listen { .. } | Self::Server(_) => crate::exit::IO,
            _ => crate::exit::SOFTWARE,
        }
    }
}

/// What a daemon is started with. It takes its listeners, so that a caller can bind port 0.
pub(crate) struct Setup {
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

/// Runs until `stop` resolves or the actors halt. `ready` is called when requests are served.
pub(crate) async fn run(setup: Setup, ready: impl FnOnce(), stop: impl Future<Output = ()>) -> Result<(), DaemonError> {
    let metrics = recorder()?;
    let (halt, halted) = HaltSender::channel();
    let gateway = GatewayConfig {
        accepts_time: setup.accepts_time,
        mark_interval: setup.mark_interval,
        clock: Arc::new(system_millis),
    };
    let plan = Plan {
        shards: setup.shards,
        placement: Placement::Spread,
        shows_accounts: false,
        gateway,
        journal: Box::new(MemoryJournal::default()),
    };
    let api = Api { topology: topology::start(plan, &halt)? };
    let servers = [http::serve_api(setup.api, api.clone())?, http::serve_admin(setup.admin, api, metrics)?];
    let handles: Vec<_> = servers.iter().map(actix_web::dev::Server::handle).collect();
    servers.into_iter().for_each(|server| drop(actix::spawn(server)));
    ready();
    let ended = until(halted, stop).await;
    for handle in handles {
        handle.stop(true).await;
    }
    halt.shut_down();
    ended
}

async fn until(mut halted: UnboundedReceiver<Halt>, stop: impl Future<Output = ()>) -> Result<(), DaemonError> {
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
    let interval = (options.mark_interval_ms > 0).then(|| Duration::from_millis(options.mark_interval_ms));
    let done = bind(options.listen).and_then(|api| Ok((api, bind(options.admin)?))).and_then(|(api, admin)| {
        let (listen, admin_at) = (api.local_addr()?, admin.local_addr()?);
        let shards = usize::from(options.shards);
        let setup = Setup { api, admin, shards, accepts_time: false, mark_interval: interval };
        let ready = move || {
            tracing::info!(api = %listen, admin = %admin_at, shards, "serving");
            tracing::warn!("the journal is in memory: a restart begins empty");
        };
        actix::System::new().block_on(run(setup, ready, signal()))
    });
    match done {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("backstop: {error}");
            ExitCode::from(error.code())
        }
    }
}
