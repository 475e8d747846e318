//! The views in the words of Binance and Bybit: what they show, how they refuse, who may ask. `compat/ccxt_compat.py` holds
//! them against ccxt.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::arithmetic_side_effects)]

#[path = "compat/access.rs"]
mod access;
mod common;
#[path = "common/keys.rs"]
mod keys;
#[path = "compat/refusals.rs"]
mod refusals;
#[path = "compat/shapes.rs"]
mod shapes;

/// The venue that ccxt is shown too.
pub(crate) const VENUE: &str = include_str!("compat/venue.ndjson");

/// Below this a request is in the words of Binance.
pub(crate) fn binance(path: &str) -> String {
    format!("/compat/binance{path}")
}

/// And below this of Bybit.
pub(crate) fn bybit(path: &str) -> String {
    format!("/compat/bybit{path}")
}
