//! `POST /v1/commands`: the same form and order, each command on its own, numbers of producers.

use crate::common::{Daemon, text};
use crate::crash;
use serde_json::{Value, json};

const LISTED: &str = r#"{"type":"list_asset","asset":"USDT","scale":6}"#;

fn deposit(account: &str, amount: &str) -> String {
    json!({"type": "deposit", "account": account, "asset": "USDT", "amount": amount}).to_string()
}

fn wallet(daemon: &Daemon, account: &str) -> String {
    text(daemon.read(&format!("/v1/accounts/{account}"))["assets"][0]["wallet"].as_str().unwrap().as_bytes())
}

#[test]
fn lines_are_answered_by_lines_and_an_array_by_an_array_in_the_same_order() {
    let daemon = Daemon::start();
    let reply = daemon.post("application/x-ndjson", format!("{LISTED}\n{}\n", deposit("alice", "1")));
    assert_eq!((reply.status, reply.kind.as_str()), (200, "application/x-ndjson"), "{reply:?}");
    assert!(reply.body.ends_with('\n'), "every line ends");
    let lines = reply.lines();
    assert_eq!([&lines[0]["seq"], &lines[1]["seq"]], [1, 2], "{lines:?}");

    let body = format!("[{}, {},\n{}]", deposit("alice", "2"), deposit("bob", "0"), deposit("bob", "4"));
    let reply = daemon.post("application/json", body);
    assert_eq!((reply.status, reply.kind.as_str()), (200, "application/json"), "{reply:?}");
    let array = reply.json();
    let answers = array.as_array().unwrap();
    assert_eq!(answers.len(), 3, "{array}");
    assert_eq!(answers[0]["seq"], 3, "{array}");
    assert_eq!((&answers[1]["code"], &answers[1]["field"]), (&json!("out_of_range"), &json!("amount")), "{array}");
    assert_eq!(answers[2]["seq"], 4, "{array}");
    assert_eq!([wallet(&daemon, "alice"), wallet(&daemon, "bob")], ["3", "4"]);
}

#[test]
fn an_answer_has_a_place_and_a_time_and_neither_runs_backwards() {
    let daemon = Daemon::start();
    let body = format!("{LISTED}\n{}", vec![deposit("alice", "1"); 300].join("\n"));
    let answers = daemon.apply(&body);
    for (place, answer) in answers.iter().enumerate() {
        assert_eq!(answer["seq"], place + 1, "{answer}");
    }
    let times: Vec<u64> = answers.iter().map(|answer| answer["time"].as_u64().unwrap()).collect();
    assert!(times.is_sorted() && times[0] > 1_600_000_000_000, "Unix milliseconds: {times:?}");
    assert_eq!(wallet(&daemon, "alice"), "300");
}

#[test]
fn one_bad_line_never_spoils_its_neighbours() {
    let daemon = Daemon::start();
    let mut body = format!("{LISTED}\n{}\n", deposit("alice", "1")).into_bytes();
    body.extend_from_slice(b"\"\xff\xfe\"\n{\"type\":\nnull\n\n   \n[]\n");
    body.extend_from_slice(format!("{{\"type\":\"deposit\",\"x\":\"{}\"}}\r\n", "y".repeat(70_000)).as_bytes());
    body.extend_from_slice(deposit("alice", "2").as_bytes());
    let reply = daemon.post("application/x-ndjson", body);
    assert_eq!(reply.status, 200, "{reply:?}");
    let answers = reply.lines();
    let codes: Vec<&str> = answers.iter().map(|answer| answer["code"].as_str().unwrap_or("-")).collect();
    assert_eq!(codes, ["-", "-", "bad_utf8", "malformed", "malformed", "malformed", "too_large", "-"], "{answers:?}");
    assert_eq!(answers[7]["seq"], 3, "what cannot be read takes no place");
    assert_eq!(wallet(&daemon, "alice"), "3");
}

#[test]
fn a_command_refused_by_the_state_keeps_its_place_and_changes_nothing() {
    let daemon = Daemon::start();
    daemon.apply(&format!("{LISTED}\n{}", deposit("alice", "5")));
    let before = daemon.state_hash();
    let answers = daemon.send(r#"{"type":"withdraw","account":"alice","asset":"USDT","amount":"6"}"#);
    assert_eq!((&answers[0]["code"], &answers[0]["seq"]), (&json!("insufficient_margin"), &json!(3)), "{answers:?}");
    assert_eq!(answers[0]["field"], "account");
    assert!(answers[0]["message"].as_str().is_some_and(|text| text.contains('6') && text.contains('5')), "{answers:?}");
    assert_eq!(daemon.state_hash(), before);
}

#[test]
fn a_credit_of_the_fund_is_answered_with_its_entry() {
    let daemon = Daemon::start();
    let credit = r#"{"type":"fund_credit","asset":"USDT","source":"seed_capital","amount":"400"}"#;
    let answers = daemon.apply(&format!("{LISTED}\n{credit}"));
    let events = answers[1]["events"].as_array().unwrap();
    assert_eq!(events.len(), 1, "{answers:?}");
    assert_eq!(events[0]["type"], "fund_entry");
    assert_eq!(events[0], daemon.read("/v1/fund/USDT/ledger")["items"][0]);
}

#[test]
fn a_number_is_taken_once_and_answered_alike_for_ever() {
    let daemon = Daemon::start();
    daemon.apply(LISTED);
    let numbered = |number: u64, account: &str, amount: &str| {
        json!({"type": "deposit", "account": account, "asset": "USDT", "amount": amount,
               "producer": "matching-1", "number": number})
        .to_string()
    };
    let first = daemon.apply(&format!("{}\n{}", numbered(1, "alice", "1"), numbered(2, "alice", "2")));
    // Again, alone, together, and with another content: the first outcome, and nothing is done.
    assert_eq!(daemon.apply(&numbered(2, "alice", "2")), first[1..]);
    assert_eq!(daemon.apply(&format!("{}\n{}", numbered(1, "alice", "1"), numbered(2, "alice", "2"))), first);
    assert_eq!(daemon.apply(&numbered(1, "mallory", "1000000")), first[..1]);
    assert_eq!(wallet(&daemon, "alice"), "3");
    daemon.get("/v1/accounts/mallory").is_problem(404, "unknown_account");

    // A gap is refused with the number expected, and takes nothing.
    let gap = daemon.send(&numbered(5, "alice", "1"));
    assert_eq!((&gap[0]["code"], &gap[0]["field"]), (&json!("out_of_order"), &json!("number")), "{gap:?}");
    assert!(gap[0]["message"].as_str().unwrap().contains('3'), "{gap:?}");

    // Twice in one body.
    let twice = daemon.apply(&format!("{}\n{}", numbered(3, "alice", "4"), numbered(3, "alice", "4")));
    assert_eq!(twice[0], twice[1]);
    assert_eq!(wallet(&daemon, "alice"), "7");

    // A refusal has its number too; what could not be read has none.
    let withdraw = json!({"type": "withdraw", "account": "alice", "asset": "USDT", "amount": "100",
                          "producer": "matching-1", "number": 4})
    .to_string();
    let refused = daemon.send(&withdraw);
    assert_eq!(refused[0]["code"], "insufficient_margin", "{refused:?}");
    daemon.apply(&deposit("alice", "1000"));
    assert_eq!(daemon.send(&withdraw), refused, "the first outcome, though it would be taken now");
    assert_eq!(daemon.send(&numbered(5, "alice", "nonsense"))[0]["code"], "not_a_decimal");
    daemon.apply(&numbered(5, "alice", "1"));

    // Another producer counts for itself.
    let other = numbered(1, "bob", "1").replace("matching-1", "matching-2");
    daemon.apply(&other);
    assert_eq!([wallet(&daemon, "alice"), wallet(&daemon, "bob")], ["1008", "1"]);
}

#[test]
fn a_number_sent_by_many_at_once_is_applied_once() {
    let daemon = Daemon::start();
    daemon.apply(LISTED);
    let body: Vec<String> = (1..=50)
        .map(|number| {
            json!({"type": "deposit", "account": "alice", "asset": "USDT", "amount": "1",
                   "producer": "feed", "number": number})
            .to_string()
        })
        .collect();
    let body = body.join("\n");
    let answers: Vec<Vec<Value>> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8).map(|_| scope.spawn(|| daemon.apply(&body))).collect();
        senders.into_iter().map(|sender| sender.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|one| *one == answers[0]), "{answers:?}");
    assert_eq!(wallet(&daemon, "alice"), "50");
}

#[test]
fn many_senders_at_once_lose_nothing_and_each_has_places_of_its_own() {
    let daemon = Daemon::with(&["--mark-interval-ms", "0", "--shards", "4"]);
    daemon.apply(LISTED);
    let mut places: Vec<u64> = std::thread::scope(|scope| {
        let send = |sender: usize| {
            let daemon = &daemon;
            scope.spawn(move || {
                let body = vec![deposit(&format!("account-{sender}"), "1"); 20].join("\n");
                (0..10).flat_map(|_| daemon.apply(&body)).map(|answer| answer["seq"].as_u64().unwrap()).collect()
            })
        };
        let senders: Vec<_> = (0..8).map(send).collect();
        senders.into_iter().flat_map(|sender| -> Vec<u64> { sender.join().unwrap() }).collect()
    });
    places.sort_unstable();
    assert_eq!(places, (2..=1601).collect::<Vec<u64>>());
    for sender in 0..8 {
        assert_eq!(wallet(&daemon, &format!("account-{sender}")), "200");
    }
    assert_eq!(daemon.read("/v1/conservation?audit=true")["holds"], true);
}

#[test]
fn one_body_many_bodies_and_an_array_give_the_same_figures() {
    let whole = format!("{}{}", crash::OPENED, crash::FALLEN);
    let lines: Vec<&str> = whole.lines().filter(|line| !line.is_empty()).collect();
    let at_once = Daemon::start();
    at_once.apply(&whole);
    let one_by_one = Daemon::with(&["--mark-interval-ms", "0", "--shards", "7"]);
    for line in &lines {
        one_by_one.apply(line);
    }
    let array = Daemon::with(&["--mark-interval-ms", "0", "--shards", "2"]);
    assert_eq!(array.post("application/json; charset=utf-8", format!("[{}]", lines.join(","))).status, 200);
    for account in crash::ACCOUNTS {
        let path = format!("/v1/accounts/{account}");
        let shown = at_once.read(&path);
        assert_eq!(shown, one_by_one.read(&path));
        assert_eq!(shown, array.read(&path));
    }
    let pools = |daemon: &Daemon| daemon.read("/v1/fund/USDT")["pools"].clone();
    assert_eq!(pools(&at_once), pools(&one_by_one));
    assert_eq!(pools(&at_once), pools(&array));
}
