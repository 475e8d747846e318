//! The configuration is read again at a hangup: keys, limits and log levels follow, everything else waits.

use crate::common::{Ask, At, Daemon, PATIENCE, Scratch, backstop};
use crate::keys::Ring;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

const TAKEN: &str = "the configuration was read again";
const NOT_TAKEN: &str = "the configuration cannot be used; the one before stays in force";

/// Has the daemon read its file again, for the so manieth time.
#[track_caller]
fn reread(daemon: &Daemon, said: &str, times: usize) -> String {
    daemon.signal("HUP");
    daemon.logged(said, times)
}

fn status(daemon: &Daemon, id: &str) -> u16 {
    daemon.ask_as(id, At::Api, Ask::get("/v1/status")).status
}

#[test]
fn a_key_that_is_added_works_and_one_that_is_removed_does_not() {
    let mut first = Ring::empty();
    first.add("venue", "venue", "");
    first.add_secret("operator-signs", "operator", "");
    let file = first.file("");
    let daemon = Daemon::configured(&file);
    assert_eq!([status(&daemon, "venue"), status(&daemon, "feed"), status(&daemon, "feed-signs")], [200, 401, 401]);

    let mut second = Ring::empty();
    second.add("feed", "venue", "");
    second.add_secret("feed-signs", "venue", "");
    std::fs::write(&file.0, &second.toml).unwrap();
    reread(&daemon, TAKEN, 1);
    assert_eq!([status(&daemon, "feed"), status(&daemon, "feed-signs")], [200, 200]);
    assert_eq!([status(&daemon, "venue"), status(&daemon, "operator-signs")], [401, 401]);

    // A key may become one of another role, and expire.
    let mut third = Ring::empty();
    third.add("feed", "operator", "");
    third.add_secret("feed-signs", "venue", "expires = 1");
    std::fs::write(&file.0, &third.toml).unwrap();
    reread(&daemon, TAKEN, 2);
    daemon.ask_as("feed", At::Api, Ask::commands(r#"{"type":"tick"}"#)).is_problem(403, "forbidden");
    daemon.ask_as("feed-signs", At::Api, Ask::get("/v1/status")).is_problem(401, "expired_credentials");
}

#[test]
fn a_signature_that_was_taken_is_not_taken_again_after_the_keys_are_read_again() {
    let ring = Ring::new();
    let file = ring.file("");
    let daemon = Daemon::configured(&file);
    let ask = Ask::get("/v1/status").from("venue-signs");
    assert_eq!(daemon.ask(At::Api, &ask).status, 200);
    reread(&daemon, TAKEN, 1);
    daemon.ask(At::Api, &ask).is_problem(401, "replayed");
}

#[test]
fn the_first_key_closes_what_was_open_and_the_last_one_opens_it_again() {
    let file = Scratch::new("config.toml", "");
    let daemon = Daemon::configured(&file);
    assert_eq!(daemon.get("/v1/status").status, 200);
    let ring = Ring::new();
    std::fs::write(&file.0, &ring.toml).unwrap();
    reread(&daemon, TAKEN, 1);
    daemon.get("/v1/status").is_problem(401, "missing_credentials");
    daemon.post("application/x-ndjson", r#"{"type":"tick"}"#).is_problem(401, "missing_credentials");
    assert_eq!(status(&daemon, "venue"), 200);
    let open = daemon.logged("", 1).matches("NO KEYS").count();
    std::fs::write(&file.0, "").unwrap();
    reread(&daemon, TAKEN, 2);
    assert_eq!(daemon.get("/v1/status").status, 200);
    assert!(daemon.logged("NO KEYS", open + 1).contains("may do anything"), "it says so again");
}

#[test]
fn limits_and_log_levels_follow_the_file() {
    let file = Scratch::new("config.toml", "log = \"warn,backstop=info\"\n");
    let daemon = Daemon::configured(&file);
    for _ in 0..20 {
        assert_eq!(daemon.get("/v1/markets").status, 200);
    }
    std::fs::write(&file.0, "[limits]\naddress_per_second = 1\naddress_burst = 1\nloopback = true\nwait_ms = 1\n")
        .unwrap();
    reread(&daemon, TAKEN, 1);
    let began = Instant::now();
    while daemon.get("/v1/markets").status != 429 {
        assert!(began.elapsed() < PATIENCE, "the limit does not hold");
    }
    std::fs::write(&file.0, "log = \"trace\"\n[limits]\nwait_ms = 1\n").unwrap();
    reread(&daemon, TAKEN, 2);
    for _ in 0..20 {
        assert_eq!(daemon.get("/v1/markets").status, 200);
    }
    daemon.get("/v1/markets?wait_for=99").is_problem(503, "not_reached");
    daemon.logged("TRACE", 1);
    std::fs::write(&file.0, "log = \"off,backstop=info\"\n").unwrap();
    reread(&daemon, TAKEN, 3);
}

#[test]
fn what_cannot_change_while_it_runs_is_named_and_waits() {
    let file = Scratch::new("config.toml", "");
    let daemon = Daemon::configured(&file);
    std::fs::write(&file.0, "shards = 4\nsnapshots_kept = 9\n").unwrap();
    reread(&daemon, "waits for a restart", 1);
    assert_eq!(daemon.read("/v1/status")["shards"], 1);
    // Back to what is running: nothing waits.
    std::fs::write(&file.0, "").unwrap();
    let log = reread(&daemon, TAKEN, 2);
    assert_eq!(log.matches("waits for a restart").count(), 1, "{log}");
}

#[test]
fn a_file_that_cannot_be_used_leaves_everything_as_it_was_and_says_so() {
    let ring = Ring::new();
    let good = "[limits]\naddress_burst = 50\n";
    let file = ring.file(good);
    let daemon = Daemon::configured(&file);
    let toml = &ring.toml;
    let broken = [
        format!("{good}{toml}\nthis is no TOML ["),
        format!("{good}{toml}\n[limits2]\n"),
        format!("[limits]\naddress_burst = \"many\"\n{toml}"),
        format!("[limits]\nwait_ms = 0\n{toml}"),
        format!("{good}{toml}{}", toml.split("[[keys]]").nth(1).map(|key| format!("[[keys]]{key}")).unwrap()),
        format!("{good}[[keys]]\nid = \"x\"\nrole = \"venue\"\nsecret_file = \"/nowhere/at/all\"\n"),
        format!("{good}[[keys]]\nid = \"x\"\nrole = \"emperor\"\ntoken_sha256 = \"00\"\n"),
        "log = \"backstop=loudest=1\"\nshards = 17\n".to_owned(),
    ];
    for (times, text) in (1..).zip(broken) {
        std::fs::write(&file.0, &text).unwrap();
        let log = reread(&daemon, NOT_TAKEN, times);
        assert!(log.contains("ERROR"), "{log}");
        assert_eq!(
            [status(&daemon, "venue"), status(&daemon, "venue-signs"), status(&daemon, "x")],
            [200, 200, 401],
            "{text}"
        );
    }
    std::fs::remove_file(&file.0).unwrap();
    reread(&daemon, NOT_TAKEN, 9);
    assert_eq!(status(&daemon, "venue"), 200);
    let mut fresh = Ring::empty();
    fresh.add("feed", "venue", "");
    std::fs::write(&file.0, &fresh.toml).unwrap();
    reread(&daemon, TAKEN, 1);
    assert_eq!([status(&daemon, "venue"), status(&daemon, "feed")], [401, 200]);
}

#[test]
fn a_log_level_that_makes_no_sense_keeps_the_levels_before() {
    let file = Scratch::new("config.toml", "");
    let daemon = Daemon::configured(&file);
    std::fs::write(&file.0, "log = \"backstop=loudest=1\"\n").unwrap();
    reread(&daemon, "the one before stays in force", 1);
    assert_eq!(daemon.get("/v1/status").status, 200);
}

#[test]
fn a_hangup_while_it_starts_ends_nothing() {
    let (data, file) = (Scratch::absent("data"), Scratch::new("config.toml", ""));
    let fixed = ["serve", "--config", file.path(), "--data-dir", data.path()];
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--mark-interval-ms", "0"];
    let mut command = backstop(&[&fixed[..], &listen].concat());
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(child.stderr.take().unwrap()).lines() {
        said.push(line.unwrap());
        if said.len() == 1 {
            let kill = format!("kill -HUP {}", child.id());
            assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        }
        if said.last().is_some_and(|line| line.contains(TAKEN)) {
            break;
        }
    }
    let ended = child.try_wait().unwrap();
    let _ = child.kill();
    let _ = child.wait();
    assert!(ended.is_none() && said.last().is_some_and(|line| line.contains(TAKEN)), "{ended:?}: {said:?}");
}
