//! What a daemon says of itself.

use crate::Failed;
use crate::daemon::Daemon;
use serde_json::Value;

/// How long its ticks took since its start, in milliseconds of the engine's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticks {
    /// How many.
    pub(crate) count: u64,
    /// p50, p99 and max.
    pub(crate) quantiles: [f64; 3],
}

impl Ticks {
    /// From `/v1/status`.
    pub(crate) fn of(daemon: &Daemon) -> Result<Self, Failed> {
        let status = daemon.read("/v1/status")?;
        let ticks = status.get("tick_seconds").ok_or("/v1/status has no tick_seconds")?;
        let millis = |name: &str| ticks.get(name).and_then(Value::as_f64).map_or(f64::NAN, |seconds| seconds * 1e3);
        let count = ticks.get("count").and_then(Value::as_u64).ok_or("/v1/status does not count ticks")?;
        Ok(Self { count, quantiles: ["p50", "p99", "max"].map(millis) })
    }
}

/// Does money balance?
pub(crate) fn conserves(daemon: &Daemon) -> Result<bool, Failed> {
    Ok(daemon.read("/v1/conservation")?.get("holds").and_then(Value::as_bool).unwrap_or(false))
}
