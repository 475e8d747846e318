//! The HTTP interface of the real daemon: commands, reads, pages, problems, metrics, health and its end.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

#[path = "http/bad_input.rs"]
mod bad_input;
#[path = "http/commands.rs"]
mod commands;
mod common;
#[path = "common/crash.rs"]
mod crash;
#[path = "http/metrics.rs"]
mod metrics;
#[path = "http/process.rs"]
mod process;
#[path = "http/reads.rs"]
mod reads;
