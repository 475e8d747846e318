//! Scenario files: commands and expectations, one a line, applied to any engine and compared.
//!
//! In: the text of a file, and a [`Subject`]. Out: a [`Report`] with every difference as line, wanted, got. It reads no
//! file and prints nothing. Tests, demos, load harness and bug reports all use this one format.

mod expect;
mod read;

pub use read::{Line, ReadError, Step, read};

use crate::command::Command;
use crate::decode::Malformed;
use crate::event::Event;
use crate::flow::EntryOutcome;
use crate::id::{AccountId, Millis};
use crate::reject::Reject;
use crate::view::{AccountView, Conservation, FundView, MarkView};
use serde_json::{Value, json};

/// What a scenario is applied to.
pub trait Subject {
    /// Applies a command: what became of it, or the refusal when it got no place.
    fn submit(&mut self, command: &Command, time: Millis) -> Result<EntryOutcome, Reject>;
    /// An account.
    fn account(&mut self, account: &AccountId) -> Option<AccountView>;
    /// All prices.
    fn marks(&mut self) -> Vec<MarkView>;
    /// A fund.
    fn fund(&mut self, asset: &str) -> Option<FundView>;
    /// The balance of everything.
    fn conservation(&mut self) -> Result<Conservation, Reject>;
    /// The hash of the state.
    fn state_hash(&mut self) -> Result<String, Reject>;
}

impl Subject for crate::reference::Reference {
    fn submit(&mut self, command: &Command, time: Millis) -> Result<EntryOutcome, Reject> {
        Self::submit(self, command, time)
    }

    fn account(&mut self, account: &AccountId) -> Option<AccountView> {
        Self::account(self, account)
    }

    fn marks(&mut self) -> Vec<MarkView> {
        Self::marks(self)
    }

    fn fund(&mut self, asset: &str) -> Option<FundView> {
        Self::fund(self, asset)
    }

    fn conservation(&mut self) -> Result<Conservation, Reject> {
        Self::conservation(self)
    }

    fn state_hash(&mut self) -> Result<String, Reject> {
        Self::state_hash(self)
    }
}

/// An expectation that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// The line of the file, from 1.
    pub line: usize,
    /// What the line says.
    pub wanted: String,
    /// What was there.
    pub got: String,
}

/// A refusal that no expectation asked for.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Refusal {
    /// The line of the command.
    pub line: usize,
    /// The code.
    pub code: &'static str,
    /// The field.
    pub field: String,
    /// The sentence.
    pub message: String,
}

/// What became of a scenario.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    /// Commands applied.
    pub commands: usize,
    /// Expectations compared.
    pub expectations: usize,
    /// Those that did not hold.
    pub differences: Vec<Difference>,
    /// Refusals that no expectation asked for.
    pub refusals: Vec<Refusal>,
    /// Every event, in order.
    #[serde(skip)]
    pub events: Vec<Event>,
    /// The hash of the final state.
    pub state_hash: String,
}

/// The last refusal, for `rejected`.
#[derive(Debug, Clone)]
struct Refused {
    line: usize,
    malformed: Malformed,
    expected: bool,
}

/// Applies a scenario.
pub fn run(lines: &[Line], subject: &mut impl Subject) -> Report {
    let mut report = Report::default();
    let mut time: Millis = 0;
    let mut window: Vec<Value> = Vec::new();
    let mut refused: Option<Refused> = None;
    for line in lines {
        match &line.step {
            Step::Command(read) => {
                note(&mut report, refused.take());
                report.commands = report.commands.saturating_add(1);
                let mut told = false;
                let result = apply(read, &mut time, subject).and_then(|(tick, outcome)| {
                    if tick {
                        window.clear();
                    }
                    window.extend(outcome.events.iter().filter_map(|event| serde_json::to_value(event).ok()));
                    told = !outcome.events.is_empty();
                    report.events.extend(outcome.events);
                    outcome.result.map_err(refusal)
                });
                if let Err(malformed) = result {
                    // A refusal before a command takes a place in the order leaves no event of its own; expectations
                    // see it all the same.
                    if !told {
                        let Malformed { code, message, field } = &malformed;
                        let (code, kind) = (code.as_str(), "rejected");
                        window.push(json!({ "type": kind, "code": code, "message": message, "field": field }));
                    }
                    refused = Some(Refused { line: line.number, malformed, expected: false });
                }
            }
            Step::Expect(wanted) => {
                report.expectations = report.expectations.saturating_add(1);
                let found = match refused.as_mut().filter(|_| wanted.is_rejected()) {
                    Some(refused) => {
                        refused.expected = true;
                        wanted.compare_refusal(&refused.malformed)
                    }
                    None => wanted.compare(subject, &window),
                };
                if let Err(got) = found {
                    report.differences.push(Difference { line: line.number, wanted: wanted.text(), got });
                }
            }
        }
        check_balance(line.number, subject, &mut report);
    }
    note(&mut report, refused);
    report.state_hash = subject.state_hash().unwrap_or_else(|reject| reject.to_string());
    report
}

fn refusal(reject: Reject) -> Malformed {
    Malformed { code: reject.code, field: reject.field.to_owned(), message: reject.to_string() }
}

/// Also a command that the state refuses has its place, its time and its event.
fn apply(
    read: &Result<crate::command::Envelope, Malformed>,
    time: &mut Millis,
    subject: &mut impl Subject,
) -> Result<(bool, EntryOutcome), Malformed> {
    let envelope = read.as_ref().map_err(Clone::clone)?;
    let at = envelope.time.unwrap_or(*time);
    let outcome = subject.submit(&envelope.command, at).map_err(refusal)?;
    *time = at;
    Ok((envelope.command == Command::Tick, outcome))
}

fn note(report: &mut Report, refused: Option<Refused>) {
    if let Some(Refused { line, malformed, expected: false }) = refused {
        let Malformed { code, field, message } = malformed;
        report.refusals.push(Refusal { line, code: code.as_str(), field, message });
    }
}

fn check_balance(line: usize, subject: &mut impl Subject, report: &mut Report) {
    let got = match subject.conservation() {
        Ok(balance) if balance.holds() => return,
        Ok(balance) => serde_json::to_string(&balance).unwrap_or_default(),
        Err(reject) => reject.to_string(),
    };
    report.differences.push(Difference { line, wanted: "conservation: every error 0".to_owned(), got });
}
