//! `backstop key`: what it prints is taken as it is.

use crate::common::{Ask, At, Daemon, Scratch, code, ended, text};
use crate::keys::Signature;

/// What was printed: the secret or token, and the lines for the configuration.
fn made(arguments: &[&str]) -> (String, String) {
    let whole: Vec<&str> = ["key"].iter().chain(arguments).copied().collect();
    let output = ended(&whole);
    assert_eq!(code(&output), 0, "{output:?}");
    let said = text(&output.stdout);
    let shown = said.lines().find(|line| !line.starts_with('#') && !line.is_empty()).unwrap();
    let (_, lines) = said.split_once("# for the configuration\n").unwrap_or_else(|| panic!("{said}"));
    (shown.to_owned(), lines.to_owned())
}

/// The lines with the file of the secret.
fn with_file(lines: &str, secret: &str) -> (String, Scratch) {
    let file = Scratch::new("secret", secret);
    assert!(lines.contains("secret_file = \"…\""), "{lines}");
    (lines.replace('…', file.path()), file)
}

#[test]
fn a_token_and_a_secret_of_each_role_work_as_they_are_printed() {
    let (venue_token, venue) = made(&["feed", "--token"]);
    let (operator_token, operator) = made(&["operations", "--role", "operator", "--token"]);
    let (alice_token, alice) = made(&["alice-reads", "--role", "account", "--account", "alice", "--token"]);
    let (secret, engine) = made(&["matching-engine", "--role", "venue"]);
    let (engine, _file) = with_file(&engine, &secret);
    let file = Scratch::new("config.toml", [venue, operator, alice, engine].join("\n"));
    assert_eq!(code(&ended(&["config", "check", "--config", file.path()])), 0);
    let daemon = Daemon::configured(&file);
    let shown = |ask: Ask, token: &str| ask.with("authorization", format!("Bearer {token}"));
    let list = || Ask::commands(r#"{"type":"list_asset","asset":"USDT","scale":6}"#);
    let deposit = || Ask::commands(r#"{"type":"deposit","account":"alice","asset":"USDT","amount":"1"}"#);
    assert_eq!(daemon.ask(At::Admin, &shown(list(), &operator_token)).lines()[0]["seq"], 1);
    assert_eq!(daemon.ask(At::Api, &shown(deposit(), &venue_token)).lines()[0]["seq"], 2);
    let signature = Signature { secret: secret.clone(), ..Signature::of("matching-engine") };
    assert_eq!(daemon.ask(At::Api, &deposit().signed(&signature)).lines()[0]["seq"], 3);
    let account = || Ask::get("/v1/accounts/alice");
    assert_eq!(daemon.ask(At::Api, &shown(account(), &alice_token)).json()["assets"][0]["wallet"], "2");
    daemon.ask(At::Api, &shown(Ask::get("/v1/accounts/bob"), &alice_token)).is_problem(403, "forbidden");
    // A secret is no token, and a token signs nothing.
    daemon.ask(At::Api, &shown(account(), &secret)).is_problem(401, "invalid_credentials");
    let signature = Signature { secret: venue_token, ..Signature::of("feed") };
    daemon.ask(At::Api, &account().signed(&signature)).is_problem(401, "invalid_credentials");
}

#[test]
fn every_key_is_another_and_long_enough() {
    let secrets: Vec<String> =
        (0..8).map(|_| made(&["feed"]).0).chain((0..8).map(|_| made(&["feed", "--token"]).0)).collect();
    for (place, secret) in secrets.iter().enumerate() {
        assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
        assert!(!secrets[..place].contains(secret));
    }
    let (token, lines) = made(&["feed", "--token"]);
    assert!(!lines.contains(&token), "the configuration has a hash only: {lines}");
}

#[test]
fn what_would_not_be_taken_is_not_made() {
    let long = "x".repeat(65);
    let wrong: [&[&str]; 10] = [
        &[],
        &["feed", "--role", "emperor"],
        &["alice-reads", "--role", "account"],
        &["feed", "--account", "alice"],
        &["feed", "--role", "operator", "--account", "alice"],
        &[""],
        &["a b"],
        &["a\"b"],
        &[&long],
        &["alice-reads", "--role", "account", "--account", "a\"b"],
    ];
    for arguments in wrong {
        let whole: Vec<&str> = ["key"].iter().chain(arguments).copied().collect();
        let output = ended(&whole);
        assert_eq!(code(&output), 64, "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}: {output:?}");
    }
}
