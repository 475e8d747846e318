//! What a producer is told of a command, and how that is remembered.

use backstop_engine::decode::Malformed;
use backstop_engine::event::{Event, Fact};
use backstop_engine::flow::EntryOutcome;
use backstop_engine::id::{Millis, Seq};
use backstop_engine::reject::{Code, Reject};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::value::RawValue;
use smol_str::SmolStr;

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Kept and applied.
    Accepted {
        /// Its place.
        seq: Seq,
        /// Its time.
        time: Millis,
        /// What it did, where that is the command's result and not the state's: entries of the fund, settlements.
        #[serde(skip_serializing_if = "Results::is_empty")]
        events: Results,
    },
    /// Refused: nothing has changed. Boxed, because a producer's answers are remembered and most are the other one.
    Refused(Box<Refused>),
}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refused {
    /// The stable code.
    pub code: &'static str,
    /// One sentence.
    pub message: String,
    /// The field.
    pub field: String,
    /// Its place, where it got as far as taking one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<Seq>,
}

/// Events as the JSON array they are answered with; empty for none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Results(SmolStr);

impl Results {
    fn of(events: &[Event]) -> Self {
        let shown: Vec<&Event> = events.iter().filter(|event| is_result(&event.fact)).collect();
        if shown.is_empty() {
            return Self::default();
        }
        // Events are plain data: writing them to memory does not fail.
        Self(serde_json::to_string(&shown).unwrap_or_default().into())
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Results {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = RawValue::from_string(self.0.to_string()).map_err(serde::ser::Error::custom)?;
        text.serialize(serializer)
    }
}

/// Is the fact the result of the command that caused it, and not of the state it met (as everything a tick does)?
fn is_result(fact: &Fact) -> bool {
    match fact {
        Fact::FundEntry(entry) => entry.liquidation.is_none(),
        // Whoever changes rules hears that the change waits.
        Fact::RulesScheduled(_) | Fact::RulesVetoed { .. } => true,
        _ => false,
    }
}

impl Answer {
    pub(super) fn malformed(malformed: &Malformed) -> Self {
        Self::refused(malformed.code.as_str(), malformed.message.clone(), malformed.field.clone(), None)
    }

    fn refused(code: &'static str, message: String, field: String, seq: Option<Seq>) -> Self {
        Self::Refused(Box::new(Refused { code, message, field, seq }))
    }

    pub(super) fn rejected(reject: &Reject, seq: Option<Seq>) -> Self {
        Self::refused(reject.code.as_str(), reject.to_string(), reject.field.to_owned(), seq)
    }

    /// A refusal as it stands in the journal.
    pub(super) fn again(code: &str, message: String, field: String, seq: Option<Seq>) -> Self {
        // A code that this version does not know was written by a newer one, which the journal's version excludes.
        let known = Code::ALL.iter().map(|code| code.as_str()).find(|known| *known == code);
        Self::refused(known.unwrap_or("malformed"), message, field, seq)
    }

    /// What came of an applied command.
    pub(crate) fn of(outcome: &EntryOutcome) -> Self {
        match &outcome.result {
            Ok(()) => Self::Accepted { seq: outcome.seq, time: outcome.time, events: Results::of(&outcome.events) },
            Err(reject) => Self::rejected(reject, Some(outcome.seq)),
        }
    }
}

/// An answer as a snapshot holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeptAnswer {
    /// Accepted, with its results.
    Accepted(Seq, Millis, SmolStr),
    /// Refused: code, message, field, place.
    Refused(SmolStr, String, String, Option<Seq>),
}

impl From<&Answer> for KeptAnswer {
    fn from(answer: &Answer) -> Self {
        match answer {
            Answer::Accepted { seq, time, events } => Self::Accepted(*seq, *time, events.0.clone()),
            Answer::Refused(refused) => {
                let Refused { code, message, field, seq } = refused.as_ref();
                Self::Refused(SmolStr::new_static(code), message.clone(), field.clone(), *seq)
            }
        }
    }
}

impl From<KeptAnswer> for Answer {
    fn from(kept: KeptAnswer) -> Self {
        match kept {
            KeptAnswer::Accepted(seq, time, events) => Self::Accepted { seq, time, events: Results(events) },
            KeptAnswer::Refused(code, message, field, seq) => Self::again(&code, message, field, seq),
        }
    }
}
