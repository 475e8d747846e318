//! A configuration that makes no sense is refused with 78 and the name of what is wrong, before anything is touched.

use crate::common::{Scratch, backstop, code, ended, text};

/// A file that is refused, and what the message names.
type Case = (&'static str, &'static [&'static str]);

const UNKNOWN: &[Case] = &[
    ("shard = 2\n", &["shard"]),
    ("Shards = 2\n", &["shards"]),
    ("[limit]\n", &["limit"]),
    ("[limits]\nadress_burst = 1\n", &["adress_burst", "limits"]),
    ("[stream]\nresume = true\n", &["resume", "stream"]),
    ("[auth]\nwindow = 1\n", &["window", "auth"]),
    ("[tls]\ncert = \"x\"\n", &["cert", "tls"]),
    ("[proof]\nkey = \"x\"\n", &["key", "proof"]),
    ("[rules]\ndelay = 1\n", &["delay", "rules"]),
    ("[rules.ceilings]\nmax_fee = \"1\"\n", &["max_fee", "rules.ceilings"]),
    ("[[keys]]\nid = \"x\"\nrole = \"venue\"\nsecret = \"y\"\n", &["secret", "keys"]),
    ("[limits.more]\nx = 1\n", &["more", "limits"]),
    ("limits.more = 1\n", &["more", "limits"]),
];

const WRONG_TYPE: &[Case] = &[
    ("shards = \"two\"\n", &["shards"]),
    ("shards = [1]\n", &["shards"]),
    ("listen = \"nowhere\"\n", &["listen"]),
    ("listen = \"127.0.0.1\"\n", &["listen"]),
    ("admin = \"127.0.0.1:99999\"\n", &["admin"]),
    ("limits = 5\n", &["limits"]),
    ("keys = \"x\"\n", &["keys"]),
    ("keys = [5]\n", &["keys"]),
    ("[keys]\nid = \"x\"\n", &["keys"]),
    ("[limits]\nloopback = \"perhaps\"\n", &["limits.loopback"]),
    ("[limits]\nwait_ms = \"soon\"\n", &["limits.wait_ms"]),
    ("[limits]\nwait_ms = {}\n", &["limits.wait_ms"]),
    ("[rules.ceilings]\nmax_fee_rate = \"much\"\n", &["max_fee_rate"]),
    ("[rules.ceilings]\nallowed_reduce = [\"half\"]\n", &["allowed_reduce"]),
    ("[[keys]]\nid = \"x\"\nrole = \"emperor\"\ntoken_sha256 = \"00\"\n", &["emperor", "keys[0]", "role"]),
    ("[[keys]]\nid = \"x\"\nrole = \"venue\"\ntoken_sha256 = \"00\"\nexpires = \"never\"\n", &["keys[0]", "expires"]),
];

const OUT_OF_RANGE: &[Case] = &[
    ("shards = 0\n", &["shards"]),
    ("shards = 17\n", &["shards"]),
    ("shards = 300\n", &["shards"]),
    ("shards = -1\n", &["shards"]),
    ("snapshots_kept = 0\n", &["snapshots_kept"]),
    ("mark_interval_ms = -1\n", &["mark_interval_ms"]),
    ("[auth]\nwindow_ms = 0\n", &["auth.window_ms"]),
    ("[auth]\nwindow_ms = 60001\n", &["auth.window_ms"]),
    ("[limits]\naddress_burst = 0\n", &["limits.address_burst"]),
    ("[limits]\nkey_burst = 0\n", &["limits.key_burst"]),
    ("[limits]\nconnections = 0\n", &["limits.connections"]),
    ("[limits]\nhead_ms = 0\n", &["limits.head_ms"]),
    ("[limits]\nbody_ms = 3600001\n", &["limits.body_ms"]),
    ("[limits]\nwait_ms = 0\n", &["limits.wait_ms"]),
    ("[limits]\naddress_per_second = 4294967296\n", &["limits.address_per_second"]),
    ("[stream]\nconnections = 0\n", &["stream.connections"]),
    ("[stream]\ntopics = 0\n", &["stream.topics"]),
    ("[stream]\nslow_ms = 0\n", &["stream.slow_ms"]),
    ("[stream]\nping_ms = 3600001\n", &["stream.ping_ms"]),
    ("[stream]\naccount_ms = 0\n", &["stream.account_ms"]),
    ("[rules]\ndelay_ms = -1\n", &["rules.delay_ms"]),
    ("[tls]\ncertificate = \"x\"\n", &["tls"]),
    ("[tls]\nkey = \"x\"\n", &["tls"]),
    ("log = \"backstop=loudest=1\"\n", &["log"]),
];

const HASH: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Keys that make no sense, and what the message names.
fn keys() -> Vec<(String, Vec<String>)> {
    let key = |fields: &str| format!("[[keys]]\n{fields}\n");
    let sound = format!("id = \"a\"\nrole = \"venue\"\ntoken_sha256 = \"{HASH}\"");
    let long = "x".repeat(65);
    let cases = [
        (key("role = \"venue\"\ntoken_sha256 = \"\""), "id"),
        (key(&format!("id = \"a\"\ntoken_sha256 = \"{HASH}\"")), "role"),
        (key("id = \"a\"\nrole = \"venue\""), "a: a key has a secret_file or a token_sha256"),
        (key(&format!("{sound}\nsecret_file = \"/x\"")), "a: a key has a secret_file or a token_sha256"),
        (key("id = \"a\"\nrole = \"venue\"\ntoken_sha256 = \"12\""), "a: token_sha256"),
        (
            key(&format!("id = \"a\"\nrole = \"venue\"\ntoken_sha256 = \"{}\"", HASH.replace('0', "g"))),
            "a: token_sha256",
        ),
        (key(&format!("id = \"\"\nrole = \"venue\"\ntoken_sha256 = \"{HASH}\"")), "id"),
        (key(&format!("id = \"a b\"\nrole = \"venue\"\ntoken_sha256 = \"{HASH}\"")), "a b: an id"),
        (key(&format!("id = \"{long}\"\nrole = \"venue\"\ntoken_sha256 = \"{HASH}\"")), "an id has 1 to 64"),
        (key(&format!("{sound}\naccount = \"alice\"")), "a: role account"),
        (key(&format!("id = \"a\"\nrole = \"account\"\ntoken_sha256 = \"{HASH}\"")), "a: role account"),
        (format!("{}{}", key(&sound), key(&sound)), "a: there are two keys"),
        (key("id = \"a\"\nrole = \"venue\"\nsecret_file = \"/nowhere/at/all\""), "/nowhere/at/all"),
        // The second of two is as wrong as the first.
        (format!("{}{}", key(&sound), key("id = \"b\"\nrole = \"venue\"\ntoken_sha256 = 5")), "b: token_sha256"),
    ];
    let named = |(text, name): (String, &str)| (text, vec!["keys".to_owned(), name.to_owned()]);
    cases.into_iter().map(named).collect()
}

/// Runs the daemon with it: how it ended, and what it said. It never begins.
fn served(content: &str) -> (i32, String) {
    let file = Scratch::new("config.toml", content);
    let data = Scratch::absent("data");
    let listen = match content.split(' ').next() {
        Some("listen") => &["--admin", "127.0.0.1:0"][..],
        Some("admin") => &["--listen", "127.0.0.1:0"],
        _ => &["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
    };
    let fixed = [&["serve", "--config", file.path(), "--data-dir", data.path()][..], listen].concat();
    let checked = ended(&["config", "check", "--config", file.path()]);
    if code(&checked) == 0 && !content.contains("secret_file") {
        // It would serve.
        return (0, String::new());
    }
    let output = ended(&fixed);
    let said = text(&output.stderr);
    assert!(output.stdout.is_empty(), "{output:?}");
    (code(&output), said)
}

/// Every file is refused with 78, and the message has every name.
fn all_refused(cases: &[(String, Vec<String>)]) {
    let mut wrong = Vec::new();
    for (file, names) in cases {
        let scratch = Scratch::new("config.toml", file);
        let checked = ended(&["config", "check", "--config", scratch.path()]);
        let (served, said) = served(file);
        let has_names = names.iter().all(|name| said.contains(name));
        // A file of a secret is looked at by the daemon alone.
        let checks = code(&checked) == 78 || file.contains("secret_file");
        if served != 78 || !has_names || !checks || !said.starts_with("backstop: ") {
            wrong.push(format!("{file}  serve {served}, check {}: {said}  wanted {names:?}", code(&checked)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn owned(cases: &[Case]) -> Vec<(String, Vec<String>)> {
    let name = |name: &&str| (*name).to_owned();
    cases.iter().map(|(file, names)| ((*file).to_owned(), names.iter().map(name).collect())).collect()
}

#[test]
fn an_unknown_name_is_refused_wherever_it_stands() {
    all_refused(&owned(UNKNOWN));
}

#[test]
fn a_value_of_another_type_is_refused() {
    all_refused(&owned(WRONG_TYPE));
}

#[test]
fn a_value_out_of_its_range_is_refused() {
    all_refused(&owned(OUT_OF_RANGE));
}

#[test]
fn a_key_that_makes_no_sense_is_refused_by_its_name() {
    all_refused(&keys());
}

#[test]
fn a_secret_that_is_short_is_refused_without_being_shown() {
    for secret in ["", "\n", "short-and-secret", &format!("  {}\n", "s".repeat(31))] {
        let file = Scratch::new("secret", secret);
        let (code, said) =
            served(&format!("[[keys]]\nid = \"feed\"\nrole = \"venue\"\nsecret_file = \"{}\"\n", file.path()));
        assert_eq!(code, 78, "{said}");
        assert!(said.contains("feed") && said.contains(file.path()) && said.contains("32"), "{said}");
        assert!(secret.trim().is_empty() || !said.contains(secret.trim()), "{said}");
    }
}

#[test]
fn a_file_that_is_not_there_or_is_no_toml_is_refused_by_its_name() {
    let absent = Scratch::absent("config.toml");
    let broken = Scratch::new("config.toml", "this is [no TOML");
    let folder = Scratch::absent("config.toml");
    std::fs::create_dir_all(&folder.0).unwrap();
    for file in [&absent, &broken, &folder] {
        for arguments in [
            &["serve", "--config", file.path()][..],
            &["config", "check", "--config", file.path()],
            &["config", "print", "--config", file.path()],
        ] {
            let output = ended(arguments);
            assert_eq!(code(&output), 78, "{output:?}");
            let name = file.0.file_name().unwrap().to_str().unwrap();
            assert!(text(&output.stderr).contains(name), "{output:?}");
        }
    }
}

#[test]
fn the_environment_is_looked_at_as_closely() {
    let check = |variable: &str, value: &str| {
        let output = backstop(&["config", "check"]).env(variable, value).output().unwrap();
        (code(&output), text(&output.stderr))
    };
    for (variable, value, name) in [
        ("BACKSTOP__SHARDS", "two", "shards"),
        ("BACKSTOP__SHARDS", "17", "shards"),
        ("BACKSTOP__SHARDS", "", "shards"),
        ("BACKSTOP__SHARD", "2", "shard"),
        ("BACKSTOP__LIMITS__ADRESS_BURST", "2", "adress_burst"),
        ("BACKSTOP__LIMITS__WAIT_MS", "-1", "limits.wait_ms"),
        ("BACKSTOP__LISTEN", "nowhere", "listen"),
        ("BACKSTOP__RULES__CEILINGS__MAX_FEE", "1", "max_fee"),
    ] {
        let (code, said) = check(variable, value);
        assert_eq!(code, 78, "{variable}={value}: {said}");
        assert!(said.contains(name), "{variable}={value}: {said}");
    }
    // What is not of the configuration is nobody's business.
    assert_eq!(check("BACKSTOPPER", "x").0, 0);
}

#[test]
fn a_flag_without_sense_is_one_of_the_command_line() {
    for flags in [["--shards", "0"], ["--listen", "nowhere"], ["--snapshots-kept", "0"], ["--min-free-mb", "-1"]] {
        let output = backstop(&["config", "check"]).args(flags).output().unwrap();
        assert_eq!(code(&output), 64, "{output:?}");
    }
}

#[test]
fn nothing_is_touched_by_a_daemon_that_is_refused() {
    let data = Scratch::absent("data");
    let file = Scratch::new("config.toml", "shards = 17\n");
    let output = ended(&["serve", "--config", file.path(), "--data-dir", data.path()]);
    assert_eq!(code(&output), 78);
    assert!(!data.0.exists(), "no directory is made for it");
}
