//! What one market has drawn on the shared pool, and what of it counts within a window.

use crate::id::Millis;
use crate::money::Money;
use crate::number::Overflow;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::VecDeque;

/// Draws of one market on the shared pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Draws {
    paid: Paid,
    pub(super) held: Money,
}

/// Payments in the order of time, and their sum. What is stored is the payments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Paid {
    list: VecDeque<(Millis, Money)>,
    sum: Money,
}

impl Draws {
    /// One more payment.
    pub(super) fn pay(&mut self, time: Millis, amount: Money) -> Result<(), Overflow> {
        self.paid.sum = self.paid.sum.plus(amount)?;
        self.paid.list.push_back((time, amount));
        Ok(())
    }

    /// Held, and paid since `start`.
    pub(super) fn since(&self, start: Millis) -> Result<Money, Overflow> {
        let mut sum = self.held.plus(self.paid.sum)?;
        for (_, amount) in self.paid.list.iter().take_while(|(time, _)| *time < start) {
            sum = sum.minus(*amount)?;
        }
        Ok(sum)
    }

    /// Forgets what was paid before `start`.
    pub(super) fn expire(&mut self, start: Millis) -> Result<(), Overflow> {
        while let Some((_, amount)) = self.paid.list.front().filter(|(time, _)| *time < start) {
            self.paid.sum = self.paid.sum.minus(*amount)?;
            self.paid.list.pop_front();
        }
        Ok(())
    }
}

impl Serialize for Paid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Paid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let list = VecDeque::<(Millis, Money)>::deserialize(deserializer)?;
        let sum = list.iter().try_fold(Money::ZERO, |sum, (_, amount)| sum.plus(*amount));
        Ok(Self { list, sum: sum.map_err(serde::de::Error::custom)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::parse;

    #[test]
    fn only_what_was_paid_within_the_window_counts() {
        let money = |text: &str| Money::new(parse(text).unwrap());
        let mut draws = Draws { held: money("1"), ..Draws::default() };
        for (time, amount) in [(10, "2"), (20, "4"), (20, "8"), (30, "16")] {
            draws.pay(time, money(amount)).unwrap();
        }
        for (start, sum) in [(0, "31"), (10, "31"), (11, "29"), (20, "29"), (21, "17"), (31, "1")] {
            assert_eq!(draws.since(start).unwrap(), money(sum), "since {start}");
        }
        let read: Draws = postcard::from_bytes(&postcard::to_stdvec(&draws).unwrap()).unwrap();
        assert_eq!(read, draws);
        draws.expire(20).unwrap();
        assert_eq!(draws.since(0).unwrap(), money("29"));
    }
}
