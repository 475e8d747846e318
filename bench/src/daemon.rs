//! The real binary as a child: started on free ports of loopback, signalled, and never left behind.

use crate::Failed;
use crate::http::Connection;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything takes on a busy machine; reached only when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// How often an end or readiness is looked for.
const GLANCE: Duration = Duration::from_millis(1);

/// How a daemon is started.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// The binary.
    pub(crate) binary: PathBuf,
    /// Where it keeps everything.
    pub(crate) data_dir: PathBuf,
    /// Margin shards.
    pub(crate) shards: u8,
    /// Milliseconds between ticks of its own; 0 for none.
    pub(crate) mark_interval_ms: u64,
    /// More flags.
    pub(crate) flags: Vec<String>,
    /// Settings that no flag has.
    pub(crate) environment: Vec<(&'static str, String)>,
}

impl Start {
    /// One shard, no ticks of its own, no more flags.
    pub(crate) fn new(binary: &Path, data_dir: &Path) -> Self {
        let (binary, data_dir) = (binary.to_path_buf(), data_dir.to_path_buf());
        Self { binary, data_dir, shards: 1, mark_interval_ms: 0, flags: Vec::new(), environment: Vec::new() }
    }

    /// One more flag with its value.
    pub(crate) fn with(mut self, flag: &str, value: impl ToString) -> Self {
        self.flags.extend([flag.to_owned(), value.to_string()]);
        self
    }

    /// One more setting of the environment.
    pub(crate) fn under(mut self, name: &'static str, value: impl ToString) -> Self {
        self.environment.push((name, value.to_string()));
        self
    }

    fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["serve".into(), "--data-dir".into(), self.data_dir.clone().into()];
        let fixed = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
        arguments.extend(fixed.iter().map(OsString::from));
        arguments.extend(["--shards".into(), self.shards.to_string().into()]);
        arguments.extend(["--mark-interval-ms".into(), self.mark_interval_ms.to_string().into()]);
        arguments.extend(self.flags.iter().map(OsString::from));
        arguments
    }
}

/// The binary with arguments, untouched by the settings of whoever runs this.
fn command(binary: &Path, arguments: &[OsString]) -> Command {
    let mut command = Command::new(binary);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BACKSTOP") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs the binary to its end. Its standard output goes to `out`, or is in memory.
pub(crate) fn ended(
    binary: &Path,
    arguments: &[OsString],
    out: Option<&Path>,
    patience: Duration,
) -> Result<Output, Failed> {
    let stdout = out.map_or_else(|| Ok(Stdio::piped()), |file| std::fs::File::create(file).map(Stdio::from))?;
    let mut child = command(binary, arguments).stdout(stdout).stderr(Stdio::piped()).spawn()?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn std::io::Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            bytes
        })
    };
    let out = read(out.map(|pipe| Box::new(pipe) as _));
    let err = read(err.map(|pipe| Box::new(pipe) as _));
    let status = awaited(&mut child, patience)?;
    if status.is_none() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let (stdout, stderr) = (out.join().unwrap_or_default(), err.join().unwrap_or_default());
    let status = status.ok_or_else(|| format!("{arguments:?} did not end within {patience:?}"))?;
    Ok(Output { status, stdout, stderr })
}

fn awaited(child: &mut Child, patience: Duration) -> std::io::Result<Option<ExitStatus>> {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if since.elapsed() > patience {
            return Ok(None);
        }
        std::thread::sleep(GLANCE);
    }
}

/// What it wrote to standard error so far.
#[derive(Default)]
struct Log {
    lines: Mutex<(Vec<String>, bool)>,
    grown: Condvar,
}

impl Log {
    fn read(&self, pipe: impl std::io::Read) {
        let mut lines = BufReader::new(pipe).split(b'\n');
        while let Some(Ok(line)) = lines.next() {
            let line = String::from_utf8_lossy(&line).into_owned();
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).0.push(line);
            self.grown.notify_all();
        }
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.grown.notify_all();
    }

    /// The first line that `find` makes something of; none when it ends or takes too long.
    fn wait<T>(&self, patience: Duration, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let since = Instant::now();
        let mut held = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = 0;
        loop {
            if let Some(found) = held.0.iter().skip(seen).find_map(|line| find(line)) {
                return Some(found);
            }
            seen = held.0.len();
            let left = patience.checked_sub(since.elapsed())?;
            if held.1 {
                return None;
            }
            held = self.grown.wait_timeout(held, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
    started: Instant,
    /// Where the API listens, and the admin listener; known when it serves.
    addresses: Option<(SocketAddr, SocketAddr)>,
}

/// The addresses in the line of the log that says it serves.
fn addresses(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let field = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.parse().ok());
    Some((field("api=")?, field("admin=")?)).filter(|_| line.contains("serving"))
}

impl Daemon {
    /// Starts it; it is not ready yet.
    pub(crate) fn spawn(start: &Start) -> Result<Self, Failed> {
        let started = Instant::now();
        let mut child = command(&start.binary, &start.arguments())
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", start.binary.display()))?;
        let log = Arc::new(Log::default());
        let reader = child.stderr.take().map(|pipe| {
            let log = Arc::clone(&log);
            std::thread::spawn(move || log.read(pipe))
        });
        Ok(Self { child, log, reader, started, addresses: None })
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(start: &Start) -> Result<Self, Failed> {
        let mut daemon = Self::spawn(start)?;
        daemon.ready()?;
        Ok(daemon)
    }

    /// Waits until `/readyz` says 200; how long that took since the start.
    pub(crate) fn ready(&mut self) -> Result<Duration, Failed> {
        let found = self.log.wait(PATIENCE, addresses);
        let Some((_, admin)) = found else {
            let status = awaited(&mut self.child, Duration::from_secs(1))?;
            return Err(format!("the daemon does not serve ({status:?}); its log:\n{}", self.log()).into());
        };
        self.addresses = found;
        while self.started.elapsed() < PATIENCE {
            let asked = Connection::open(admin, PATIENCE).and_then(|mut connection| connection.get("/readyz"));
            if asked.is_ok_and(|reply| reply.status == 200) {
                return Ok(self.started.elapsed());
            }
            std::thread::sleep(GLANCE);
        }
        Err("the daemon is not ready".into())
    }

    fn address(&self) -> Result<(SocketAddr, SocketAddr), Failed> {
        self.addresses.ok_or_else(|| "the daemon is not ready".into())
    }

    /// Where the API listens.
    pub(crate) fn api(&self) -> Result<SocketAddr, Failed> {
        Ok(self.address()?.0)
    }

    /// Where health and snapshots are asked for.
    pub(crate) fn admin(&self) -> Result<SocketAddr, Failed> {
        Ok(self.address()?.1)
    }

    /// A connection to the API.
    pub(crate) fn connect(&self) -> Result<Connection, Failed> {
        Ok(Connection::open(self.api()?, PATIENCE)?)
    }

    /// Reads a path of the API, which must be there.
    pub(crate) fn read(&self, path: &str) -> Result<serde_json::Value, Failed> {
        let reply = self.connect()?.get(path)?;
        match reply.status {
            200 => Ok(reply.json()),
            status => Err(format!("{path}: status {status}: {}", reply.body).into()),
        }
    }

    /// Sequence number and hash of the state.
    pub(crate) fn state(&self) -> Result<(u64, String), Failed> {
        let status = self.read("/v1/status")?;
        let seq = status.get("seq").and_then(serde_json::Value::as_u64);
        let hash = status.get("state_hash").and_then(serde_json::Value::as_str).map(str::to_owned);
        seq.zip(hash).ok_or_else(|| format!("/v1/status has no seq or state_hash: {status}").into())
    }

    /// Asks for a snapshot and waits for the answer.
    pub(crate) fn snapshot(&self) -> Result<crate::http::Reply, Failed> {
        Ok(Connection::open(self.admin()?, PATIENCE)?.post("/snapshot", b"")?)
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) -> Result<(), Failed> {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status()?;
        if sent.success() { Ok(()) } else { Err(format!("cannot send SIG{name}").into()) }
    }

    /// Kills it at once and waits for its end.
    pub(crate) fn kill(&mut self) -> std::io::Result<ExitStatus> {
        self.child.kill()?;
        self.child.wait()
    }

    /// Has it ended by itself?
    pub(crate) fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for its end; none when it takes too long.
    pub(crate) fn wait(&mut self, patience: Duration) -> std::io::Result<Option<ExitStatus>> {
        awaited(&mut self.child, patience)
    }

    /// Ends it with SIGTERM; it must exit with 0.
    pub(crate) fn stop(&mut self) -> Result<Duration, Failed> {
        let since = Instant::now();
        self.signal("TERM")?;
        match self.wait(PATIENCE)? {
            Some(status) if status.code() == Some(0) => Ok(since.elapsed()),
            Some(status) => Err(format!("SIGTERM ended it with {status}, not 0; its log:\n{}", self.log()).into()),
            None => Err(format!("SIGTERM did not end it; its log:\n{}", self.log()).into()),
        }
    }

    /// What it has logged. After its end, all of it.
    pub(crate) fn log(&mut self) -> String {
        if matches!(self.ended(), Ok(Some(_)))
            && let Some(reader) = self.reader.take()
        {
            let _ = reader.join();
        }
        self.log.lines.lock().unwrap_or_else(PoisonError::into_inner).0.join("\n")
    }

    /// Bytes of memory it holds, and the most it ever held.
    pub(crate) fn memory(&self) -> Option<(u64, u64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
        };
        field("VmRSS:").zip(field("VmHWM:"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}
