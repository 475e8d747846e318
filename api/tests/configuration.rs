//! How the real daemon is configured: layers of values, keys that are made, TLS, and changes of rules that are held back.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

mod common;
#[path = "common/crash.rs"]
mod crash;
#[path = "configuration/keygen.rs"]
mod keygen;
#[path = "common/keys.rs"]
mod keys;
#[path = "configuration/layers.rs"]
mod layers;
#[path = "configuration/refused.rs"]
mod refused;
#[path = "configuration/rules.rs"]
mod rules;
#[cfg(feature = "tls")]
#[path = "configuration/tls.rs"]
mod tls;
