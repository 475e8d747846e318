//! Keys of every role, by token and by signature, and requests that show them.

#![allow(dead_code, reason = "each test file uses its part")]

use super::common::{Ask, At, Daemon, Reply, Scratch};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How far a clock may be ahead, in milliseconds.
pub(crate) const AHEAD_MS: u64 = 1_000;

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// What a role's key shows.
pub(crate) fn token(id: &str) -> String {
    format!("token-of-{id}-that-nobody-may-log")
}

/// What a role's key signs with.
pub(crate) fn secret(id: &str) -> String {
    format!("secret-of-{id}-that-nobody-may-log-{}", "x".repeat(32))
}

/// Every key of the tests, as a configuration.
pub(crate) struct Ring {
    secrets: Vec<Scratch>,
    /// The lines of the configuration.
    pub(crate) toml: String,
}

/// The accounts, venue and operators of the tests; each has a token (`alice`) and a secret (`alice-signs`).
pub(crate) const HOLDERS: [(&str, &str); 5] =
    [("alice", "account"), ("bob", "account"), ("venue", "venue"), ("operator", "operator"), ("auditor", "operator")];

impl Ring {
    /// Without keys.
    pub(crate) fn empty() -> Self {
        Self { secrets: Vec::new(), toml: String::new() }
    }

    /// All holders, and keys of an operator that have expired.
    pub(crate) fn new() -> Self {
        let mut ring = Self::empty();
        for (id, role) in HOLDERS {
            ring.add(id, role, "");
            ring.add_secret(&format!("{id}-signs"), role, "");
        }
        ring.add("expired", "operator", "expires = 1");
        ring.add_secret("expired-signs", "operator", "expires = 1");
        ring
    }

    fn line(&mut self, id: &str, role: &str, rest: &str) {
        let account = id.strip_suffix("-signs").unwrap_or(id);
        let account = if role == "account" { format!("account = \"{account}\"\n") } else { String::new() };
        write!(self.toml, "\n[[keys]]\nid = \"{id}\"\nrole = \"{role}\"\n{account}{rest}\n").unwrap();
    }

    /// A key with a token.
    pub(crate) fn add(&mut self, id: &str, role: &str, more: &str) {
        let hash = hex(&Sha256::digest(token(id).as_bytes()));
        self.line(id, role, &format!("token_sha256 = \"{hash}\"\n{more}"));
    }

    /// A key with a secret.
    pub(crate) fn add_secret(&mut self, id: &str, role: &str, more: &str) {
        let file = Scratch::new("secret", format!("{}\n", secret(id)));
        self.line(id, role, &format!("secret_file = \"{}\"\n{more}", file.path()));
        self.secrets.push(file);
    }

    /// A configuration file with these keys after other lines.
    pub(crate) fn file(&self, lines: &str) -> Scratch {
        Scratch::new("config.toml", format!("{lines}\n{}", self.toml))
    }
}

/// A signature, with everything that may be wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    pub(crate) key: String,
    pub(crate) secret: String,
    pub(crate) timestamp: u64,
    pub(crate) window: Option<u64>,
    pub(crate) nonce: String,
    pub(crate) over: Option<Ask>,
}

impl Signature {
    /// As a key signs it now. What was signed before the daemon was there is not taken, so the clock of the tests is as
    /// far ahead as it may be.
    pub(crate) fn of(key: &str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            key: key.to_owned(),
            secret: secret(key),
            timestamp: now() + AHEAD_MS,
            window: None,
            nonce: NEXT.fetch_add(1, Ordering::Relaxed).to_string(),
            over: None,
        }
    }

    /// Over another request than that it is sent with.
    pub(crate) fn over(self, over: Ask) -> Self {
        Self { over: Some(over), ..self }
    }

    /// The signature of a request.
    pub(crate) fn text(&self, ask: &Ask) -> String {
        let ask = self.over.as_ref().unwrap_or(ask);
        let window = self.window.map(|window| window.to_string()).unwrap_or_default();
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        let timestamp = self.timestamp.to_string();
        for part in [timestamp.as_str(), &window, &self.nonce, ask.method, &ask.target] {
            mac.update(part.as_bytes());
            mac.update(b"\n");
        }
        mac.update(&ask.body);
        hex(&mac.finalize().into_bytes())
    }
}

impl Ask {
    /// With a token.
    pub(crate) fn bearing(self, id: &str) -> Self {
        self.with("authorization", format!("Bearer {}", token(id)))
    }

    /// Signed.
    pub(crate) fn signed(self, signature: &Signature) -> Self {
        let text = signature.text(&self);
        let signed = self
            .with("backstop-key", &signature.key)
            .with("backstop-timestamp", signature.timestamp.to_string())
            .with("backstop-nonce", &signature.nonce)
            .with("backstop-signature", text);
        match signature.window {
            Some(window) => signed.with("backstop-window", window.to_string()),
            None => signed,
        }
    }

    /// As a holder sends it: by token, or where the name says so, signed.
    pub(crate) fn from(self, id: &str) -> Self {
        if id.ends_with("-signs") { self.signed(&Signature::of(id)) } else { self.bearing(id) }
    }
}

/// Is it a command of operators?
pub(crate) fn is_of_operators(line: &str) -> bool {
    ["list_asset", "list_market", "set_injection_line", "seed_capital", "injection\""]
        .iter()
        .any(|word| line.contains(word))
}

impl Daemon {
    /// Asks as a holder of a key.
    pub(crate) fn ask_as(&self, id: &str, at: At, ask: Ask) -> Reply {
        self.ask(at, &ask.from(id))
    }

    /// Sends commands, each by whose it is; all are taken.
    #[track_caller]
    pub(crate) fn apply_keyed(&self, lines: &str) {
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            let (id, at) = if is_of_operators(line) { ("operator", At::Admin) } else { ("venue", At::Api) };
            let reply = self.ask_as(id, at, Ask::commands(line));
            assert_eq!(reply.status, 200, "{line}\n{reply:?}");
            assert!(reply.lines()[0]["seq"].is_u64() && reply.lines()[0].get("code").is_none(), "{line}\n{reply:?}");
        }
    }

    /// The state, in one line, as the venue reads it.
    #[track_caller]
    pub(crate) fn keyed_hash(&self) -> String {
        let reply = self.ask_as("venue", At::Api, Ask::get("/v1/status"));
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["state_hash"].as_str().unwrap().to_owned()
    }
}
