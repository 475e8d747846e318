//! The business "no": one closed list of codes, each with a sentence and the field it is about.
//!
//! A command is checked in this order: form, names, figures, time, state. The first check that fails is the answer, and
//! nothing has changed.

use crate::number::Overflow;
use rust_decimal::Decimal;
use serde::Serialize;

macro_rules! codes {
    ($($variant:ident $code:literal $sentence:literal;)*) => {
        /// Why a command is refused. The text of a code is released: it never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[non_exhaustive]
        pub enum Code {
            $(
                #[doc = $sentence]
                #[serde(rename = $code)]
                $variant,
            )*
        }

        impl Code {
            /// Every code, in the order of this list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable text.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }
            /// What it means, as one sentence without a figure.
            pub fn sentence(self) -> &'static str {
                match self { $(Self::$variant => $sentence,)* }
            }
        }
    };
}

codes! {
    Malformed "malformed" "the text is not one JSON object of a command";
    BadUtf8 "bad_utf8" "the text is not UTF-8";
    TooLarge "too_large" "the command has more bytes than allowed";
    UnknownType "unknown_type" "there is no command of this type";
    UnknownField "unknown_field" "the command has no such field";
    MissingField "missing_field" "the field is required";
    DuplicateField "duplicate_field" "the field stands twice";
    WrongType "wrong_type" "the field has another JSON type";
    NotADecimal "not_a_decimal" "the text is not a plain decimal number";
    TooPrecise "too_precise" "the figure has more decimals than allowed";
    OutOfRange "out_of_range" "the figure is outside its range";
    InvalidName "invalid_name" "a name has 1 to 64 characters from A-Z a-z 0-9 . _ : / -";
    InvalidValue "invalid_value" "the value is not one of those allowed";
    InvalidTiers "invalid_tiers" "the tiers do not rise, or their deduction would fall";
    ReservedAccount "reserved_account" "the account belongs to the house";
    UnknownAsset "unknown_asset" "the asset is not listed";
    UnknownMarket "unknown_market" "the market is not listed";
    UnknownAccount "unknown_account" "the account has never been used";
    UnknownOrder "unknown_order" "there is no such order";
    UnknownFunding "unknown_funding" "there is no such funding payment, or it is too old to correct";
    Immutable "immutable" "the field cannot change after listing";
    OffTick "off_tick" "the price is not a multiple of the tick size";
    OffLot "off_lot" "the quantity is not a multiple of the lot size";
    Overflow "overflow" "the result is larger than a figure can hold";
    TimeBackwards "time_backwards" "the time is before that of an earlier command";
    OutOfOrder "out_of_order" "the number is not the next of its producer";
    InsufficientMargin "insufficient_margin" "the account has too little margin";
    WithdrawalsHalted "withdrawals_halted" "withdrawals of the asset wait until the fund's claims are paid";
    UnderLiquidation "under_liquidation" "the account is being liquidated";
    PositionOpen "position_open" "this needs a flat position";
    OrderOpen "order_open" "an order with this name is already open";
    ExceedsOrder "exceeds_order" "the amount is more than the order holds";
    ExceedsPosition "exceeds_position" "the quantity is more than the position";
    LegRequired "leg_required" "an account in hedge mode needs a leg";
    LegNotAllowed "leg_not_allowed" "an account in one-way mode has no legs";
    LeverageOutOfRange "leverage_out_of_range" "the leverage is more than the tier allows";
    NoTier "no_tier" "the position would exceed the last risk tier";
    NotIsolated "not_isolated" "there is no isolated position";
    NoMark "no_mark" "the market has no mark price yet";
    DuplicateFunding "duplicate_funding" "a funding payment with this id exists";
    DuplicateTrade "duplicate_trade" "this trade has been booked";
    OrderClosed "order_closed" "the order is closed";
    LimitViolated "limit_violated" "the price is worse than the order's limit";
    AboveCeiling "above_ceiling" "the figure passes the ceiling of the configuration";
    UnknownChange "unknown_change" "there is no such planned change of the rules";
    OwnChange "own_change" "a planned change is not for its proposer to veto";
    TooEarly "too_early" "the time of the planned change has not come";
    StaleChange "stale_change" "the rules have changed since, and the planned change would loosen more than it said";
}

/// A refusal: the code, the field it is about, and the figures that show why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    /// The stable code.
    pub code: Code,
    /// The field of the command, or empty.
    pub field: &'static str,
    /// The value found.
    pub value: Option<Decimal>,
    /// The limit it broke.
    pub limit: Option<Decimal>,
}

impl Reject {
    /// A refusal without figures.
    pub const fn new(code: Code, field: &'static str) -> Self {
        Self { code, field, value: None, limit: None }
    }

    /// A refusal that shows the value and the limit.
    pub const fn limit(code: Code, field: &'static str, value: Decimal, limit: Decimal) -> Self {
        Self { code, field, value: Some(value), limit: Some(limit) }
    }
}

impl From<Overflow> for Reject {
    fn from(_: Overflow) -> Self {
        Self::new(Code::Overflow, "")
    }
}

impl std::fmt::Display for Reject {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.code.sentence())?;
        match (self.value, self.limit) {
            (Some(value), Some(expected)) if self.code == Code::OutOfOrder => {
                write!(formatter, ": {}, expected {}", value.normalize(), expected.normalize())
            }
            (Some(value), Some(limit)) => {
                write!(formatter, ": {}, limit {}", value.normalize(), limit.normalize())
            }
            (Some(value), None) => write!(formatter, ": {}", value.normalize()),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Reject {}
