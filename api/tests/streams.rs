//! `/v1/stream` of the real daemon: nothing is left out, nothing comes twice, and nobody who does not read holds others up.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

mod common;
#[path = "common/crash.rs"]
mod crash;
#[path = "streams/ends.rs"]
mod ends;
#[path = "common/keys.rs"]
mod keys;
#[path = "streams/private.rs"]
mod private;
#[path = "streams/resumed.rs"]
mod resumed;
#[path = "streams/topics.rs"]
mod topics;
#[path = "common/ws.rs"]
mod ws;
