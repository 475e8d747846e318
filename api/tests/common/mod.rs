//! The real binary under test: a daemon on free ports that ends with its test, and a client that hides nothing.
//!
//! Nobody sleeps here: readiness is a line on standard error, and whatever else must come is asked for again.

#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine; reached only when something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The binary, untouched by the settings of whoever runs the tests.
pub(crate) fn backstop(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_backstop"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("BACKSTOP") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs it to its end; one that does not come is a failure, not a wait.
pub(crate) fn ended(arguments: &[&str]) -> Output {
    let child = backstop(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let (done, ended) = mpsc::channel();
    let waiting = std::thread::spawn(move || done.send(child.wait_with_output().unwrap()));
    ended.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let _ = Command::new("sh").args(["-c", &format!("kill -KILL {id}")]).status();
        let _ = waiting.join();
        panic!("{arguments:?} did not end: {:?}", ended.recv());
    })
}

/// Its exit code.
pub(crate) fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("ended by a signal: {output:?}"))
}

/// What it wrote, for people to read.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A file or folder that no other test has, gone with its owner.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    /// With a content.
    pub(crate) fn new(name: &str, content: impl AsRef<[u8]>) -> Self {
        let scratch = Self::absent(name);
        std::fs::write(&scratch.0, content).unwrap();
        scratch
    }

    /// A name where nothing is yet.
    pub(crate) fn absent(name: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let unique = format!("backstop-{}-{}-{name}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(unique))
    }

    /// As an argument.
    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0).or_else(|_| std::fs::remove_dir_all(&self.0));
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) allow: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Reply {
    /// A header; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The code of a problem; empty where it is none.
    pub(crate) fn code(&self) -> String {
        if self.kind != "application/problem+json" {
            return String::new();
        }
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body as one JSON value a line.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.body.lines().map(read).collect()
    }

    /// Is it a problem as RFC 9457 has them, of this status and code?
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.kind, "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["type"], format!("/problems/{code}"), "{problem}");
        for field in ["title", "detail"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} in {problem}");
        }
    }
}

/// What a process has written so far.
#[derive(Default)]
struct Log {
    text: Mutex<String>,
    grown: Condvar,
}

impl Log {
    /// A test that fails while it looks at the log has not spoiled it.
    fn lock(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A process that ends with its owner.
struct Running {
    child: Child,
    log: Arc<Log>,
    reader: Option<JoinHandle<()>>,
}

impl Running {
    /// Waits for the end, and returns the whole log.
    fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        (status, self.log.lock().clone())
    }
}

/// Which listener is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Api,
    Admin,
}

/// A request with all that a client may say.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Ask {
    /// A read.
    pub(crate) fn get(target: &str) -> Self {
        Self { method: "GET", target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// Commands, one a line.
    pub(crate) fn commands(lines: &str) -> Self {
        let headers = vec![("content-type", "application/x-ndjson".to_owned())];
        Self { method: "POST", target: "/v1/commands".to_owned(), headers, body: lines.into() }
    }

    /// By another method.
    pub(crate) fn by(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// With a header more.
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A daemon.
pub(crate) struct Daemon {
    running: Running,
    agent: ureq::Agent,
    /// Its data directory, where no test holds it.
    _data: Option<Scratch>,
    /// `host:port` of the API.
    pub(crate) api: String,
    /// `host:port` of metrics and health.
    pub(crate) admin: String,
}

/// The addresses in the line of the log that says it serves.
fn addresses(line: &str) -> Option<(String, String)> {
    let field = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)).map(str::to_owned);
    Some((field("api=")?, field("admin=")?)).filter(|_| line.contains("serving"))
}

impl Daemon {
    /// On one shard, without ticks of its own.
    pub(crate) fn start() -> Self {
        Self::with(&["--mark-interval-ms", "0"])
    }

    /// With more flags, and a data directory of its own.
    pub(crate) fn with(flags: &[&str]) -> Self {
        let data = Scratch::absent("data");
        let started = Self::over(&data, flags);
        Self { _data: Some(data), ..started }
    }

    /// With more flags, over a data directory.
    pub(crate) fn over(data: &Scratch, flags: &[&str]) -> Self {
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", data.path()];
        let arguments: Vec<&str> = fixed.iter().chain(flags).copied().collect();
        Self::launch(backstop(&arguments))
    }

    /// As a configuration file says, on free ports and over a data directory of its own unless the file says where; it
    /// ticks only when told to.
    pub(crate) fn configured(file: &Scratch) -> Self {
        let text = std::fs::read_to_string(&file.0).unwrap();
        let data = Scratch::absent("data");
        let named = |name: &str| text.lines().any(|line| line.starts_with(name));
        let mut command = backstop(&["serve", "--config", file.path()]);
        for (name, flag, value) in [
            ("listen ", "--listen", "127.0.0.1:0"),
            ("admin ", "--admin", "127.0.0.1:0"),
            ("data_dir ", "--data-dir", data.path()),
            ("mark_interval_ms ", "--mark-interval-ms", "0"),
        ] {
            if !named(name) {
                command.args([flag, value]);
            }
        }
        Self { _data: Some(data), ..Self::launch(command) }
    }

    /// Runs it until it serves.
    pub(crate) fn launch(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let (ready, readiness) = mpsc::channel();
        let log = Arc::new(Log::default());
        let written = log.clone();
        let reader = std::thread::spawn(move || {
            let mut line = String::new();
            // The log is read to its end, or the daemon would wait for a full pipe.
            while lines.read_line(&mut line).unwrap_or(0) > 0 {
                written.lock().push_str(&line);
                written.grown.notify_all();
                if let Some(found) = addresses(&line) {
                    let _ = ready.send(found);
                }
                line.clear();
            }
        });
        let mut running = Running { child, log, reader: Some(reader) };
        let Ok((api, admin)) = readiness.recv_timeout(PATIENCE) else {
            let _ = running.child.kill();
            panic!("the daemon did not start: {}", running.end().1);
        };
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build();
        let near = |address: String| address.replace("0.0.0.0", "127.0.0.1");
        Self { running, agent: config.into(), _data: None, api: near(api), admin: near(admin) }
    }

    /// Waits until the log has a text so often, and returns all of it.
    #[track_caller]
    pub(crate) fn logged(&self, text: &str, times: usize) -> String {
        let (mut whole, until) = (self.running.log.lock(), Instant::now() + PATIENCE);
        while whole.matches(text).count() < times {
            assert!(Instant::now() < until, "{text:?} is not {times} times in the log:\n{whole}");
            whole = self.running.log.grown.wait_timeout(whole, Duration::from_secs(1)).unwrap().0;
        }
        whole.clone()
    }

    /// Asks a listener.
    pub(crate) fn ask(&self, at: At, ask: &Ask) -> Reply {
        let host = if at == At::Api { &self.api } else { &self.admin };
        let url = format!("http://{host}{}", ask.target);
        let mut request = ureq::http::Request::builder().method(ask.method).uri(url);
        for (name, value) in &ask.headers {
            request = request.header(*name, value);
        }
        Self::answered(if ask.method == "POST" {
            self.agent.run(request.body(ask.body.as_slice()).unwrap())
        } else {
            self.agent.run(request.body(()).unwrap())
        })
    }

    fn answered(sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Reply {
        let mut response = sent.unwrap();
        let header = |name: &str| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let (kind, allow) = (header("content-type").unwrap_or_default(), header("allow"));
        let status = response.status().as_u16();
        let plain = |value: &ureq::http::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), plain(value))).collect();
        let body = response.body_mut().with_config().limit(1 << 30).read_to_string().unwrap();
        Reply { status, kind, allow, headers, body }
    }

    /// Reads from the API.
    pub(crate) fn get(&self, path: &str) -> Reply {
        Self::answered(self.agent.get(format!("http://{}{path}", self.api)).call())
    }

    /// Reads from the API what must be there.
    #[track_caller]
    pub(crate) fn read(&self, path: &str) -> Value {
        let reply = self.get(path);
        assert_eq!((reply.status, reply.kind.as_str()), (200, "application/json"), "{path}: {reply:?}");
        reply.json()
    }

    /// Reads from the admin listener.
    pub(crate) fn admin(&self, path: &str) -> Reply {
        Self::answered(self.agent.get(format!("http://{}{path}", self.admin)).call())
    }

    /// Has the admin listener do something.
    pub(crate) fn admin_post(&self, path: &str) -> Reply {
        Self::answered(self.agent.post(format!("http://{}{path}", self.admin)).send_empty())
    }

    /// Sends a body as it is.
    pub(crate) fn post(&self, kind: &str, body: impl AsRef<[u8]>) -> Reply {
        let request = self.agent.post(format!("http://{}/v1/commands", self.api)).header("content-type", kind);
        Self::answered(request.send(body.as_ref()))
    }

    /// Sends one command a line, and expects one answer a line.
    #[track_caller]
    pub(crate) fn send(&self, lines: &str) -> Vec<Value> {
        let reply = self.post("application/x-ndjson", lines);
        assert_eq!((reply.status, reply.kind.as_str()), (200, "application/x-ndjson"), "{reply:?}");
        let wanted = lines.lines().filter(|line| !line.trim().is_empty()).count();
        let answers = reply.lines();
        assert_eq!(answers.len(), wanted, "{answers:?}");
        answers
    }

    /// Sends one command a line, each of which is taken.
    #[track_caller]
    pub(crate) fn apply(&self, lines: &str) -> Vec<Value> {
        let answers = self.send(lines);
        for (answer, line) in answers.iter().zip(lines.lines().filter(|line| !line.trim().is_empty())) {
            assert!(answer["seq"].is_u64() && answer.get("code").is_none(), "{line}\n{answer}");
        }
        answers
    }

    /// Any request without a body.
    pub(crate) fn request(&self, method: &str, path: &str) -> Reply {
        let url = format!("http://{}{path}", self.api);
        let request = ureq::http::Request::builder().method(method).uri(url).body(()).unwrap();
        Self::answered(self.agent.run(request))
    }

    /// The state, in one line.
    #[track_caller]
    pub(crate) fn state_hash(&self) -> String {
        let status = self.read("/v1/status");
        status["state_hash"].as_str().unwrap_or_else(|| panic!("{status}")).to_owned()
    }

    /// A connection that says what no client would. It gives up rather than hang.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.api).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes as they are and reads until the daemon closes the connection.
    pub(crate) fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.running.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Sends a signal; how it ended, and its log.
    pub(crate) fn end_by(mut self, signal: &str) -> (ExitStatus, String) {
        self.signal(signal);
        self.running.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.reader.is_none() {
            return;
        }
        let _ = self.child.kill();
        let (_, log) = self.end();
        if std::thread::panicking() {
            eprintln!("the daemon's log:\n{log}");
        }
    }
}
