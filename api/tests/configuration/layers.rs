//! The defaults, then a file, then the environment, then flags: value by value, and `config print` says which.

use crate::common::{Daemon, Scratch, backstop, code, ended, text};
use std::collections::BTreeMap;

/// The file that users copy.
const COPIED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/backstop.toml");

/// Values and where they come from, by name.
type Printed = BTreeMap<String, (String, String)>;

/// What `config print` says with these flags and variables.
#[track_caller]
fn printed(flags: &[&str], variables: &[(&str, &str)]) -> Printed {
    let mut command = backstop(&["config", "print"]);
    let output = command.args(flags).envs(variables.iter().copied()).output().unwrap();
    assert_eq!(code(&output), 0, "{output:?}");
    let read = |line: &str| {
        let (setting, origin) = line.rsplit_once("  # ").unwrap_or_else(|| panic!("{line}"));
        let (name, value) = setting.split_once(" = ").unwrap_or_else(|| panic!("{line}"));
        (name.to_owned(), (value.trim_end().to_owned(), origin.to_owned()))
    };
    text(&output.stdout).lines().map(read).collect()
}

fn values(printed: &Printed) -> BTreeMap<&str, &str> {
    printed.iter().map(|(name, (value, _))| (name.as_str(), value.as_str())).collect()
}

/// A value and its origin.
#[track_caller]
fn is(printed: &Printed, name: &str, value: &str, origin: &str) {
    let (found, from) = printed.get(name).unwrap_or_else(|| panic!("{name} in {printed:?}"));
    assert_eq!(found, value, "{name}");
    assert!(from.ends_with(origin), "{name} is of {from}, not of {origin}");
}

#[test]
fn the_file_to_copy_holds_the_defaults_and_nothing_else() {
    let (plain, copied) = (printed(&[], &[]), printed(&["--config", COPIED], &[]));
    assert_eq!(values(&plain), values(&copied));
    assert!(plain.len() > 25, "{plain:?}");
    for (name, (_, origin)) in &plain {
        assert_eq!(origin, "default", "{name}");
    }
    for (name, (_, origin)) in &copied {
        assert!(origin.ends_with("backstop.toml"), "{name}: {origin}");
    }
}

#[test]
fn every_value_of_the_file_to_copy_has_a_comment() {
    let copied = std::fs::read_to_string(COPIED).unwrap();
    let (mut commented, mut section) = (false, String::new());
    for line in copied.lines() {
        match line.split_once(" = ") {
            _ if line.starts_with('#') => commented = true,
            _ if line.is_empty() => commented = false,
            _ if line.starts_with('[') => section = line.to_owned(),
            // One comment may stand for some values that belong together.
            Some((name, _)) => assert!(commented, "{section} {name}"),
            None => panic!("{line}"),
        }
    }
}

/// A value by flag: flag, name, variable, and values of the file, the environment and the flag as they are printed.
type Case = (&'static str, &'static str, &'static str, [&'static str; 3]);

const CASES: [Case; 9] = [
    ("--data-dir", "data_dir", "BACKSTOP__DATA_DIR", ["\"/srv/file\"", "\"/srv/variable\"", "\"/srv/flag\""]),
    ("--listen", "listen", "BACKSTOP__LISTEN", ["\"127.0.0.1:1001\"", "\"127.0.0.1:1002\"", "\"127.0.0.1:1003\""]),
    ("--admin", "admin", "BACKSTOP__ADMIN", ["\"127.0.0.1:1001\"", "\"127.0.0.1:1002\"", "\"[::1]:1003\""]),
    ("--shards", "shards", "BACKSTOP__SHARDS", ["2", "3", "4"]),
    ("--mark-interval-ms", "mark_interval_ms", "BACKSTOP__MARK_INTERVAL_MS", ["2", "3", "0"]),
    ("--snapshot-batches", "snapshot_batches", "BACKSTOP__SNAPSHOT_BATCHES", ["2", "3", "4"]),
    ("--snapshot-seconds", "snapshot_seconds", "BACKSTOP__SNAPSHOT_SECONDS", ["2", "3", "4"]),
    ("--snapshots-kept", "snapshots_kept", "BACKSTOP__SNAPSHOTS_KEPT", ["2", "3", "4"]),
    ("--min-free-mb", "min_free_mb", "BACKSTOP__MIN_FREE_MB", ["2", "3", "4"]),
];

/// The name of a file, as it is printed at least.
fn name(file: &Scratch) -> &str {
    file.0.file_name().unwrap().to_str().unwrap()
}

fn bare(value: &str) -> &str {
    value.trim_matches('"')
}

/// As `config print` shows a value, whatever it was read from.
#[track_caller]
fn shows(printed: &Printed, name: &str, value: &str, origin: &str) {
    let (found, from) = &printed[name];
    assert_eq!(bare(found), bare(value), "{name}");
    assert!(from.ends_with(origin), "{name} is of {from}, not of {origin}");
}

#[test]
fn a_flag_goes_before_the_environment_before_the_file_before_the_default_each_value_by_itself() {
    for (flag, name, variable, [in_file, in_environment, by_flag]) in CASES {
        let file = Scratch::new("config.toml", format!("{name} = {in_file}\n"));
        let with_file = ["--config", file.path()];
        let variable = [(variable, bare(in_environment))];
        let all = ["--config", file.path(), flag, bare(by_flag)];
        let default = printed(&[], &[]);
        shows(&printed(&with_file, &[]), name, in_file, self::name(&file));
        shows(&printed(&with_file, &variable), name, in_environment, "environment");
        shows(&printed(&[], &variable), name, in_environment, "environment");
        let last = printed(&all, &variable);
        shows(&last, name, by_flag, "flag");
        shows(&printed(&all, &[]), name, by_flag, "flag");
        // Nothing else has moved.
        for (other, value) in &default {
            if other != name {
                assert_eq!(&last[other], value, "{other} beside {name}");
            }
        }
    }
}

#[test]
fn nested_values_come_from_the_file_and_the_environment_too() {
    let file = Scratch::new(
        "config.toml",
        "[limits]\naddress_per_second = 7\nloopback = true\n[stream]\ntopics = 3\n[rules]\ndelay_ms = 60000\n[rules.ceilings]\nmax_fee_rate = \"0.02\"\n",
    );
    let variables = [
        ("BACKSTOP__LIMITS__ADDRESS_PER_SECOND", "8"),
        ("BACKSTOP__STREAM__PING_MS", "99"),
        ("BACKSTOP__RULES__CEILINGS__MAX_FEE_RATE", "0.01"),
        ("BACKSTOP__LIMITS__LOOPBACK", "false"),
    ];
    let found = printed(&["--config", file.path()], &[]);
    is(&found, "limits.address_per_second", "7", name(&file));
    is(&found, "limits.loopback", "true", name(&file));
    is(&found, "stream.topics", "3", name(&file));
    is(&found, "rules.delay_ms", "60000", name(&file));
    is(&found, "rules.ceilings.max_fee_rate", "\"0.02\"", name(&file));
    is(&found, "limits.wait_ms", "10000", "default");
    let found = printed(&["--config", file.path()], &variables);
    for (name, value) in [
        ("limits.address_per_second", "8"),
        ("limits.loopback", "false"),
        ("stream.ping_ms", "99"),
        ("rules.ceilings.max_fee_rate", "0.01"),
    ] {
        shows(&found, name, value, "environment");
    }
    is(&found, "rules.delay_ms", "60000", name(&file));
}

#[test]
fn the_file_may_be_named_by_the_environment() {
    let (named, flagged) = (Scratch::new("a.toml", "shards = 2\n"), Scratch::new("b.toml", "shards = 3\n"));
    let variable = [("BACKSTOP_CONFIG", named.path())];
    shows(&printed(&[], &variable), "shards", "2", name(&named));
    shows(&printed(&["--config", flagged.path()], &variable), "shards", "3", name(&flagged));
}

#[test]
fn what_is_printed_holds_no_secret() {
    let ring = crate::keys::Ring::new();
    let file = ring.file("");
    let output = ended(&["config", "print", "--config", file.path()]);
    assert_eq!(code(&output), 0, "{output:?}");
    let said = text(&output.stdout);
    for (id, _) in crate::keys::HOLDERS {
        assert!(said.contains(&format!("\"{id}\"")), "{said}");
        assert!(!said.contains(&crate::keys::secret(&format!("{id}-signs"))), "{said}");
    }
    let checked = ended(&["config", "check", "--config", file.path()]);
    assert_eq!((code(&checked), text(&checked.stdout).trim()), (0, "ok"));
}

#[test]
fn the_daemon_works_by_what_is_printed() {
    let file = Scratch::new("config.toml", "shards = 3\n[limits]\nwait_ms = 1\n[stream]\nconnections = 7\n");
    let daemon = Daemon::configured(&file);
    assert_eq!(daemon.read("/v1/status")["shards"], 3);
    daemon.get("/v1/markets?wait_for=1").is_problem(503, "not_reached");
}
