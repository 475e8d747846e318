//! Numbers of producers: the next is taken, one that was taken is answered as the first time, a gap is refused.

use super::answer::{Answer, KeptAnswer};
use backstop_engine::reject::{Code, Reject};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;
use std::collections::{BTreeMap, VecDeque};

/// Answers remembered per producer: more than any producer has on its way at once.
const REMEMBERED: usize = 65_536;

/// Producers there may be: a venue has a handful. Each remembers up to some tens of megabytes.
const PRODUCERS_MAX: usize = 64;

/// What a number is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The next.
    Next,
    /// Taken before.
    Before,
    /// Not the next; this is.
    Gap(u64),
    /// One producer too many.
    Crowd(usize),
}

#[derive(Default)]
struct Producer {
    /// The last number taken, and the last answered: batches answer in order.
    last: u64,
    answered: u64,
    /// Answers to the latest numbers, the last at the end; none while its batch is on its way.
    answers: VecDeque<Option<Answer>>,
}

/// All producers.
#[derive(Default)]
pub(super) struct Producers(BTreeMap<SmolStr, Producer>);

impl Producers {
    pub(super) fn look_up(&self, producer: &str, number: u64) -> Known {
        if self.0.len() >= PRODUCERS_MAX && !self.0.contains_key(producer) {
            return Known::Crowd(PRODUCERS_MAX);
        }
        let last = self.0.get(producer).map_or(0, |known| known.last);
        let next = last.saturating_add(1);
        match number.cmp(&next) {
            std::cmp::Ordering::Less => Known::Before,
            std::cmp::Ordering::Equal => Known::Next,
            std::cmp::Ordering::Greater => Known::Gap(next),
        }
    }

    /// Takes the next number. Its answer comes when its batch is applied.
    pub(super) fn take(&mut self, producer: &SmolStr, number: u64) {
        let known = match self.0.get_mut(producer) {
            Some(known) => known,
            None => self.0.entry(producer.clone()).or_default(),
        };
        known.last = number;
        known.answers.push_back(None);
        if known.answers.len() > REMEMBERED {
            known.answers.pop_front();
        }
    }

    fn place(known: &Producer, number: u64) -> Option<usize> {
        let back = usize::try_from(known.last.checked_sub(number)?).ok()?;
        known.answers.len().checked_sub(back.checked_add(1)?)
    }

    /// The answer to a number that was taken.
    pub(super) fn answer(&mut self, producer: &str, number: u64, answer: Answer) {
        let Some(known) = self.0.get_mut(producer) else { return };
        known.answered = known.answered.max(number);
        if let Some(slot) = Self::place(known, number).and_then(|place| known.answers.get_mut(place)) {
            *slot = Some(answer);
        }
    }

    /// The first answer to a number; a refusal when it is too long ago to be remembered.
    pub(super) fn first_answer(&self, producer: &str, number: u64) -> Answer {
        let known = self.0.get(producer);
        let found = known.and_then(|known| Self::place(known, number).and_then(|place| known.answers.get(place)));
        found.cloned().flatten().unwrap_or_else(|| {
            let last = known.map_or(0, |known| known.last);
            Answer::rejected(&Reject::limit(Code::OutOfOrder, "number", number.into(), last.into()), None)
        })
    }
}

/// A producer as a snapshot holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptProducer {
    /// Its name.
    name: SmolStr,
    /// The last number that was answered.
    last: u64,
    /// Answers to the latest numbers, the last at the end.
    answers: Vec<KeptAnswer>,
}

impl Producers {
    /// What has been answered. Numbers whose batch is on its way are not in it: they come after the snapshot.
    pub(super) fn kept(&self) -> Vec<KeptProducer> {
        let kept = |(name, known): (&SmolStr, &Producer)| {
            let answers = known.answers.iter().map_while(|answer| Some(answer.as_ref()?.into())).collect();
            KeptProducer { name: name.clone(), last: known.answered, answers }
        };
        self.0.iter().map(kept).filter(|kept| kept.last > 0).collect()
    }

    /// As they were.
    pub(super) fn restore(kept: Vec<KeptProducer>) -> Self {
        let known = |kept: KeptProducer| {
            let answers = kept.answers.into_iter().map(|answer| Some(answer.into())).collect();
            (kept.name, Producer { last: kept.last, answered: kept.last, answers })
        };
        Self(kept.into_iter().map(known).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::answer::Results;
    use super::*;

    fn accepted(seq: u64) -> Answer {
        Answer::Accepted { seq, time: 0, events: Results::default() }
    }

    #[test]
    fn there_are_only_so_many_producers() {
        let mut producers = Producers::default();
        for number in 0..PRODUCERS_MAX {
            producers.take(&SmolStr::new(number.to_string()), 1);
        }
        assert_eq!(producers.look_up("one more", 1), Known::Crowd(PRODUCERS_MAX));
        assert_eq!(producers.look_up("0", 2), Known::Next);
    }

    #[test]
    fn a_number_is_taken_once_and_answered_alike_for_ever() {
        let (mut producers, name) = (Producers::default(), SmolStr::new("feed"));
        assert_eq!(producers.look_up("feed", 1), Known::Next);
        assert_eq!(producers.look_up("feed", 2), Known::Gap(1));
        producers.take(&name, 1);
        producers.take(&name, 2);
        producers.answer("feed", 1, accepted(10));
        producers.answer("feed", 2, accepted(11));
        assert_eq!(producers.look_up("feed", 1), Known::Before);
        assert_eq!(producers.first_answer("feed", 1), accepted(10));
        assert_eq!(producers.first_answer("feed", 2), accepted(11));
        assert_eq!(producers.look_up("feed", 4), Known::Gap(3));
        assert!(
            matches!(producers.first_answer("other", 1), Answer::Refused(refused) if refused.code == "out_of_order")
        );
    }

    #[test]
    fn a_snapshot_holds_what_was_answered_and_not_what_is_on_its_way() {
        let (mut producers, name) = (Producers::default(), SmolStr::new("feed"));
        for number in 1..=3 {
            producers.take(&name, number);
        }
        producers.answer("feed", 1, accepted(10));
        let refused = Answer::again("unknown_market", "the market is not listed".into(), "market".into(), Some(11));
        producers.answer("feed", 2, refused.clone());
        let restored = Producers::restore(producers.kept());
        assert_eq!(restored.first_answer("feed", 1), accepted(10));
        assert_eq!(restored.first_answer("feed", 2), refused);
        assert_eq!(restored.look_up("feed", 3), Known::Next);
    }

    #[test]
    fn a_snapshot_holds_no_number_on_its_way_however_many_there_are() {
        let (mut producers, name) = (Producers::default(), SmolStr::new("feed"));
        producers.take(&name, 1);
        producers.answer("feed", 1, accepted(10));
        let many = u64::try_from(REMEMBERED).unwrap() + 2;
        (2..=many).for_each(|number| producers.take(&name, number));
        let restored = Producers::restore(producers.kept());
        assert_eq!(restored.look_up("feed", 2), Known::Next, "it is not safe yet, so it is not used");
    }
}
