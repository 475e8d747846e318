//! What a daemon says of itself.

use crate::Failed;
use crate::daemon::{Daemon, PATIENCE};
use crate::http::Connection;
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

/// One series of `/metrics`, by its name with its labels.
pub(crate) fn metric(daemon: &Daemon, series: &str) -> Result<f64, Failed> {
    let text = Connection::open(daemon.admin()?, PATIENCE)?.get("/metrics")?.body;
    value(&text, series).ok_or_else(|| format!("/metrics has no {series}").into())
}

fn value(text: &str, series: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Does money balance?
pub(crate) fn conserves(daemon: &Daemon) -> Result<bool, Failed> {
    Ok(daemon.read("/v1/conservation")?.get("holds").and_then(Value::as_bool).unwrap_or(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_found_by_its_whole_name() {
        let text = "# TYPE cuts counter\ncuts_total{reason=\"a\"} 2\ncuts_total{reason=\"ab\"} 3\nopen 4\n";
        assert_eq!(value(text, "cuts_total{reason=\"ab\"}"), Some(3.0));
        assert_eq!(value(text, "open"), Some(4.0));
        assert_eq!(value(text, "cuts_total"), None);
    }
}
