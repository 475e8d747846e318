//! The state machines of Backstop, pure: no actor, file, clock, randomness, metric or log.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic))]

pub mod adl;
pub mod admission;
pub mod apportion;
pub mod canonical;
pub mod command;
pub mod conservation;
pub mod decode;
pub mod event;
pub mod flow;
pub mod fund;
pub mod funding;
pub mod hash;
pub mod id;
pub mod instruction;
pub mod liquidation;
pub mod margin;
pub mod money;
pub mod number;
pub mod oracle;
pub mod proof;
pub mod reference;
pub mod reject;
pub mod rulebook;
pub mod rules;
pub mod scenario;
#[cfg(feature = "schema")]
mod schema;
pub mod snapshot;
pub mod view;
