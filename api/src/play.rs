//! `backstop demo`: a fresh daemon on free ports, and the demo against it through its own API.

use crate::cli::Demo;
use crate::config::Config;
use crate::daemon::{self, DaemonError, Setup};
use crate::demo;
use crate::store;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::sync::oneshot;

/// What keeps the demo from its end.
#[derive(Debug, thiserror::Error)]
enum PlayError {
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Demo(#[from] demo::DemoError),
    #[error("{}: the demo begins with a data directory in which nothing is kept yet", .0.display())]
    Used(PathBuf),
    #[error("the demo ended without a result")]
    Lost,
}

impl PlayError {
    fn code(&self) -> u8 {
        match self {
            Self::Daemon(error) => error.code(),
            Self::Demo(error) => error.code(),
            Self::Used(_) => crate::exit::USAGE,
            Self::Lost => crate::exit::SOFTWARE,
        }
    }
}

/// Plays it: 0, or why it could not.
pub(crate) fn demo(options: Demo) -> ExitCode {
    drop(daemon::log(daemon::LOG));
    crate::ended(play(options), PlayError::code)
}

fn play(options: Demo) -> Result<(), PlayError> {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let (api, admin) = (daemon::bind(free)?, daemon::bind(free)?);
    let (api_at, admin_at) = (address(&api)?, address(&admin)?);
    let shards = usize::from(options.shards);
    let keep = options.keep.clone();
    let store = match &options.data_dir {
        Some(root) => {
            let store = store::open(root).map_err(DaemonError::from)?;
            if !store.is_empty() {
                return Err(PlayError::Used(root.clone()));
            }
            Some((store, &keep))
        }
        None => None,
    };
    let root = options.data_dir.clone();
    let sealed_in = root.as_deref();
    let config = Config::defaults().map_err(DaemonError::from)?;
    let (settings, accepts_time, mark_interval, set_log) = (None, true, None, None);
    let setup =
        Setup { config: &config, settings, store, sealed_in, api, admin, shards, accepts_time, mark_interval, set_log };
    let (result, played) = oneshot::channel();
    let start = move || {
        std::thread::spawn(move || {
            let (mut out, mut progress) = (std::io::stdout(), std::io::stderr());
            let done = demo::run(&options.options(), &api_at, &admin_at, &mut out, &mut progress);
            if done.is_ok() && !options.exit {
                eprintln!("the daemon stays up for a look: {api_at}/  metrics: {admin_at}/metrics  (Ctrl-C ends it)");
            }
            // Nobody waits any more when a signal came first.
            let _ = result.send((done, options.exit));
        });
    };
    let mut outcome: Result<(), PlayError> = Err(PlayError::Lost);
    let stop = async {
        tokio::select! {
            played = played => {
                let (done, exit) = match played {
                    Ok((done, exit)) => (done.map_err(PlayError::from), exit),
                    Err(_) => (Err(PlayError::Lost), true),
                };
                let leave = exit || done.is_err();
                outcome = done;
                if !leave {
                    daemon::signal().await;
                }
            }
            () = daemon::signal() => outcome = Ok(()),
        }
    };
    actix::System::new().block_on(daemon::run(setup, start, stop))?;
    outcome
}

fn address(listener: &std::net::TcpListener) -> Result<String, DaemonError> {
    Ok(format!("http://{}", listener.local_addr()?))
}
