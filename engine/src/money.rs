//! The figures of the engine: what multiplies with what, and how large each may be.
//!
//! | left | × | right | gives | where |
//! |---|---|---|---|---|
//! | `Quantity` | × | `Price` | `Money` (signed value) | `Market::value` |
//! | `Notional` | × | `Rate` | `Money` | [`Notional::times`] |
//!
//! Nothing else compiles. Everything is exact; see [`crate::number`].

use crate::number::{self, Overflow, Rounding};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

macro_rules! figure {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash)]
        pub struct $name(Decimal);

        impl $name {
            /// Zero.
            pub const ZERO: Self = Self(Decimal::ZERO);

            /// Wraps a decimal; limits are checked where input is read.
            pub const fn new(value: Decimal) -> Self {
                Self(value)
            }
            /// The decimal inside.
            pub const fn get(self) -> Decimal {
                self.0
            }
            /// Is it zero?
            pub fn is_zero(self) -> bool {
                self.0.is_zero()
            }
            /// Is it above zero?
            pub fn is_positive(self) -> bool {
                self.0.is_sign_positive() && !self.0.is_zero()
            }
            /// Is it below zero?
            pub fn is_negative(self) -> bool {
                self.0.is_sign_negative() && !self.0.is_zero()
            }
            /// Without its sign.
            pub fn abs(self) -> Self {
                Self(self.0.abs())
            }
            /// The exact sum.
            ///
            /// # Errors
            /// [`Overflow`] when it has more digits than fit.
            pub fn plus(self, other: Self) -> Result<Self, Overflow> {
                number::add(self.0, other.0).map(Self)
            }
            /// The exact difference.
            ///
            /// # Errors
            /// [`Overflow`] when it has more digits than fit.
            pub fn minus(self, other: Self) -> Result<Self, Overflow> {
                number::sub(self.0, other.0).map(Self)
            }
            /// Itself, or zero when negative.
            pub fn or_zero(self) -> Self {
                if self.is_positive() { self } else { Self::ZERO }
            }
        }

        impl From<$name> for Decimal {
            fn from(figure: $name) -> Self {
                figure.0
            }
        }

        impl std::ops::Neg for $name {
            type Output = Self;
            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.normalize(), formatter)
            }
        }

        /// Text for people, a canonical 16 bytes (no trailing zeros) for hashes and snapshots.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    let mut canonical = self.0.normalize();
                    if canonical.is_zero() {
                        canonical = Decimal::ZERO;
                    }
                    canonical.serialize().serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    number::parse(&text)
                        .map(Self)
                        .ok_or_else(|| serde::de::Error::custom("not a plain decimal"))
                } else {
                    <[u8; 16]>::deserialize(deserializer).map(Decimal::deserialize).map(Self)
                }
            }
        }
    };
}

figure!(
    /// An amount of a settlement asset, signed.
    Money
);
figure!(
    /// A price of a contract, above zero.
    Price
);
figure!(
    /// A number of contracts: long positive, short negative.
    Quantity
);
figure!(
    /// A plain ratio: a margin rate, a leverage, a funding rate. A fraction, not percent.
    Rate
);
figure!(
    /// The size of a position in its settlement asset, never negative.
    Notional
);

impl Notional {
    /// `notional × rate`, in the settlement asset, quantised once at `scale`.
    ///
    /// # Errors
    /// [`Overflow`] when it has more digits than fit.
    pub fn times(self, rate: Rate, scale: u32, rounding: Rounding) -> Result<Money, Overflow> {
        number::mul(self.0, rate.0, scale, rounding).map(Money)
    }
}

impl Money {
    /// At the asset's scale.
    ///
    /// # Errors
    /// [`Overflow`] when it has more digits than fit.
    pub fn quantise(self, scale: u32, rounding: Rounding) -> Result<Self, Overflow> {
        number::quantise(self.0, scale, rounding).map(Self)
    }
}

/// The limits of input, fixed with the journal's first version. Products of figures inside them fit 28 digits.
pub mod limit {
    use rust_decimal::Decimal;

    /// Most decimals of an amount, a price, a quantity or a rate as written by a user.
    pub const DECIMALS: u32 = 12;
    /// Largest amount of money in one command: 10^14.
    pub const MONEY: Decimal = Decimal::from_parts(276_447_232, 23_283, 0, false, 0);
    /// Largest price: 10^12.
    pub const PRICE: Decimal = Decimal::from_parts(3_567_587_328, 232, 0, false, 0);
    /// Largest quantity: 10^12.
    pub const QUANTITY: Decimal = PRICE;
    /// Largest rate: 1,000.
    pub const RATE: Decimal = Decimal::from_parts(1_000, 0, 0, false, 0);
    /// Largest leverage: 1,000.
    pub const LEVERAGE: Decimal = RATE;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_the_powers_they_say() {
        assert_eq!(limit::MONEY, Decimal::from(100_000_000_000_000_u64));
        assert_eq!(limit::PRICE, Decimal::from(1_000_000_000_000_u64));
    }

    #[test]
    fn equal_figures_have_equal_bytes() {
        let bytes = |text: &str| postcard::to_stdvec(&Money::new(number::parse(text).unwrap())).unwrap();
        assert_eq!(bytes("1.0"), bytes("1.00"));
        assert_eq!(bytes("0.000"), bytes("0"));
        assert_eq!(bytes("-0"), bytes("0"));
        assert_ne!(bytes("1"), bytes("-1"));
    }

    #[test]
    fn figures_are_read_from_strings_only() {
        assert!(serde_json::from_str::<Money>("1.5").is_err());
        assert_eq!(serde_json::from_str::<Money>("\"1.50\"").unwrap().to_string(), "1.5");
    }
}
