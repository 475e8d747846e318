//! The state machines of Backstop, pure: no actor, file, clock, randomness, metric or log.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::panic))]

pub mod command;
pub mod decode;
pub mod id;
pub mod money;
pub mod number;
pub mod reject;
pub mod rules;
