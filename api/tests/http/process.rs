//! How the daemon starts, what it logs, and how it ends.

use crate::common::{Daemon, code, ended, text};
use crate::crash;
use std::net::TcpListener;

#[test]
fn a_signal_to_end_ends_it_with_0() {
    for signal in ["TERM", "INT"] {
        let daemon = Daemon::start();
        daemon.apply(crash::OPENED);
        // A connection that nobody uses does not hold it up.
        let _idle = daemon.connect();
        let (status, log) = daemon.end_by(signal);
        assert_eq!(status.code(), Some(0), "{signal}: {log}");
        assert!(log.contains("stopped"), "{log}");
    }
}

#[test]
fn the_log_goes_to_standard_error_without_colours_where_nobody_sees_them() {
    let daemon = Daemon::start();
    daemon.apply(crash::OPENED);
    daemon.apply(crash::FALLEN);
    let (_, log) = daemon.end_by("TERM");
    assert!(!log.contains('\u{1b}'), "{log:?}");
    for account in crash::ACCOUNTS {
        assert!(!log.contains(account), "{log}");
    }
}

#[test]
fn an_address_that_cannot_be_used_ends_it_with_74() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let held = taken.local_addr().unwrap().to_string();
    for arguments in [
        ["serve", "--listen", held.as_str(), "--admin", "127.0.0.1:0"],
        ["serve", "--listen", "127.0.0.1:0", "--admin", held.as_str()],
        // An address of no machine (TEST-NET-1).
        ["serve", "--listen", "192.0.2.1:8080", "--admin", "127.0.0.1:0"],
    ] {
        let output = ended(&arguments);
        assert_eq!(code(&output), 74, "{output:?}");
        let said = text(&output.stderr);
        assert!(said.contains("cannot listen on"), "{said}");
    }
}

#[test]
fn a_command_line_without_sense_ends_with_64() {
    let wrong: [&[&str]; 11] = [
        &["frobnicate"],
        &["--nonsense"],
        &["serve", "--listen", "nowhere"],
        &["serve", "--listen", "127.0.0.1"],
        &["serve", "--admin", "127.0.0.1:99999"],
        &["serve", "--shards", "0"],
        &["serve", "--shards", "17"],
        &["serve", "--mark-interval-ms", "-1"],
        &["serve", "extra"],
        &["demo", "--accounts", "5"],
        &["demo", "--order", "sideways"],
    ];
    for arguments in wrong {
        let output = ended(arguments);
        assert_eq!(code(&output), 64, "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}

#[test]
fn help_and_version_end_with_0() {
    for arguments in [&["--help"][..], &["--version"], &["help"], &["serve", "--help"], &["run", "--help"]] {
        let output = ended(arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {output:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
    assert!(text(&ended(&["--version"]).stdout).contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn it_ticks_by_itself_as_often_as_told() {
    let daemon = Daemon::with(&["--mark-interval-ms", "1"]);
    daemon.apply(crash::OPENED);
    let began = std::time::Instant::now();
    let ticks = || daemon.read("/v1/status")["tick_seconds"]["count"].as_u64().unwrap();
    let first = ticks();
    while ticks() < first + 3 {
        assert!(began.elapsed() < crate::common::PATIENCE, "it does not tick");
    }
    assert_eq!(daemon.read("/v1/conservation?audit=true")["holds"], true);
}

#[test]
fn the_dashboard_is_one_page_without_anything_from_outside() {
    let daemon = Daemon::start();
    let page = daemon.get("/");
    assert_eq!((page.status, page.kind.as_str()), (200, "text/html; charset=utf-8"));
    for outside in ["src=\"http", "href=\"http", "@import", "src=\"//"] {
        assert!(!page.body.contains(outside), "{outside}");
    }
}
