//! Decimal figures and times as people and JSON read them: strings in, strings out, thousands separated in text.

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;

/// A decimal that travels as a JSON string.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Figure(pub(super) Decimal);

impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.normalize(), formatter)
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Figure {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Decimal::from_str_exact(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

impl std::iter::Sum for Figure {
    fn sum<I: Iterator<Item = Self>>(items: I) -> Self {
        Self(items.map(|item| item.0).sum())
    }
}

impl std::ops::AddAssign for Figure {
    fn add_assign(&mut self, other: Self) {
        self.0 += other.0;
    }
}

/// `value` with `places` decimals and a comma between thousands.
pub(super) fn grouped(value: Decimal, places: u32) -> String {
    let mut rounded = value.round_dp(places);
    rounded.rescale(places);
    let text = rounded.abs().to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let mut out = String::with_capacity(text.len() * 2);
    if rounded.is_sign_negative() && !rounded.is_zero() {
        out.push('-');
    }
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
    out
}

/// `part / whole` in percent with `places` decimals, or a dash when there is no whole.
pub(super) fn percent(part: Decimal, whole: Decimal, places: u32) -> String {
    match (part * Decimal::ONE_HUNDRED).checked_div(whole) {
        Some(share) => format!("{} %", grouped(share, places)),
        None => "–".to_owned(),
    }
}

const DAY_MS: i64 = 86_400_000;

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years are counted from March, so that the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// Unix milliseconds of `2025-10-10T20:45Z`.
pub(super) fn parse_minute(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |part: &str, mark: char| part.split(mark).map(|n| n.parse::<i64>().ok()).collect::<Option<Vec<_>>>();
    let [year, month, day] = <[i64; 3]>::try_from(numbers(date, '-')?).ok()?;
    let [hour, minute] = <[i64; 2]>::try_from(numbers(time, ':')?).ok()?;
    let valid = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute);
    let minutes = (days_from_civil(year, month, day) * 24 + hour) * 60 + minute;
    if valid { u64::try_from(minutes * 60_000).ok() } else { None }
}

/// `2025-10-10 21:15` of Unix milliseconds, UTC.
pub(super) fn minute_text(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(0);
    let (year, month, day) = civil_from_days(ms.div_euclid(DAY_MS));
    let minutes = ms.rem_euclid(DAY_MS) / 60_000;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    #[test]
    fn thousands_are_separated() {
        for (value, places, wanted) in [
            ("0", 2, "0.00"),
            ("999.995", 2, "1,000.00"),
            ("-1234567.891", 2, "-1,234,567.89"),
            ("123456", 0, "123,456"),
            ("-0.001", 2, "0.00"),
        ] {
            assert_eq!(grouped(d(value), places), wanted, "{value}");
        }
        assert_eq!(percent(d("1"), d("8"), 1), "12.5 %");
        assert_eq!(percent(d("1"), d("0"), 1), "–");
    }

    #[test]
    fn minutes_are_read_and_written() {
        for text in ["2025-10-10T20:45Z", "2020-02-29T00:00Z", "1970-01-01T00:00Z", "2021-12-31T23:59Z"] {
            let ms = parse_minute(text).unwrap();
            assert_eq!(format!("{}Z", minute_text(ms).replace(' ', "T")), text);
        }
        assert_eq!(parse_minute("2025-10-10T20:45Z"), Some(1_760_129_100_000));
        for bad in ["", "2025-10-10", "2025-10-10T20:45", "2025-13-10T20:45Z", "2025-10-10T24:45Z", "x-10-10T20:45Z"] {
            assert_eq!(parse_minute(bad), None, "{bad}");
        }
    }

    #[test]
    fn figures_are_strings_in_json() {
        let read: Figure = serde_json::from_str("\"-1.50\"").unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"-1.5\"");
        assert!(serde_json::from_str::<Figure>("1.5").is_err());
    }
}
