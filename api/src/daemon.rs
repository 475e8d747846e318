//! The daemon: actors, API and admin listener, until a signal or a halt.

use crate::cli::{Keep, Serve, Settings};
use crate::config::{Config, Unusable};
use crate::http::{self, Api, Doors, Keys, Phase, TlsError};
use crate::seal::{Seal, SealError};
use crate::store::{self, Store};
use backstop_actors::data_dir::DataError;
use backstop_actors::gateway::GatewayConfig;
use backstop_actors::halt::{Halt, HaltSender};
use backstop_actors::publisher::PublisherHandle;
use backstop_actors::telemetry;
use backstop_actors::topology::StartError;
use backstop_engine::rulebook::Policy;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{Signal, SignalKind, signal as signal_of};
use tokio::sync::mpsc::UnboundedReceiver;
use tracing_subscriber::EnvFilter;

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
    /// The configuration cannot be used.
    #[error("configuration: {0}")]
    Config(#[from] Unusable),
    /// A key cannot be used.
    #[error("configuration: keys: {0}")]
    Keys(String),
    /// TLS cannot be spoken.
    #[error(transparent)]
    Tls(TlsError),
    /// What is sealed cannot be used.
    #[error(transparent)]
    Seal(#[from] SealError),
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
            Self::Config(_) | Self::Keys(_) | Self::Tls(TlsError::Unusable(_)) => crate::exit::CONFIG,
            Self::Tls(TlsError::Io(_)) | Self::Seal(SealError::Io { .. }) => crate::exit::IO,
            Self::Seal(SealError::Unusable { .. }) => crate::exit::CORRUPT,
            _ => crate::exit::SOFTWARE,
        }
    }
}

impl From<TlsError> for DaemonError {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}

/// What a daemon is started with. It takes its listeners, so that a caller can bind port 0.
pub(crate) struct Setup<'a> {
    pub(crate) config: &'a Config,
    /// Where the configuration is read again from; none where it is not.
    pub(crate) settings: Option<&'a Settings>,
    pub(crate) store: Option<(Store, &'a Keep)>,
    /// Where the record is sealed; none where nothing is kept.
    pub(crate) sealed_in: Option<&'a Path>,
    pub(crate) api: TcpListener,
    pub(crate) admin: TcpListener,
    pub(crate) shards: usize,
    pub(crate) accepts_time: bool,
    pub(crate) mark_interval: Option<Duration>,
    pub(crate) set_log: Option<SetLog>,
}

/// Binds an address.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, DaemonError> {
    TcpListener::bind(address).map_err(|error| DaemonError::Listen { address, error })
}

/// Takes another log filter.
pub(crate) type SetLog = Box<dyn Fn(&str) -> bool + Send>;

fn filter(levels: &str) -> Result<EnvFilter, tracing_subscriber::filter::ParseError> {
    // The variable goes before the configuration, as it did when there was none.
    let named = std::env::var("BACKSTOP_LOG").ok().filter(|levels| !levels.is_empty());
    EnvFilter::builder().parse(named.as_deref().unwrap_or(levels))
}

/// What is logged where nothing is configured.
pub(crate) const LOG: &str = "info,actix_server=warn,actix_http=off";

/// Logs go to standard error.
pub(crate) fn log(levels: &str) -> SetLog {
    let filtered = filter(levels).unwrap_or_else(|_| EnvFilter::new(LOG));
    let logger = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_env_filter(filtered)
        .with_filter_reloading();
    let handle = logger.reload_handle();
    // A second daemon in one process keeps the first one's log.
    let _ = logger.try_init();
    Box::new(move |levels| filter(levels).is_ok_and(|filtered| handle.reload(filtered).is_ok()))
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
pub(crate) fn gateway(accepts_time: bool, mark_interval: Option<Duration>, policy: Policy) -> GatewayConfig {
    GatewayConfig { accepts_time, mark_interval, policy, clock: Arc::new(system_millis), room: None, snapshots: None }
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
    // From the first moment on: a hangup that nobody waits for would end the process.
    let hangup = setup.settings.map(|_| signal_of(SignalKind::hangup())).transpose()?;
    let metrics = recorder()?;
    let (halt, mut halted) = HaltSender::channel();
    let how = gateway(setup.accepts_time, setup.mark_interval, setup.config.rules.clone());
    let opened = store::start(setup.shards, how, setup.store, &halt)?;
    let phase = Phase::default();
    let config = setup.config;
    let keys = Keys::load(&config.keys, &config.auth).map_err(DaemonError::Keys)?;
    let doors = Doors::new(&config.limits);
    let seal = setup.sealed_in.map(|root| Seal::open(root, &config.proof.key_file)).transpose()?;
    let about = (config, seal.clone());
    let api = Api::new(opened.topology.clone(), phase.clone(), keys.clone(), doors.clone(), about);
    let addresses = [setup.api.local_addr()?, setup.admin.local_addr()?];
    warn_if_open(config, &addresses);
    let admin = http::serve_admin(setup.admin, api.clone(), metrics, config)?;
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
    let server = http::serve_api(setup.api, api, config)?;
    if let (Some(settings), Some(set_log), Some(hangup)) = (setup.settings, setup.set_log, hangup) {
        drop(actix::spawn(reload((settings.clone(), config.clone(), addresses), keys, doors, set_log, hangup)));
    }
    if let Some(seal) = seal {
        drop(actix::spawn(seal_days(seal, topology.publisher.clone())));
    }
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

/// Says what is open to whom while there is no key.
fn warn_if_open(config: &Config, addresses: &[SocketAddr]) {
    if !config.keys.is_empty() {
        return;
    }
    for address in addresses {
        if address.ip().is_loopback() {
            tracing::warn!(%address, "NO KEYS ARE CONFIGURED: whoever reaches this loopback address may do anything");
        } else {
            tracing::warn!(%address, "NO KEYS ARE CONFIGURED: this address is open to others than this machine, so it serves public reads only");
        }
    }
}

/// Seals each day soon after it is over.
async fn seal_days(seal: Seal, publisher: PublisherHandle) {
    let mut looks = tokio::time::interval(Duration::from_secs(60));
    loop {
        looks.tick().await;
        let now = publisher.progress().borrow().time;
        match seal.catch_up(&publisher, now).await {
            Ok(0) => {}
            Ok(days) => tracing::info!(days, "sealed"),
            // The publisher is gone: the daemon is stopping.
            Err(SealError::Stop(_)) => return,
            Err(reason) => tracing::error!(%reason, "a day cannot be sealed; it is tried again"),
        }
    }
}

/// At each SIGHUP, reads the configuration again and takes what may change while the daemon runs.
async fn reload(
    (settings, running, addresses): (Settings, Config, [SocketAddr; 2]),
    keys: Keys,
    doors: Doors,
    set_log: SetLog,
    mut hangup: Signal,
) {
    while hangup.recv().await.is_some() {
        let taken = Config::load(&settings).map_err(DaemonError::from).and_then(|fresh| {
            keys.reload(&fresh.keys, &fresh.auth).map_err(DaemonError::Keys)?;
            Ok(fresh)
        });
        match taken {
            Err(reason) => tracing::error!(%reason, "the configuration cannot be used; the one before stays in force"),
            Ok(fresh) => {
                doors.reload(&fresh.limits);
                warn_if_open(&fresh, &addresses);
                if !set_log(&fresh.log) {
                    tracing::error!(log = fresh.log, "the log levels cannot be used; those before stay in force");
                }
                let rest = |config: &Config| Config {
                    keys: Vec::new(),
                    auth: running.auth.clone(),
                    limits: running.limits.clone(),
                    log: String::new(),
                    ..config.clone()
                };
                if rest(&fresh) != rest(&running) {
                    tracing::warn!("what else has changed in the configuration waits for a restart");
                }
                tracing::info!(keys = fresh.keys.len(), "the configuration was read again");
            }
        }
    }
}

/// `backstop serve`.
pub(crate) fn serve(options: &Serve) -> ExitCode {
    let loaded = Config::load(&options.settings).and_then(|config| http::check(&config).map(|()| config));
    let config = match loaded {
        Ok(config) => config,
        Err(error) => return crate::ended(Err(DaemonError::from(error)), DaemonError::code),
    };
    let set_log = log(&config.log);
    let done = listen(&options.settings, &config, set_log);
    if done.is_ok() {
        tracing::info!("stopped");
    }
    crate::ended(done, DaemonError::code)
}

fn listen(settings: &Settings, config: &Config, set_log: SetLog) -> Result<(), DaemonError> {
    let (api, admin) = (bind(config.listen)?, bind(config.admin)?);
    let (listen, admin_at) = (api.local_addr()?, admin.local_addr()?);
    let (shards, data_dir) = (usize::from(config.shards), config.data_dir.display());
    let keep = Keep::from(config);
    let store = Some((store::open(&config.data_dir)?, &keep));
    let mark_interval = (config.mark_interval_ms > 0).then(|| Duration::from_millis(config.mark_interval_ms));
    let (settings, set_log, accepts_time) = (Some(settings), Some(set_log), false);
    let sealed_in = Some(config.data_dir.as_path());
    let setup = Setup { config, settings, store, sealed_in, api, admin, shards, accepts_time, mark_interval, set_log };
    let ready = move || tracing::info!(api = %listen, admin = %admin_at, shards, data_dir = %data_dir, "serving");
    actix::System::new().block_on(run(setup, ready, signal()))
}
