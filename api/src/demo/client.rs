//! Talks to the daemon as a venue would: commands in bounded NDJSON bodies, lists page by page.
//!
//! A body that the daemon has no room for (429, 503) is sent again after the delay it asks for; anything else that is not
//! an answer ends the demo. Refusals of single commands are counted by code.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Most commands of one body.
const BODY_LINES_MAX: usize = 2_000;
/// Longest answer read: a tick of a crash reports many liquidations.
const ANSWER_BYTES_MAX: u64 = 1 << 28;
const REQUEST_TIMEOUT: Duration = Duration::from_secs(300);
/// Patience with a daemon that has no room: as often as this, waiting no less and no more than these.
const RETRIES_MAX: u32 = 200;
const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Patience with a daemon that starts.
const READY_TRIES: u32 = 100;
const PAGE: usize = 1_000;

/// Why the daemon could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No connection, or it broke.
    #[error("{url}: {error}")]
    Transport {
        /// What was asked.
        url: String,
        /// What went wrong.
        error: Box<ureq::Error>,
    },
    /// The request as a whole was refused.
    #[error("{url}: status {status}: {body}")]
    Status {
        /// What was asked.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The start of the answer.
        body: String,
    },
    /// The answer is not what was agreed.
    #[error("{url}: unexpected answer: {message}")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong with it.
        message: String,
    },
}

/// Commands refused for one reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Refusals {
    /// How many.
    pub(super) count: u64,
    /// The first one's command and sentence.
    pub(super) command: String,
    /// The first one's sentence.
    pub(super) message: String,
}

/// How fast the daemon works through its ticks, as `/v1/status` says.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Status {
    /// Hash of the state.
    #[serde(default)]
    pub(super) state_hash: Value,
    /// Seconds a tick.
    #[serde(default)]
    pub(super) tick_seconds: TickSeconds,
}

/// Engine time of ticks, in seconds.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct TickSeconds {
    /// How many ticks.
    #[serde(default)]
    pub(super) count: u64,
    /// Half of them took no longer.
    #[serde(default)]
    pub(super) p50: f64,
    /// 99 % of them took no longer.
    #[serde(default)]
    pub(super) p99: f64,
    /// The longest.
    #[serde(default)]
    pub(super) max: f64,
}

#[derive(Deserialize)]
struct Answer {
    code: Option<String>,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct PageOf<T> {
    items: Vec<T>,
    #[serde(default)]
    next: Value,
}

/// A connection to one daemon.
pub(super) struct Client {
    agent: ureq::Agent,
    api: String,
    admin: String,
    body: String,
    lines: usize,
    /// Commands sent.
    pub(super) sent: u64,
    /// Commands refused, by code.
    pub(super) refused: BTreeMap<String, Refusals>,
}

impl Client {
    /// For the daemon at these two addresses.
    pub(super) fn new(api: &str, admin: &str) -> Self {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(REQUEST_TIMEOUT)).build();
        Self {
            agent: config.into(),
            api: api.trim_end_matches('/').to_owned(),
            admin: admin.trim_end_matches('/').to_owned(),
            body: String::new(),
            lines: 0,
            sent: 0,
            refused: BTreeMap::new(),
        }
    }

    /// Waits until the daemon says it is ready.
    ///
    /// # Errors
    /// The last thing it said, when it is not ready in time.
    pub(super) fn wait_until_ready(&self) -> Result<(), ClientError> {
        let url = format!("{}/readyz", self.admin);
        let mut tries = 0;
        loop {
            let outcome = match self.agent.get(&url).call() {
                // A daemon without this page is up as well.
                Ok(response) if response.status().is_success() || response.status().as_u16() == 404 => return Ok(()),
                Ok(response) => Err(status_error(&url, response)),
                Err(error) => Err(transport(&url, error)),
            };
            tries += 1;
            if tries >= READY_TRIES {
                return outcome;
            }
            std::thread::sleep(RETRY_MIN);
        }
    }

    /// Puts a command into the next body; a full one is sent.
    ///
    /// # Errors
    /// Those of [`Self::flush`].
    pub(super) fn push(&mut self, command: &Value) -> Result<(), ClientError> {
        use std::fmt::Write;
        // Writing to a string cannot fail.
        let _ = writeln!(self.body, "{command}");
        self.lines += 1;
        if self.lines >= BODY_LINES_MAX { self.flush() } else { Ok(()) }
    }

    /// Sends what is waiting and reads every answer.
    ///
    /// # Errors
    /// [`ClientError`] when the body as a whole was not accepted.
    pub(super) fn flush(&mut self) -> Result<(), ClientError> {
        if self.lines == 0 {
            return Ok(());
        }
        let url = format!("{}/v1/commands", self.api);
        let mut tries = 0;
        let answers = loop {
            let request = self.agent.post(&url).header("content-type", "application/x-ndjson");
            let mut response = request.send(self.body.as_str()).map_err(|error| transport(&url, error))?;
            if response.status().is_success() {
                break text_of(&url, &mut response)?;
            }
            tries += 1;
            if !matches!(response.status().as_u16(), 429 | 503) || tries > RETRIES_MAX {
                return Err(status_error(&url, response));
            }
            std::thread::sleep(delay(&response));
        };
        self.read_answers(&url, &answers)?;
        self.sent += u64::try_from(self.lines).unwrap_or(0);
        self.body.clear();
        self.lines = 0;
        Ok(())
    }

    fn read_answers(&mut self, url: &str, answers: &str) -> Result<(), ClientError> {
        let bad = |message: String| ClientError::Answer { url: url.to_owned(), message };
        let mut read = 0;
        for (line, command) in answers.lines().filter(|line| !line.is_empty()).zip(self.body.lines()) {
            read += 1;
            let answer: Answer = serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
            if let Some(code) = answer.code {
                let entry = self.refused.entry(code).or_insert_with(|| Refusals {
                    count: 0,
                    command: command.chars().take(200).collect(),
                    message: answer.message,
                });
                entry.count += 1;
            }
        }
        if read == self.lines { Ok(()) } else { Err(bad(format!("{read} answers to {} commands", self.lines))) }
    }

    /// Reads one object.
    ///
    /// # Errors
    /// [`ClientError`] when there is none at `path`.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let url = format!("{}{path}", self.api);
        let mut tries = 0;
        let text = loop {
            let mut response = self.agent.get(&url).call().map_err(|error| transport(&url, error))?;
            if response.status().is_success() {
                break text_of(&url, &mut response)?;
            }
            tries += 1;
            if !matches!(response.status().as_u16(), 429 | 503) || tries > RETRIES_MAX {
                return Err(status_error(&url, response));
            }
            std::thread::sleep(delay(&response));
        };
        serde_json::from_str(&text).map_err(|error| ClientError::Answer { url, message: error.to_string() })
    }

    /// Reads a list to its end, item by item.
    ///
    /// # Errors
    /// [`ClientError`] when a page cannot be read, or the list does not advance.
    pub(super) fn each<T: DeserializeOwned>(&self, path: &str, mut visit: impl FnMut(T)) -> Result<(), ClientError> {
        let mut cursor: Option<String> = None;
        loop {
            let from = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let page: PageOf<T> = self.get(&format!("{path}?limit={PAGE}{from}"))?;
            page.items.into_iter().for_each(&mut visit);
            let next = match page.next {
                Value::Null => return Ok(()),
                Value::String(next) => next,
                other => other.to_string(),
            };
            if cursor.as_ref() == Some(&next) {
                let message = format!("the list stays at cursor {next}");
                return Err(ClientError::Answer { url: format!("{}{path}", self.api), message });
            }
            cursor = Some(next);
        }
    }

    /// Hash and timings.
    ///
    /// # Errors
    /// [`ClientError`] when there is no status.
    pub(super) fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status")
    }
}

type Response = ureq::http::Response<ureq::Body>;

fn text_of(url: &str, response: &mut Response) -> Result<String, ClientError> {
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX);
    body.read_to_string().map_err(|error| transport(url, error))
}

fn transport(url: &str, error: ureq::Error) -> ClientError {
    ClientError::Transport { url: url.to_owned(), error: Box::new(error) }
}

fn status_error(url: &str, mut response: Response) -> ClientError {
    let status = response.status().as_u16();
    let body = text_of(url, &mut response).unwrap_or_default().chars().take(300).collect();
    ClientError::Status { url: url.to_owned(), status, body }
}

/// The delay that the daemon asks for, within bounds.
fn delay(response: &Response) -> Duration {
    let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
    let seconds = header.and_then(|text| text.trim().parse::<f64>().ok()).filter(|seconds| *seconds >= 0.0);
    seconds.map_or(RETRY_MIN, |seconds| Duration::from_secs_f64(seconds.min(60.0))).clamp(RETRY_MIN, RETRY_MAX)
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
