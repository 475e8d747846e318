//! `/metrics`, `/healthz` and `/readyz`: every documented name, in the exposition format, and never an account.

use crate::common::Daemon;
use crate::crash;
use backstop_actors::telemetry::{COUNTERS, GAUGES, HISTOGRAMS};
use std::collections::{BTreeMap, BTreeSet};

/// Labels of samples; `le` is the bucket's.
const LABELS: [&str; 13] = [
    "actor", "asset", "code", "le", "market", "outcome", "policy", "pool", "quantile", "reason", "side", "type",
    "version",
];

/// A sample: its name, labels and value.
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

/// Reads the exposition format, strictly.
fn samples(text: &str) -> (BTreeMap<String, String>, Vec<Sample>) {
    let (mut types, mut helps, mut found) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(!help.is_empty() && helps.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "twice: {line}");
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line}"));
            let (name, rest) = series.split_once('{').unwrap_or((series, "}"));
            let inside = rest.strip_suffix('}').unwrap_or_else(|| panic!("{line}"));
            let pair = |text: &str| {
                let (label, value) = text.split_once('=').unwrap_or_else(|| panic!("{line}"));
                (label.to_owned(), value.trim_matches('"').to_owned())
            };
            let labels = inside.split(',').filter(|text| !text.is_empty()).map(pair).collect();
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            found.push(Sample { name: name.to_owned(), labels, value });
        }
    }
    assert!(types.keys().all(|name| helps.contains(name)), "every family has a help");
    (types, found)
}

/// Metrics once everything has been seen, mailbox depths too, which are sampled twice a second.
fn scraped(daemon: &Daemon) -> String {
    let began = std::time::Instant::now();
    loop {
        let reply = daemon.admin("/metrics");
        assert_eq!(reply.status, 200, "{reply:?}");
        assert!(reply.kind.starts_with("text/plain"), "{}", reply.kind);
        if reply.body.contains("backstop_mailbox_depth{") {
            return reply.body;
        }
        assert!(began.elapsed() < crate::common::PATIENCE, "mailbox depths are never sampled");
    }
}

#[test]
fn every_documented_metric_is_there_after_a_crash_and_no_account_is() {
    let daemon = Daemon::with(&["--mark-interval-ms", "0", "--shards", "2"]);
    daemon.apply(crash::OPENED);
    daemon.apply(crash::FALLEN);
    let refused = daemon.send(r#"{"type":"withdraw","account":"bob","asset":"USDT","amount":"99999999"}"#);
    assert_eq!(refused[0]["code"], "insufficient_margin");
    let text = scraped(&daemon);
    let (types, samples) = samples(&text);
    let histograms = HISTOGRAMS.iter().map(|(name, ..)| (*name, "histogram"));
    let documented = COUNTERS.iter().map(|(name, ..)| (*name, "counter"));
    let documented = documented.chain(GAUGES.iter().map(|(name, ..)| (*name, "gauge"))).chain(histograms);
    for (name, kind) in documented {
        assert_eq!(types.get(name).map(String::as_str), Some(kind), "{name}");
        assert!(samples.iter().any(|sample| sample.name.starts_with(name)), "{name} has no sample");
    }
    for sample in &samples {
        assert!(sample.name.starts_with("backstop_"), "{}", sample.name);
        for (label, value) in &sample.labels {
            assert!(LABELS.contains(&label.as_str()), "{label} on {}", sample.name);
            assert!(!crash::ACCOUNTS.contains(&value.as_str()), "an account on {}", sample.name);
            assert!(!value.starts_with("house:"), "an account on {}", sample.name);
        }
    }
    for account in crash::ACCOUNTS {
        assert!(!text.contains(account), "{account} in the metrics");
    }
}

#[test]
fn metrics_say_what_happened() {
    let daemon = Daemon::with(&["--mark-interval-ms", "0", "--shards", "2"]);
    daemon.apply(crash::OPENED);
    daemon.apply(crash::FALLEN);
    daemon.send(r#"{"type":"withdraw","account":"bob","asset":"USDT","amount":"99999999"}"#);
    let (_, samples) = samples(&scraped(&daemon));
    let value = |name: &str, labels: &[(&str, &str)]| {
        let fits = |sample: &&Sample| {
            let has = |(label, value): &(&str, &str)| sample.labels.get(*label).is_some_and(|found| found == value);
            sample.name == name && sample.labels.len() == labels.len() && labels.iter().all(has)
        };
        samples.iter().find(fits).unwrap_or_else(|| panic!("no {name} {labels:?}")).value
    };
    let seen = [
        ("backstop_build_info", vec![("version", env!("CARGO_PKG_VERSION"))], 1.0),
        ("backstop_commands_total", vec![("type", "deposit")], 7.0),
        ("backstop_commands_total", vec![("type", "fill")], 4.0),
        ("backstop_commands_total", vec![("type", "tick")], 2.0),
        ("backstop_commands_total", vec![("type", "withdraw")], 1.0),
        ("backstop_refusals_total", vec![("code", "insufficient_margin")], 1.0),
        ("backstop_ticks_total", vec![], 2.0),
        ("backstop_tick_seconds_count", vec![], 2.0),
        ("backstop_liquidations_started_total", vec![], 3.0),
        ("backstop_liquidations_total", vec![("outcome", "deleveraged")], 2.0),
        ("backstop_liquidations_total", vec![("outcome", "closed")], 1.0),
        ("backstop_adl_selections_total", vec![("market", "BTC-USDT"), ("side", "sell"), ("policy", "queue")], 1.0),
        ("backstop_adl_quantity_sum", vec![("market", "ETH-USDT"), ("side", "sell")], 10.0),
        ("backstop_shortfall_sum", vec![("market", "BTC-USDT")], 500.0),
        ("backstop_fund_debit_sum", vec![("asset", "USDT"), ("reason", "shortfall")], 500.0),
        ("backstop_fund_credit_sum", vec![("asset", "USDT"), ("reason", "seed_capital")], 400.0),
        ("backstop_fund_balance", vec![("asset", "USDT"), ("pool", "shared")], 40.0),
        ("backstop_fund_balance", vec![("asset", "BTC"), ("pool", "shared")], 1.5),
        ("backstop_fund_reserved", vec![("asset", "USDT"), ("pool", "shared")], 0.0),
        ("backstop_fund_peak", vec![("asset", "USDT"), ("pool", "shared")], 500.0),
        ("backstop_fund_liability", vec![("asset", "USDT")], 0.0),
        ("backstop_open_liquidations", vec![], 0.0),
        ("backstop_oldest_liquidation_age_seconds", vec![], 0.0),
        ("backstop_open_interest", vec![("market", "SOL-USDT")], 100.0),
        ("backstop_market_degraded", vec![("market", "BTC-USDT")], 0.0),
        ("backstop_conservation_error", vec![("asset", "USDT")], 0.0),
        ("backstop_conservation_error", vec![("asset", "BTC")], 0.0),
    ];
    for (name, labels, wanted) in seen {
        let found = value(name, &labels);
        assert!((found - wanted).abs() < 1e-9, "{name} {labels:?}: wanted {wanted}, got {found}");
    }
    assert!(samples.iter().any(|sample| sample.name == "backstop_tick_seconds_bucket"), "buckets, not quantiles");
}

#[test]
fn health_and_readiness_are_answered_on_the_admin_listener_only() {
    let daemon = Daemon::start();
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let reply = daemon.admin(path);
        assert_eq!((reply.status, reply.body.as_str()), (200, body));
        daemon.get(path).is_problem(404, "unknown_path");
    }
    for path in ["/v1/status", "/"] {
        daemon.admin(path).is_problem(404, "unknown_path");
    }
    daemon.admin("/v1/commands").is_problem(405, "method_not_allowed");
}
