//! Exact decimal arithmetic in which every rounding has a name.
//!
//! In: `Decimal`s of at most 96 bits of mantissa. Out: a `Decimal` that is exact, or quantised once at the scale and
//! in the direction the caller names, or [`Overflow`]. Never a silently rounded product: intermediate results are
//! 256 bits wide.

use ethnum::I256;
use rust_decimal::Decimal;

/// Most decimals any figure of the engine carries.
pub const SCALE_MAX: u32 = 14;

/// The result does not fit, or would lose a digit that nobody named a rounding for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the result has more digits than a figure can hold")]
pub struct Overflow;

/// The direction of a quantisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Towards minus infinity: what an account is credited.
    Floor,
    /// Towards plus infinity: what an account is charged.
    Ceil,
    /// Towards zero.
    ToZero,
    /// Away from zero: a requirement.
    FromZero,
    /// To the nearest, ties to even: a figure that both sides share.
    Nearest,
}

fn pow10(exponent: u32) -> Result<I256, Overflow> {
    I256::new(10).checked_pow(exponent).ok_or(Overflow)
}

/// Does a quotient with this rest go one step away from zero? `twice` compares twice the rest with the denominator.
fn goes_away(rounding: Rounding, negative: bool, odd: bool, twice: std::cmp::Ordering) -> bool {
    match rounding {
        Rounding::ToZero => false,
        Rounding::FromZero => true,
        Rounding::Floor => negative,
        Rounding::Ceil => !negative,
        Rounding::Nearest => match twice {
            std::cmp::Ordering::Less => false,
            std::cmp::Ordering::Greater => true,
            std::cmp::Ordering::Equal => odd,
        },
    }
}

/// A product, if 128 bits hold it. Factors of 64 bits, the common case, need one multiplication and no check.
pub(crate) fn product(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a).wrapping_mul(i128::from(b))),
        _ => a.checked_mul(b),
    }
}

/// A figure as a whole number at a scale no smaller than its own.
pub(crate) fn lifted(value: Decimal, scale: u32) -> Option<i128> {
    match scale.checked_sub(value.scale())? {
        0 => Some(value.mantissa()),
        digits => product(value.mantissa(), *POWERS.get(usize::try_from(digits).ok()?)?),
    }
}

/// `numerator ÷ denominator × 10^shift` in 128 bits, or none when that is too narrow: several times faster than 256,
/// and nearly always enough.
fn narrow_ratio(numerator: i128, denominator: i128, shift: i64, rounding: Rounding) -> Option<i128> {
    let power = *POWERS.get(usize::try_from(shift.unsigned_abs()).ok()?)?;
    let (numerator, denominator) =
        if shift >= 0 { (product(numerator, power)?, denominator) } else { (numerator, product(denominator, power)?) };
    let (quotient, rest) = match (i64::try_from(numerator), i64::try_from(denominator)) {
        (Ok(n), Ok(d)) => (i128::from(n.checked_div(d)?), i128::from(n.checked_rem(d)?)),
        _ => (numerator.checked_div(denominator)?, numerator.checked_rem(denominator)?),
    };
    if rest == 0 {
        return Some(quotient);
    }
    let negative = (numerator < 0) != (denominator < 0);
    let twice = rest.unsigned_abs().checked_mul(2)?.cmp(&denominator.unsigned_abs());
    let step = if negative { -1 } else { 1 };
    if goes_away(rounding, negative, quotient & 1 == 1, twice) { quotient.checked_add(step) } else { Some(quotient) }
}

/// A quotient rounded as named. The denominator is not zero.
fn divide(numerator: I256, denominator: I256, rounding: Rounding) -> Result<I256, Overflow> {
    if denominator == I256::ZERO {
        return Err(Overflow);
    }
    let quotient = numerator.checked_div(denominator).ok_or(Overflow)?;
    let rest = numerator.checked_rem(denominator).ok_or(Overflow)?;
    if rest == I256::ZERO {
        return Ok(quotient);
    }
    let negative = (numerator < I256::ZERO) != (denominator < I256::ZERO);
    let twice = rest.abs().checked_mul(I256::new(2)).ok_or(Overflow)?.cmp(&denominator.abs());
    let away = goes_away(rounding, negative, quotient & I256::ONE == I256::ONE, twice);
    let step = if negative { I256::MINUS_ONE } else { I256::ONE };
    if away { quotient.checked_add(step).ok_or(Overflow) } else { Ok(quotient) }
}

/// The common case: 128 bits hold the exact figure, and it needs no rounding.
fn small(mantissa: Option<i128>, scale: u32) -> Option<Decimal> {
    Decimal::try_from_i128_with_scale(mantissa?, scale).ok()
}

#[cold]
fn build(mut mantissa: I256, mut scale: u32) -> Result<Decimal, Overflow> {
    let ten = I256::new(10);
    loop {
        if let Ok(narrow) = i128::try_from(mantissa)
            && scale <= Decimal::MAX_SCALE
            && let Ok(result) = Decimal::try_from_i128_with_scale(narrow, scale)
        {
            return Ok(result);
        }
        // Trailing zeros may be what does not fit.
        if scale == 0 || mantissa.checked_rem(ten).ok_or(Overflow)? != I256::ZERO {
            return Err(Overflow);
        }
        mantissa = mantissa.checked_div(ten).ok_or(Overflow)?;
        scale = scale.checked_sub(1).ok_or(Overflow)?;
    }
}

fn wide(value: Decimal) -> I256 {
    I256::from(value.mantissa())
}

/// `numerator / denominator × 10^shift`, quantised to an integer.
fn ratio(numerator: I256, denominator: I256, shift: i64, rounding: Rounding) -> Result<I256, Overflow> {
    if shift == 0 {
        return divide(numerator, denominator, rounding);
    }
    let digits = u32::try_from(shift.unsigned_abs()).map_err(|_| Overflow)?;
    let power = pow10(digits)?;
    if shift >= 0 {
        divide(numerator.checked_mul(power).ok_or(Overflow)?, denominator, rounding)
    } else {
        divide(numerator, denominator.checked_mul(power).ok_or(Overflow)?, rounding)
    }
}

/// Scales to add less scales to take: each is at most 28.
fn shift_of(add: &[u32], take: &[u32]) -> i64 {
    let sum = |scales: &[u32]| scales.iter().map(|scale| i64::from(*scale)).sum::<i64>();
    sum(add).saturating_sub(sum(take))
}

/// Powers of ten that lift one figure of the engine to the scale of another.
#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "evaluated by the compiler")]
pub(crate) const POWERS: [i128; 29] = {
    let mut powers = [1; 29];
    let mut place = 1;
    while place < 29 {
        powers[place] = powers[place - 1] * 10;
        place += 1;
    }
    powers
};

/// `value` at `scale` decimals. Exact when it has no more than that.
pub fn quantise(value: Decimal, scale: u32, rounding: Rounding) -> Result<Decimal, Overflow> {
    if value.scale() <= scale {
        return Ok(value);
    }
    let shift = shift_of(&[scale], &[value.scale()]);
    if let Some(exact) = small(narrow_ratio(value.mantissa(), 1, shift, rounding), scale) {
        return Ok(exact);
    }
    wide_ratio(wide(value), I256::ONE, shift, scale, rounding)
}

/// What needs more than 128 bits, kept out of the way of what does not.
#[cold]
fn wide_ratio(
    numerator: I256,
    denominator: I256,
    shift: i64,
    scale: u32,
    rounding: Rounding,
) -> Result<Decimal, Overflow> {
    build(ratio(numerator, denominator, shift, rounding)?, scale)
}

#[cold]
fn wide_product(a: Decimal, b: Decimal) -> Result<I256, Overflow> {
    wide(a).checked_mul(wide(b)).ok_or(Overflow)
}

/// `a × b` at no more than `scale` decimals.
pub fn mul(a: Decimal, b: Decimal, scale: u32, rounding: Rounding) -> Result<Decimal, Overflow> {
    let full = a.scale().checked_add(b.scale()).ok_or(Overflow)?;
    if let Some(product) = product(a.mantissa(), b.mantissa()) {
        let (found, at) = if full <= scale {
            (Some(product), full)
        } else {
            (narrow_ratio(product, 1, shift_of(&[scale], &[full]), rounding), scale)
        };
        if let Some(exact) = small(found, at) {
            return Ok(exact);
        }
    }
    let product = wide_product(a, b)?;
    if full <= scale {
        return build(product, full);
    }
    wide_ratio(product, I256::ONE, shift_of(&[scale], &[full]), scale, rounding)
}

/// `a × b`, exactly.
pub fn mul_exact(a: Decimal, b: Decimal) -> Result<Decimal, Overflow> {
    let full = a.scale().checked_add(b.scale()).ok_or(Overflow)?;
    if let Some(exact) = small(product(a.mantissa(), b.mantissa()), full) {
        return Ok(exact);
    }
    build(wide_product(a, b)?, full)
}

/// `a ÷ b` at `scale` decimals. Division by zero is an [`Overflow`].
pub fn div(a: Decimal, b: Decimal, scale: u32, rounding: Rounding) -> Result<Decimal, Overflow> {
    let shift = shift_of(&[scale, b.scale()], &[a.scale()]);
    if let Some(exact) = small(narrow_ratio(a.mantissa(), b.mantissa(), shift, rounding), scale) {
        return Ok(exact);
    }
    wide_ratio(wide(a), wide(b), shift, scale, rounding)
}

/// `a × b ÷ c` at `scale` decimals, rounded once at the end.
pub fn mul_div(a: Decimal, b: Decimal, c: Decimal, scale: u32, rounding: Rounding) -> Result<Decimal, Overflow> {
    let shift = shift_of(&[scale, c.scale()], &[a.scale(), b.scale()]);
    let narrow = product(a.mantissa(), b.mantissa());
    if let Some(exact) = small(narrow.and_then(|ab| narrow_ratio(ab, c.mantissa(), shift, rounding)), scale) {
        return Ok(exact);
    }
    wide_ratio(wide_product(a, b)?, wide(c), shift, scale, rounding)
}

/// `a + b`, exactly.
pub fn add(a: Decimal, b: Decimal) -> Result<Decimal, Overflow> {
    let scale = a.scale().max(b.scale());
    if let Some(sum) = lifted(a, scale).and_then(|a| a.checked_add(lifted(b, scale)?))
        && let Some(exact) = small(Some(sum), scale)
    {
        return Ok(exact);
    }
    wide_sum(a, b, scale)
}

#[cold]
fn wide_sum(a: Decimal, b: Decimal, scale: u32) -> Result<Decimal, Overflow> {
    let lift = |value: Decimal| -> Result<I256, Overflow> {
        wide(value).checked_mul(pow10(scale.checked_sub(value.scale()).ok_or(Overflow)?)?).ok_or(Overflow)
    };
    build(lift(a)?.checked_add(lift(b)?).ok_or(Overflow)?, scale)
}

/// `a − b`, exactly.
pub fn sub(a: Decimal, b: Decimal) -> Result<Decimal, Overflow> {
    add(a, -b)
}

/// The largest multiple of `step` that is not above `value` (`Floor`), or the smallest not below (`Ceil`), and so on.
pub fn to_step(value: Decimal, step: Decimal, rounding: Rounding) -> Result<Decimal, Overflow> {
    mul_exact(div(value, step, 0, rounding)?, step)
}

/// Is `value` a whole number of `step`s?
pub fn is_multiple(value: Decimal, step: Decimal) -> bool {
    to_step(value, step, Rounding::ToZero).is_ok_and(|whole| whole == value)
}

/// Reads a plain decimal: an optional minus, digits, an optional point and digits. No exponent, plus sign, space,
/// underscore, `NaN` or infinity, and no digit is dropped.
pub fn parse(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !plain(whole) || !fraction.is_none_or(plain) {
        return None;
    }
    Decimal::from_str_exact(text).ok()
}

/// A whole number that grows with the value: quick to compare, and the same for two values only when they are equal at 14
/// decimals or too large for it.
pub fn rank(value: Decimal) -> i128 {
    let limit = if value.is_sign_negative() { i128::MIN } else { i128::MAX };
    let found = if value.scale() > SCALE_MAX {
        narrow_ratio(value.mantissa(), 1, shift_of(&[SCALE_MAX], &[value.scale()]), Rounding::Floor)
    } else {
        lifted(value, SCALE_MAX)
    };
    found.unwrap_or(limit)
}

/// A sum of many figures: exact, and wide enough that no number of accounts within the limits of input fills it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, serde::Serialize, serde::Deserialize)]
pub struct Sum(i128);

impl Sum {
    /// Adds a figure.
    pub fn add(&mut self, value: Decimal) -> Result<(), Overflow> {
        let value = if value.scale() > SCALE_MAX { value.normalize() } else { value };
        let lifted = lifted(value, SCALE_MAX).ok_or(Overflow)?;
        self.0 = self.0.checked_add(lifted).ok_or(Overflow)?;
        Ok(())
    }

    /// Takes a figure away.
    pub fn take(&mut self, value: Decimal) -> Result<(), Overflow> {
        self.add(-value)
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: Self) -> Result<(), Overflow> {
        self.0 = self.0.checked_add(other.0).ok_or(Overflow)?;
        Ok(())
    }

    /// As a figure.
    pub fn get(self) -> Result<Decimal, Overflow> {
        build(I256::from(self.0), SCALE_MAX).map(|value| value.normalize())
    }

    /// Is it zero?
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        parse(text).unwrap()
    }

    #[test]
    fn rounding_goes_where_its_name_says() {
        let cases = [
            (Rounding::Floor, "-0.34", "0.33"),
            (Rounding::Ceil, "-0.33", "0.34"),
            (Rounding::ToZero, "-0.33", "0.33"),
            (Rounding::FromZero, "-0.34", "0.34"),
            (Rounding::Nearest, "-0.33", "0.33"),
        ];
        for (rounding, negative, positive) in cases {
            assert_eq!(quantise(d("-0.3333"), 2, rounding), Ok(d(negative)), "{rounding:?}");
            assert_eq!(quantise(d("0.3333"), 2, rounding), Ok(d(positive)), "{rounding:?}");
        }
        assert_eq!(quantise(d("0.125"), 2, Rounding::Nearest), Ok(d("0.12")));
        assert_eq!(quantise(d("-0.135"), 2, Rounding::Nearest), Ok(d("-0.14")));
    }

    #[test]
    fn a_product_that_would_lose_a_digit_is_an_error() {
        let long = d("1.2345678901234567890123456789");
        assert_eq!(mul_exact(long, long), Err(Overflow));
        assert!(mul(long, long, 10, Rounding::Floor).is_ok());
        assert_eq!(mul_exact(d("0.5"), d("20000000000000000000000000000")), Ok(d("10000000000000000000000000000")));
        assert_eq!(add(d("79228162514264337593543950335"), d("0.1")), Err(Overflow));
    }

    #[test]
    fn division_is_rounded_once() {
        assert_eq!(div(d("2"), d("3"), 4, Rounding::Floor), Ok(d("0.6666")));
        assert_eq!(div(d("-2"), d("3"), 4, Rounding::Ceil), Ok(d("-0.6666")));
        assert_eq!(mul_div(d("10"), d("1"), d("3"), 2, Rounding::FromZero), Ok(d("3.34")));
        assert_eq!(div(d("1"), d("0"), 4, Rounding::Floor), Err(Overflow));
    }

    #[test]
    fn only_plain_decimals_are_read() {
        for bad in ["", "-", ".5", "5.", "1e5", "+1", "1_000", "NaN", "inf", " 1", "0x1", "1.2.3", "--1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(parse("0.00000000000000000000000000001"), None, "29 decimals");
        assert_eq!(parse("-12.50"), Some(d("-12.5")));
    }

    #[test]
    fn steps() {
        assert_eq!(to_step(d("45000.05"), d("0.1"), Rounding::Ceil), Ok(d("45000.1")));
        assert!(is_multiple(d("45000.1"), d("0.1")) && !is_multiple(d("45000.05"), d("0.1")));
    }
}
