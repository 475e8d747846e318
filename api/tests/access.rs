//! Who may do what at the real daemon: keys and roles, limits, caches, pages, problems, and a configuration read again.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

#[path = "access/caching.rs"]
mod caching;
mod common;
#[path = "common/crash.rs"]
mod crash;
#[path = "access/keyless.rs"]
mod keyless;
#[path = "common/keys.rs"]
mod keys;
#[path = "access/limits.rs"]
mod limits;
#[path = "access/matrix.rs"]
mod matrix;
#[path = "access/problems.rs"]
mod problems;
#[path = "access/reload.rs"]
mod reload;
#[path = "access/roles.rs"]
mod roles;
