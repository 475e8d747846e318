//! Decides whose profitable positions close the rest of a liquidation that nobody bought and nobody covers.
//!
//! In: the candidates of one side of one market, once per tick; then needs. Out: cuts, in order. It never takes more
//! than the need, never flips a position, never touches the other side, and never leaves a candidate below zero.
//!
//! | policy | order | source |
//! |---|---|---|
//! | `queue` | profit ratio × effective leverage; then losers by profit ratio ÷ leverage | Binance, BitMEX |
//! | `account_ratio` | profit ratio of the scope × its margin ratio | Binance |
//! | `pro_rata` | all winners by size, largest remainder | arXiv 2512.01112 |
//! | `leverage_water_filling` | the highest leverage lowered until level | arXiv 2603.15963 |

mod absorption;
mod ranking;
mod share;
mod warning;

#[cfg(test)]
mod tests;

pub use absorption::Absorption;
pub use ranking::{Cut, Ranked, Ranking, Standing, Standings};
pub use warning::warning;
