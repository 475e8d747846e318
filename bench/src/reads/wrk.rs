//! The load generator: `wrk`, two threads, and what it prints.

use crate::Failed;
use crate::daemon;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Threads of its own.
const THREADS: usize = 2;
/// How much longer than it was told it may take.
const GRACE: Duration = Duration::from_secs(30);

/// `wrk` as it is installed.
pub(super) struct Wrk(PathBuf);

/// What it measured.
#[derive(Debug, PartialEq)]
pub(super) struct Load {
    pub(super) per_second: f64,
    /// Milliseconds.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Answers of another status than 2xx and 3xx.
    pub(super) refused: u64,
    /// Connections, reads and writes that failed.
    pub(super) broken: u64,
    /// Answers later than two seconds.
    pub(super) late: u64,
}

impl Wrk {
    /// Looks for it on the PATH.
    pub(super) fn find() -> Result<Self, Failed> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).map(|folder| folder.join("wrk")).find(|file| file.is_file());
        let missing = "wrk is not on the PATH; Debian and Ubuntu have it: apt-get install wrk";
        Ok(Self(found.ok_or(missing)?))
    }

    /// Asks for a path on so many connections for so many seconds.
    pub(super) fn run(&self, at: SocketAddr, path: &str, connections: usize, seconds: u64) -> Result<Load, Failed> {
        let arguments = [
            format!("-t{THREADS}"),
            format!("-c{connections}"),
            format!("-d{seconds}s"),
            "--latency".into(),
            format!("http://{at}{path}"),
        ];
        let arguments: Vec<OsString> = arguments.map(OsString::from).into();
        let output = daemon::ended(Path::new(&self.0), &arguments, None, Duration::from_secs(seconds) + GRACE)?;
        let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            return Err(format!("wrk ended with {}: {error}", output.status).into());
        }
        read(&text).ok_or_else(|| format!("wrk printed something else than expected:\n{text}{error}").into())
    }
}

fn read(text: &str) -> Option<Load> {
    let after = |start: &str| text.lines().find_map(|line| line.trim().strip_prefix(start)).map(str::trim);
    let count = |line: Option<&str>, name: &str| -> u64 {
        let after = line.and_then(|line| line.split(name).nth(1)).unwrap_or_default();
        after.trim().split(',').next().and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    };
    let errors = after("Socket errors:");
    Some(Load {
        per_second: after("Requests/sec:")?.parse().ok()?,
        p50: millis(after("50%")?)?,
        p99: millis(after("99%")?)?,
        refused: after("Non-2xx or 3xx responses:").map_or(Some(0), |number| number.parse().ok())?,
        broken: ["connect", "read", "write"].map(|name| count(errors, name)).iter().sum(),
        late: count(errors, "timeout"),
    })
}

/// A time with its unit.
fn millis(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 3.6e6)];
    units.iter().find_map(|(unit, factor)| Some(text.strip_suffix(unit)?.parse::<f64>().ok()? * factor))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRINTED: &str = "Running 1s test @ http://127.0.0.1:8080/
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.99ms    1.27ms  21.32ms   91.56%
    Req/Sec    43.85k     4.01k   50.72k    65.00%
  Latency Distribution
     50%  635.00us
     75%    1.02ms
     90%    2.04ms
     99%    1.50s 
  87353 requests in 1.01s, 10.25MB read
Requests/sec:  86443.12
Transfer/sec:     10.14MB
";

    #[test]
    fn what_it_prints_is_read() {
        let load = Load { per_second: 86_443.12, p50: 0.635, p99: 1_500.0, refused: 0, broken: 0, late: 0 };
        assert_eq!(read(PRINTED), Some(load));
    }

    #[test]
    fn failures_are_read() {
        let failed =
            "Requests/sec: 1\n  Socket errors: connect 1, read 2, write 3, timeout 44\n  Non-2xx or 3xx responses: 5\n";
        let load = read(&format!("  50% 1us\n 99% 2m\n{failed}")).unwrap();
        assert_eq!((load.refused, load.broken, load.late, load.p99), (5, 6, 44, 120_000.0));
    }

    #[test]
    fn anything_else_is_not_taken_for_a_figure() {
        assert_eq!(read("unable to connect to 127.0.0.1:1 Connection refused"), None);
    }
}
