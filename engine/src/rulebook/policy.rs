//! What the daemon's configuration makes of a command that changes rules, before it takes a place in the order.

use super::{Ceilings, loosens};
use crate::admission::Admission;
use crate::command::{Command, RuleChange};
use crate::decode::is_name;
use crate::id::Millis;
use crate::reject::{Code, Reject};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// How changes of the rules are held back. It is no part of the state: what it decides is in the journal, so a replay never
/// asks it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// A change that loosens waits so long, in milliseconds; 0 for not at all.
    pub delay_ms: Millis,
    /// How far the rules may go at all.
    pub ceilings: Ceilings,
}

impl Policy {
    /// Reviews a new command (never a replayed one) that `by` has sent, and says which command is to be admitted in its
    /// place: most are passed on as they are.
    ///
    /// A change that loosens becomes a planned one; one that is planned already is given its proposer, and no earlier time
    /// than the delay allows. `by` is a name as commands have them; empty where nobody is known, which leaves what the
    /// command says itself.
    ///
    /// # Errors
    /// [`Code::AboveCeiling`]; [`Code::InvalidName`] for `by`; what admission would say of the change.
    pub fn review(&self, admission: &Admission, command: Command, time: Millis, by: &str) -> Result<Command, Reject> {
        match command {
            Command::ListAsset(list) => self.review_change(admission, RuleChange::ListAsset(list), time, by),
            Command::ListMarket(list) => self.review_change(admission, RuleChange::ListMarket(list), time, by),
            Command::SetInjectionLine { asset, limit } => {
                self.review_change(admission, RuleChange::SetInjectionLine { asset, limit }, time, by)
            }
            Command::ScheduleRules { change, effective_time, by: own } => {
                self.ceilings.check(admission, &change)?;
                let loosened = !loosens(admission.rules(), admission.lines(), &change)?.is_empty();
                let earliest = if loosened { time.saturating_add(self.delay_ms) } else { time };
                Ok(Command::ScheduleRules { change, effective_time: effective_time.max(earliest), by: name(by, own)? })
            }
            Command::ApplyRules { change } => {
                // The ceilings may have come down since it was planned.
                if let Some(pending) = admission.pending().find(|pending| pending.change == change) {
                    self.ceilings.check(admission, &pending.proposal)?;
                }
                Ok(Command::ApplyRules { change })
            }
            Command::VetoRules { change, by: own } => Ok(Command::VetoRules { change, by: name(by, own)? }),
            other => Ok(other),
        }
    }

    fn review_change(
        &self,
        admission: &Admission,
        change: RuleChange,
        time: Millis,
        by: &str,
    ) -> Result<Command, Reject> {
        self.ceilings.check(admission, &change)?;
        if self.delay_ms == 0 || loosens(admission.rules(), admission.lines(), &change)?.is_empty() {
            return Ok(change.into_command());
        }
        let (effective_time, by) = (time.saturating_add(self.delay_ms), name(by, SmolStr::default())?);
        Ok(Command::ScheduleRules { change: Box::new(change), effective_time, by })
    }
}

/// Who is known to have sent it, or else who it says it is from.
fn name(by: &str, own: SmolStr) -> Result<SmolStr, Reject> {
    if by.is_empty() {
        return Ok(own);
    }
    if is_name(by) { Ok(SmolStr::new(by)) } else { Err(Reject::new(Code::InvalidName, "by")) }
}
