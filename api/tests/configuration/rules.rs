//! Rules that loosen are held back, can be vetoed, and never pass a ceiling.

use crate::common::{Ask, At, Daemon, PATIENCE, Scratch};
use crate::crash;
use crate::keys::Ring;
use serde_json::{Value, json};
use std::time::Instant;

const HOUR_MS: u64 = 3_600_000;

/// The rules of bitcoin as `crash` lists them, with another maintenance rate and fee.
fn bitcoin(maintenance: &str, fee: &str) -> String {
    json!({
        "type": "list_market", "market": "BTC-USDT", "kind": "linear", "asset": "USDT", "tick_size": "0.1",
        "lot_size": "0.001", "tiers": [{"initial_rate": "0.1", "maintenance_rate": maintenance}],
        "oracle": {"min_sources": 2, "stale_after_ms": 604_800_000}, "liquidation": {"fee_rate": fee},
    })
    .to_string()
}

/// Looser than what `crash` lists.
fn looser() -> String {
    bitcoin("0.004", "0")
}

const LINE: &str = r#"{"type":"set_injection_line","asset":"USDT","limit":"1000"}"#;
const TICK: &str = r#"{"type":"tick"}"#;

/// Everything is listed; from then on changes that loosen wait.
struct Venue {
    data: Scratch,
    ring: Ring,
}

impl Venue {
    fn opened() -> Self {
        let venue = Self { data: Scratch::absent("rules"), ring: Ring::new() };
        venue.daemon("").apply_keyed(crash::OPENED);
        venue
    }

    /// A daemon over the same data, configured otherwise.
    fn daemon(&self, lines: &str) -> Daemon {
        Daemon::configured(&self.ring.file(&format!("data_dir = \"{}\"\n{lines}", self.data.path())))
    }

    fn waiting(&self, delay_ms: u64) -> Daemon {
        self.daemon(&format!("[rules]\ndelay_ms = {delay_ms}\n"))
    }
}

/// What an operator is answered.
#[track_caller]
fn operator(daemon: &Daemon, id: &str, line: &str) -> Value {
    let reply = daemon.ask_as(id, At::Admin, Ask::commands(line));
    assert_eq!(reply.status, 200, "{line}\n{reply:?}");
    reply.lines().remove(0)
}

#[track_caller]
fn refused(answer: &Value, code: &str, field: &str) {
    assert_eq!((&answer["code"], &answer["field"]), (&json!(code), &json!(field)), "{answer}");
}

/// The event of a type in an answer.
#[track_caller]
fn event(answer: &Value, kind: &str) -> Value {
    let events = answer["events"].as_array().unwrap_or_else(|| panic!("{answer}"));
    events.iter().find(|event| event["type"] == kind).unwrap_or_else(|| panic!("{kind} in {answer}")).clone()
}

fn tick(daemon: &Daemon) {
    assert_eq!(daemon.ask_as("venue", At::Api, Ask::commands(TICK)).status, 200);
}

/// The maintenance rate of bitcoin that is in force.
fn in_force(daemon: &Daemon) -> String {
    let rules = daemon.read("/v1/rules");
    let markets = rules["markets"].as_array().unwrap();
    let bitcoin = markets.iter().find(|market| market["market"] == "BTC-USDT").unwrap();
    bitcoin["tiers"][0]["maintenance_rate"].as_str().unwrap().to_owned()
}

fn pending(daemon: &Daemon) -> Vec<Value> {
    daemon.read("/v1/rules")["pending"].as_array().unwrap().clone()
}

fn history(daemon: &Daemon) -> Vec<Value> {
    daemon.read("/v1/rules/history?limit=1000")["items"].as_array().unwrap().clone()
}

fn kinds(history: &[Value]) -> Vec<&str> {
    history.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

#[test]
fn a_change_that_loosens_is_answered_with_its_plan_and_the_rules_stay() {
    let venue = Venue::opened();
    let daemon = venue.waiting(HOUR_MS);
    let (before, told) = (daemon.read("/v1/rules"), history(&daemon).len());
    let answer = operator(&daemon, "operator", &looser());
    let scheduled = event(&answer, "rules_scheduled");
    assert_eq!(scheduled["change"], answer["seq"], "{answer}");
    assert_eq!(scheduled["by"], "operator");
    assert_eq!(scheduled["loosens"], json!(["tiers.maintenance_rate"]));
    let time = answer["time"].as_u64().unwrap();
    assert_eq!(scheduled["effective_time"], time + HOUR_MS);
    assert_eq!(scheduled["proposal"]["type"], "list_market");
    for _ in 0..3 {
        tick(&daemon);
    }
    assert_eq!(in_force(&daemon), "0.005");
    let after = daemon.read("/v1/rules");
    assert_eq!((&after["hash"], &after["markets"]), (&before["hash"], &before["markets"]));
    let plans = pending(&daemon);
    assert_eq!(plans.len(), 1, "{plans:?}");
    for field in ["change", "effective_time", "by", "loosens", "proposal"] {
        assert_eq!(plans[0][field], scheduled[field], "{field}");
    }
    assert_eq!(after["delay_ms"], HOUR_MS);
    assert_eq!(kinds(&history(&daemon)[told..]), ["rules_scheduled"]);
}

#[test]
fn a_change_that_tightens_is_in_force_at_the_next_tick() {
    let venue = Venue::opened();
    let daemon = venue.waiting(HOUR_MS);
    let before = daemon.read("/v1/rules")["hash"].clone();
    let answer = operator(&daemon, "operator", &bitcoin("0.006", "0"));
    assert!(answer["code"].is_null(), "{answer}");
    tick(&daemon);
    assert_eq!(in_force(&daemon), "0.006");
    assert!(pending(&daemon).is_empty());
    assert_ne!(daemon.read("/v1/rules")["hash"], before);
    // Back to what it was loosens.
    let answer = operator(&daemon, "operator", &bitcoin("0.005", "0"));
    event(&answer, "rules_scheduled");
    tick(&daemon);
    assert_eq!(in_force(&daemon), "0.006");
}

#[test]
fn a_new_market_and_a_larger_injection_line_loosen_too() {
    let venue = Venue::opened();
    let daemon = venue.waiting(HOUR_MS);
    let market = looser().replace("BTC-USDT", "XRP-USDT");
    for line in [market.as_str(), LINE] {
        event(&operator(&daemon, "operator", line), "rules_scheduled");
    }
    tick(&daemon);
    assert_eq!(pending(&daemon).len(), 2);
    daemon.get("/v1/markets/XRP-USDT/mark").is_problem(404, "unknown_market");
    // A new asset risks nothing by itself.
    let answer = operator(&daemon, "operator", r#"{"type":"list_asset","asset":"EUR","scale":2}"#);
    assert!(answer["code"].is_null(), "{answer}");
    assert_eq!(daemon.get("/v1/fund/EUR").status, 200);
}

#[test]
fn another_operator_vetoes_and_the_proposer_cannot() {
    let venue = Venue::opened();
    let daemon = venue.waiting(HOUR_MS);
    let told = history(&daemon).len();
    let change = operator(&daemon, "operator", &looser())["seq"].as_u64().unwrap();
    let veto = json!({"type": "veto_rules", "change": change}).to_string();
    refused(&operator(&daemon, "operator", &veto), "own_change", "by");
    // Nor in another's name.
    let disguised = json!({"type": "veto_rules", "change": change, "by": "auditor"}).to_string();
    refused(&operator(&daemon, "operator", &disguised), "own_change", "by");
    daemon.ask_as("venue", At::Admin, Ask::commands(&veto)).is_problem(403, "forbidden");
    daemon.ask_as("auditor", At::Api, Ask::commands(&veto)).is_problem(403, "operator_listener");
    assert_eq!(pending(&daemon).len(), 1);
    let answer = operator(&daemon, "auditor", &veto);
    assert!(answer["code"].is_null(), "{answer}");
    let vetoed = history(&daemon).pop().unwrap();
    assert_eq!((&vetoed["change"], &vetoed["by"]), (&json!(change), &json!("auditor")));
    assert!(pending(&daemon).is_empty());
    tick(&daemon);
    assert_eq!(in_force(&daemon), "0.005");
    refused(&operator(&daemon, "auditor", &veto), "unknown_change", "change");
    assert_eq!(kinds(&history(&daemon)[told..]), ["rules_scheduled", "rules_vetoed"]);
}

#[test]
fn a_plan_in_anothers_name_is_its_senders() {
    let venue = Venue::opened();
    let daemon = venue.waiting(HOUR_MS);
    let change: Value = serde_json::from_str(&looser()).unwrap();
    let plan = json!({"type": "schedule_rules", "change": change, "effective_time": 0, "by": "auditor"}).to_string();
    let answer = operator(&daemon, "operator", &plan);
    let scheduled = event(&answer, "rules_scheduled");
    assert_eq!(scheduled["by"], "operator", "{answer}");
    assert_eq!(
        scheduled["effective_time"],
        answer["time"].as_u64().unwrap() + HOUR_MS,
        "no sooner than the delay allows"
    );
    // Nobody carries it out before its time.
    let apply = json!({"type": "apply_rules", "change": answer["seq"]}).to_string();
    let early = operator(&daemon, "auditor", &apply);
    assert!(!early["code"].is_null(), "{early}");
    tick(&daemon);
    assert_eq!(in_force(&daemon), "0.005");
}

#[test]
fn after_its_delay_a_plan_comes_into_force_by_itself() {
    let venue = Venue::opened();
    let daemon = venue.daemon("mark_interval_ms = 1\n[rules]\ndelay_ms = 1\n");
    let told = history(&daemon).len();
    let answer = operator(&daemon, "operator", &looser());
    event(&answer, "rules_scheduled");
    let began = Instant::now();
    while in_force(&daemon) != "0.004" {
        assert!(began.elapsed() < PATIENCE, "it does not come into force");
    }
    assert!(pending(&daemon).is_empty());
    let history = history(&daemon);
    assert_eq!(kinds(&history[told..]), ["rules_scheduled", "rules_changed"]);
    let changed = history.last().unwrap();
    assert_eq!((&changed["change"], &changed["market"]), (&answer["seq"], &json!("BTC-USDT")), "{changed}");
    assert_eq!(changed["in_force"]["tiers"][0]["maintenance_rate"], "0.004", "{changed}");
    assert!(changed["time"].as_u64() > answer["time"].as_u64(), "{changed}");
}

#[test]
fn a_plan_outlives_a_kill_and_comes_into_force_afterwards() {
    let venue = Venue::opened();
    // Nothing ticks before the kill, so nothing comes into force.
    let daemon = venue.waiting(1);
    let change = operator(&daemon, "operator", &looser())["seq"].clone();
    let plans = pending(&daemon);
    daemon.end_by("KILL");
    // A delay that is longer by then does not move what is planned.
    let daemon = venue.daemon(&format!("mark_interval_ms = 1\n[rules]\ndelay_ms = {HOUR_MS}\n"));
    let began = Instant::now();
    while in_force(&daemon) != "0.004" {
        assert!(began.elapsed() < PATIENCE, "{plans:?} does not come into force");
    }
    let changed = history(&daemon).pop().unwrap();
    assert_eq!((&changed["type"], &changed["change"]), (&json!("rules_changed"), &change), "{changed}");
}

#[test]
fn a_plan_with_time_left_is_still_there_after_a_kill_and_can_be_vetoed() {
    let venue = Venue::opened();
    let daemon = venue.waiting(HOUR_MS);
    let change = operator(&daemon, "operator", &looser())["seq"].clone();
    operator(&daemon, "operator", LINE);
    let (plans, hash) = (pending(&daemon), daemon.keyed_hash());
    daemon.end_by("KILL");
    // Without any delay configured the plans wait as they did.
    let daemon = venue.daemon("");
    assert_eq!((pending(&daemon), daemon.keyed_hash()), (plans, hash));
    tick(&daemon);
    assert_eq!(in_force(&daemon), "0.005");
    let veto = json!({"type": "veto_rules", "change": change}).to_string();
    refused(&operator(&daemon, "operator", &veto), "own_change", "by");
    operator(&daemon, "auditor", &veto);
    assert_eq!(history(&daemon).pop().unwrap()["type"], "rules_vetoed");
    assert_eq!(pending(&daemon).len(), 1, "the other one waits on");
}

#[test]
fn nothing_passes_a_ceiling_planned_or_not() {
    let venue = Venue::opened();
    let ceilings = "[rules.ceilings]\nmax_fee_rate = \"0.01\"\nmin_maintenance_rate = \"0.003\"\nmax_injection_line = \"500\"\nmax_markets = 3\nmin_sources = 2\n";
    for delay in ["", "[rules]\ndelay_ms = 3600000\n"] {
        let daemon = venue.daemon(&format!("{delay}{ceilings}"));
        let before = daemon.keyed_hash();
        let wide: Value = serde_json::from_str(&bitcoin("0.005", "0.02")).unwrap();
        let cases = [
            (bitcoin("0.005", "0.02"), "liquidation.fee_rate"),
            (bitcoin("0.002", "0"), "tiers.maintenance_rate"),
            (LINE.to_owned(), "limit"),
            (looser().replace("BTC-USDT", "XRP-USDT"), "market"),
            (looser().replace("\"min_sources\":2", "\"min_sources\":1"), "oracle.min_sources"),
            (
                json!({"type": "schedule_rules", "change": wide, "effective_time": 253_402_300_799_000_u64})
                    .to_string(),
                "liquidation.fee_rate",
            ),
        ];
        for (line, field) in &cases {
            refused(&operator(&daemon, "operator", line), "above_ceiling", field);
        }
        assert_eq!(daemon.keyed_hash(), before);
        let shown = daemon.read("/v1/rules")["ceilings"].clone();
        assert_eq!((&shown["max_fee_rate"], &shown["max_markets"]), (&json!("0.01"), &json!(3)), "{shown}");
        assert_eq!(shown.as_object().unwrap().len(), 5, "those there are: {shown}");
    }
    // Up to the ceiling, its own value included.
    let daemon = venue.daemon(ceilings);
    let answer = operator(&daemon, "operator", &bitcoin("0.003", "0.01"));
    assert!(answer["code"].is_null(), "{answer}");
}

#[test]
fn without_keys_a_change_that_loosens_waits_all_the_same() {
    let data = Scratch::absent("rules");
    let file = |lines: &str| Scratch::new("config.toml", format!("data_dir = \"{}\"\n{lines}", data.path()));
    Daemon::configured(&file("")).apply(crash::OPENED);
    let daemon = Daemon::configured(&file("[rules]\ndelay_ms = 3600000\n"));
    let answer = daemon.apply(&looser()).remove(0);
    let scheduled = event(&answer, "rules_scheduled");
    assert!(scheduled["by"].is_null(), "nobody is known: {scheduled}");
    assert_eq!(pending(&daemon).len(), 1);
}
