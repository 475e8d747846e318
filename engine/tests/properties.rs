//! What holds for every venue: random markets, portfolios, prices and orders of commands. A failure prints the shrunken
//! run as a scenario file, and the seed that repeats it; `PROPTEST_CASES` plays more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    missing_docs,
    unreachable_pub
)]

#[path = "properties/absorption.rs"]
mod absorption;
#[path = "properties/adl.rs"]
mod adl;
#[path = "properties/funding.rs"]
mod funding;
#[path = "properties/guard.rs"]
mod guard;
#[path = "properties/positions.rs"]
mod positions;
#[path = "properties/world.rs"]
mod world;

use backstop_engine::command::{Command, Envelope};
use backstop_engine::id::Millis;
use backstop_engine::instruction::Entry;
use backstop_engine::reference::{Options, Reference};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use world::{Kind, World, scripts};

/// So many cases, or as many as `PROPTEST_CASES` says.
fn cases(usual: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(usual),
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn after_a_tick_everything_balances_and_nobody_is_below_zero(script in scripts(70)) {
        let mut world = World::new(&script, Kind::AtRest, 1);
        for step in &script.steps {
            world.step(*step);
        }
        world.check_caps();
    }

    #[test]
    fn while_liquidations_are_under_way_everything_balances(script in scripts(70)) {
        let mut world = World::new(&script, Kind::Mixed, 2);
        for step in &script.steps {
            world.step(*step);
        }
        world.check_caps();
    }
}

/// Plays a log again on so many shards, in batches of these sizes in turn: the events as text, and the state hash.
fn replay(log: &[(Command, Millis)], shards: usize, cuts: &[usize]) -> (Vec<String>, String) {
    let mut engine = Reference::new(Options { shards, shows_accounts: true });
    let (mut tape, mut batch, mut cut) = (Vec::new(), Vec::new(), cuts.iter().cycle());
    let mut flush = |engine: &mut Reference, batch: &mut Vec<Entry>| {
        let outcome = engine.apply(std::mem::take(batch)).unwrap();
        for done in outcome.entries {
            tape.extend(done.events.iter().map(|event| serde_json::to_string(event).unwrap()));
        }
    };
    let mut size = *cut.next().unwrap();
    for (command, time) in log {
        if let Ok(entry) = engine.admit(command, *time) {
            batch.push(entry);
        }
        if batch.len() >= size {
            flush(&mut engine, &mut batch);
            size = *cut.next().unwrap();
        }
    }
    flush(&mut engine, &mut batch);
    let (balance, sound) = engine.audit().unwrap();
    assert!(balance.holds() && sound, "{balance:?} on {shards} shards in batches of {cuts:?}");
    let hash = engine.state_hash().unwrap();
    (tape, hash)
}

proptest! {
    #![proptest_config(cases(40))]

    #[test]
    fn neither_shards_nor_batches_can_be_seen(
        script in scripts(70),
        cuts in prop::collection::vec(1..40_usize, 1..6),
    ) {
        let mut world = World::new(&script, Kind::Mixed, 1);
        for step in &script.steps {
            world.step(*step);
        }
        let tape: Vec<String> = world.tape.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
        let hash = world.engine.state_hash().unwrap();
        for shards in [1, 2, 7, 16] {
            let (again, found) = replay(&world.log, shards, &cuts);
            for (one, many) in tape.iter().zip(&again) {
                prop_assert_eq!(one, many, "{} shards, batches of {:?}\n{}", shards, &cuts, world.scenario());
            }
            prop_assert_eq!(tape.len(), again.len(), "{} shards\n{}", shards, world.scenario());
            prop_assert_eq!(&hash, &found, "{} shards, batches of {:?}\n{}", shards, &cuts, world.scenario());
        }
    }
}

#[test]
fn a_fill_that_one_shard_refuses_leaves_the_other_as_it_was() {
    let tiers = r#""tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}]"#;
    let list = |name: &str| {
        format!(
            r#"{{"type":"list_market","market":"{name}","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1",{tiers}}}"#
        )
    };
    let fill = |buyer: &str, seller: &str, quantity: u32, extra: &str| {
        format!(
            r#"{{"type":"fill","market":"M","price":"100","quantity":"{quantity}","buyer":"{buyer}","seller":"{seller}","trade":"t"{extra}}}"#
        )
    };
    let mut lines = vec![
        r#"{"type":"list_asset","asset":"USDT","scale":6}"#.to_owned(),
        list("M"),
        r#"{"type":"set_margin_mode","account":"poor","market":"M","mode":"isolated"}"#.to_owned(),
        r#"{"type":"set_position_mode","account":"hedger","mode":"hedge"}"#.to_owned(),
        r#"{"type":"deposit","account":"hedger","asset":"USDT","amount":"1000"}"#.to_owned(),
        r#"{"type":"tick"}"#.to_owned(),
    ];
    // Many counterparties, so that some are on another shard whatever the number of shards is; refused ones stand first,
    // last and in a row in their run.
    for party in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        lines.push(fill("poor", party, 1, ""));
        lines.push(fill("hedger", party, 2, r#","buyer_leg":"long""#));
        lines.push(fill(party, "hedger", 3, r#","seller_leg":"long""#));
        lines.push(fill(party, "poor", 1, ""));
        lines.push(r#"{"type":"tick"}"#.to_owned());
    }
    let log: Vec<(Command, Millis)> = lines.iter().map(|line| (Envelope::read(line).unwrap().command, 0)).collect();
    let (tape, hash) = replay(&log, 1, &[1]);
    assert!(tape.iter().any(|line| line.contains("insufficient_margin")), "isolated margin was missing");
    assert!(tape.iter().any(|line| line.contains("exceeds_position")), "a leg was closed too far");
    for shards in [1, 2, 3, 7, 16] {
        for cuts in [&[1][..], &[2], &[3], &[1_000]] {
            assert_eq!(
                replay(&log, shards, cuts),
                (tape.clone(), hash.clone()),
                "{shards} shards, batches of {cuts:?}"
            );
        }
    }
}
