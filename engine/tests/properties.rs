//! What holds for every venue: random markets, portfolios, prices and orders of commands. A failure prints the shrunken
//! run as a scenario file, and the seed that repeats it; `PROPTEST_CASES` plays more.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    missing_docs
)]

#[path = "properties/world.rs"]
mod world;

use backstop_engine::event::{Fact, Reason};
use backstop_engine::money::Money;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use std::collections::BTreeMap;
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
    }

    #[test]
    fn while_liquidations_are_under_way_everything_balances(script in scripts(70)) {
        let mut world = World::new(&script, Kind::Mixed, 2);
        for step in &script.steps {
            world.step(*step);
        }
    }
}
