//! Configuration: the defaults, then a file, then the environment, then flags. Unknown names are refused.

mod print;

pub(crate) use print::{Setting, settings};

use crate::cli;
use backstop_engine::rulebook::Policy;
use config::{Config as Layers, ConfigError, Environment, File, FileFormat};
use serde::Deserialize;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The defaults, with a comment on each: the file that users copy.
pub(crate) const DEFAULTS: &str = include_str!("../backstop.toml");

/// How the daemon works.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) shards: u8,
    pub(crate) mark_interval_ms: u64,
    pub(crate) snapshot_batches: u64,
    pub(crate) snapshot_seconds: u64,
    pub(crate) snapshots_kept: u16,
    pub(crate) min_free_mb: u64,
    pub(crate) log: String,
    pub(crate) keys: Vec<Key>,
    pub(crate) auth: Auth,
    pub(crate) limits: Limits,
    pub(crate) stream: Stream,
    pub(crate) tls: Tls,
    pub(crate) proof: Proof,
    pub(crate) rules: Policy,
}

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Reads one account.
    Account,
    /// Reads accounts, sends commands.
    Venue,
    /// Reads accounts, changes rules and capital.
    Operator,
}

/// A key as it is configured: no secret stands here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Key {
    pub(crate) id: String,
    pub(crate) role: Role,
    pub(crate) account: Option<String>,
    pub(crate) secret_file: Option<PathBuf>,
    pub(crate) token_sha256: Option<String>,
    pub(crate) expires: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Auth {
    pub(crate) window_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) address_per_second: u32,
    pub(crate) address_burst: u32,
    pub(crate) key_per_second: u32,
    pub(crate) key_burst: u32,
    pub(crate) loopback: bool,
    pub(crate) connections: usize,
    pub(crate) head_ms: u64,
    pub(crate) body_ms: u64,
    pub(crate) wait_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stream {
    pub(crate) connections: usize,
    pub(crate) topics: usize,
    pub(crate) slow_ms: u64,
    pub(crate) ping_ms: u64,
    pub(crate) account_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proof {
    pub(crate) key_file: PathBuf,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("{0}")]
    Layers(#[from] ConfigError),
    #[error("{name}: {reason}")]
    Value { name: &'static str, reason: String },
}

/// The layers on top of one another, not looked at yet.
fn layers(flags: &cli::Settings) -> Result<Layers, ConfigError> {
    let mut builder = Layers::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
    if let Some(path) = &flags.config {
        builder = builder.add_source(File::from(path.as_path()).format(FileFormat::Toml));
    }
    let environment = Environment::with_prefix("BACKSTOP").prefix_separator("__").separator("__");
    builder = builder.add_source(environment);
    for (name, value) in flags.given() {
        builder = builder.set_override(name, value)?;
    }
    builder.build()
}

impl Config {
    /// Reads all layers.
    pub(crate) fn load(flags: &cli::Settings) -> Result<Self, Unusable> {
        let config: Self = layers(flags)?.try_deserialize()?;
        config.check()?;
        Ok(config)
    }

    /// The defaults, whatever the environment says.
    pub(crate) fn defaults() -> Result<Self, Unusable> {
        let file = File::from_str(DEFAULTS, FileFormat::Toml);
        Ok(Layers::builder().add_source(file).build()?.try_deserialize()?)
    }

    fn check(&self) -> Result<(), Unusable> {
        let wrong = |name, reason: &str| Err(Unusable::Value { name, reason: reason.to_owned() });
        if !(1..=16).contains(&self.shards) {
            return wrong("shards", "1 to 16");
        }
        if self.snapshots_kept == 0 {
            return wrong("snapshots_kept", "at least 1");
        }
        if !(1..=60_000).contains(&self.auth.window_ms) {
            return wrong("auth.window_ms", "1 to 60000");
        }
        if self.tls.certificate.as_os_str().is_empty() != self.tls.key.as_os_str().is_empty() {
            return wrong("tls", "certificate and key belong together");
        }
        if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(&self.log) {
            return wrong("log", &error.to_string());
        }
        let limits = &self.limits;
        for (name, rate, burst) in [
            ("limits.address_burst", limits.address_per_second, limits.address_burst),
            ("limits.key_burst", limits.key_per_second, limits.key_burst),
        ] {
            if rate > 0 && burst == 0 {
                return wrong(name, "at least 1 where there is a limit");
            }
        }
        for (name, value) in [
            ("limits.connections", self.limits.connections),
            ("stream.connections", self.stream.connections),
            ("stream.topics", self.stream.topics),
        ] {
            if value == 0 {
                return wrong(name, "at least 1");
            }
        }
        // The server looks at its clock twice a second.
        if !(1_000..=3_600_000).contains(&limits.head_ms) {
            return wrong("limits.head_ms", "1000 to 3600000");
        }
        for (name, value) in [
            ("limits.body_ms", limits.body_ms),
            ("limits.wait_ms", limits.wait_ms),
            ("stream.slow_ms", self.stream.slow_ms),
            ("stream.ping_ms", self.stream.ping_ms),
            ("stream.account_ms", self.stream.account_ms),
        ] {
            if !(1..=3_600_000).contains(&value) {
                return wrong(name, "1 to 3600000");
            }
        }
        crate::http::Keys::check(&self.keys).map_err(|reason| Unusable::Value { name: "keys", reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commented_file_is_the_whole_configuration() {
        // Every field is required, so a default that is missing in the file, or one too many, does not load.
        let config = Config::defaults().unwrap();
        assert!(config.check().is_ok());
        assert!(config.listen.ip().is_loopback() && config.admin.ip().is_loopback());
        assert!(config.keys.is_empty());
    }
}
