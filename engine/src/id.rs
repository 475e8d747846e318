//! Names and numbers of things: the venue's strings at the border, dense numbers inside.

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::fmt;

/// The venue's own name of an account holder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AccountId(pub SmolStr);

impl AccountId {
    /// Accounts whose name starts so belong to the house; no command but `fill` may name one.
    pub const HOUSE_PREFIX: &'static str = "house:";

    /// The account that stands for the liquidity outside: it takes the other side of every liquidation fill.
    pub fn venue() -> Self {
        Self(SmolStr::new_static("house:venue"))
    }

    /// The account that holds what the insurance fund has taken over.
    pub fn fund() -> Self {
        Self(SmolStr::new_static("house:fund"))
    }

    /// Is it a house account?
    pub fn is_house(&self) -> bool {
        self.0.starts_with(Self::HOUSE_PREFIX)
    }

    /// A number that depends on the name only, the same on every machine and version: FNV-1a, 64 bit.
    pub fn spread(&self) -> u64 {
        self.0
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    }

    /// The shard that holds this account when there are `shards` of them.
    pub fn shard(&self, shards: usize) -> usize {
        let count = u64::try_from(shards).unwrap_or(1).max(1);
        // The low bits of FNV are the weak ones.
        usize::try_from((self.spread() >> 17).checked_rem(count).unwrap_or(0)).unwrap_or(0)
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "{}", self.0)
            }
        }
    };
}

number!(
    /// An asset, numbered in the order of listing.
    AssetIx(u16)
);
number!(
    /// A market, numbered in the order of listing.
    MarketIx(u16)
);
number!(
    /// A liquidation, numbered in the order of starting.
    LiquidationId(u64)
);
number!(
    /// A liquidation order, numbered in the order of sending.
    OrderId(u64)
);
number!(
    /// A claim on the fund, numbered in the order of opening.
    ClaimId(u64)
);

/// Order ids travel as text, like every id of the venue; in binary they stay numbers.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the form serde asks for")]
pub(crate) fn order_text<S: serde::Serializer>(order: &OrderId, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() { serializer.collect_str(order) } else { order.serialize(serializer) }
}

/// Milliseconds since 1970-01-01T00:00Z. Arrives as data; nothing in the engine reads a clock.
pub type Millis = u64;

/// The place of a command in the one order of all commands.
pub type Seq = u64;

/// Which position of an account in a market.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Leg {
    /// The one position of one-way mode.
    Net,
    /// The long leg of hedge mode.
    Long,
    /// The short leg of hedge mode.
    Short,
}

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Of an order: buys. Of a position: long.
    Buy,
    /// Of an order: sells. Of a position: short.
    Sell,
}

impl Side {
    /// The other one.
    pub fn opposite(self) -> Self {
        match self {
            Self::Buy => Self::Sell,
            Self::Sell => Self::Buy,
        }
    }
}
