//! A run: entries between two barriers. Oracle, shards and fund take it side by side.

use super::{BatchOutcome, Flow, Stations, Stop};
use crate::event::Fact;
use crate::instruction::{Entry, Instruction};
use crate::margin::{Haircut, Objection, RunReply};
use crate::reject::Reject;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// What has been agreed of a run so far.
#[derive(Default)]
struct Agreed {
    refused: BTreeMap<usize, Reject>,
    facts: Vec<(usize, Fact)>,
    haircuts: Vec<(usize, Haircut)>,
}

impl Agreed {
    /// Keeps what came before an objection: everything after it is done again.
    fn cut(&mut self, from: usize) {
        self.refused.retain(|index, _| *index < from);
        self.facts.retain(|(index, _)| *index < from);
        self.haircuts.retain(|(index, _)| *index < from);
    }

    fn take(&mut self, replies: Vec<RunReply>) {
        for reply in replies {
            self.refused.extend(reply.refused);
            self.facts.extend(reply.facts);
            self.haircuts.extend(reply.haircuts);
        }
    }
}

fn first_objection(replies: &[RunReply]) -> Option<Objection> {
    replies.iter().filter_map(|reply| reply.objection).min_by_key(|objection| (objection.index, objection.seller))
}

impl Flow {
    pub(super) async fn run(
        &mut self,
        entries: Vec<Entry>,
        stations: &mut impl Stations,
        outcome: &mut BatchOutcome,
    ) -> Result<(), Stop> {
        if entries.is_empty() {
            return Ok(());
        }
        let entries: Arc<[Entry]> = entries.into();
        let concerned = Concerned::by(&entries);
        if concerned.queue {
            stations.list(&entries).await?;
        }
        if concerned.oracle {
            stations.observe(&entries).await?;
        }
        let mut agreed = if concerned.shards { self.agree(&entries, stations).await? } else { Agreed::default() };
        if concerned.fund || !agreed.haircuts.is_empty() {
            let facts = stations.credit(&entries, std::mem::take(&mut agreed.haircuts)).await?;
            agreed.facts.extend(facts);
        }
        // By entry, and within it by the account's name. The sort is stable: each shard lists buyer before seller, and
        // the fund's facts, which have no name, keep their order.
        agreed
            .facts
            .sort_by(|(index, fact), (other, later)| (index, account_of(fact)).cmp(&(other, account_of(later))));
        let mut facts = VecDeque::from(agreed.facts);
        for (index, entry) in entries.iter().enumerate() {
            let result = agreed.refused.get(&index).map_or(Ok(()), |reject| Err(*reject));
            let shown = facts.iter().take_while(|(of, _)| *of == index).count();
            let shown = facts.drain(..shown).map(|(_, fact)| fact);
            let enacted = self.enact(entry)?;
            let done = self.close(entry, result, enacted.into_iter().chain(shown));
            outcome.entries.push(done);
        }
        Ok(())
    }

    /// Lets the shards agree on every trade between them.
    async fn agree(&mut self, entries: &Arc<[Entry]>, stations: &mut impl Stations) -> Result<Agreed, Stop> {
        let mut agreed = Agreed::default();
        let mut decided: BTreeMap<usize, Reject> = BTreeMap::new();
        let mut from = 0;
        loop {
            let replies = stations.run(entries, from, &Arc::new(decided.clone())).await?;
            let objection = first_objection(&replies);
            agreed.take(replies);
            let Some(objection) = objection else { break };
            agreed.cut(objection.index);
            decided.insert(objection.index, objection.reject);
            from = objection.index;
        }
        agreed.refused.extend(decided);
        Ok(agreed)
    }

    /// What an entry does to the rules: new ones are in force at once, those of a market that is listed from the next tick
    /// on.
    fn enact(&mut self, entry: &Entry) -> Result<Option<Fact>, Stop> {
        let change = entry.change;
        let fact = match &entry.instruction {
            Instruction::ListAsset(asset) => {
                Arc::make_mut(&mut self.rules).put_asset(asset.clone());
                self.rulebook.put_asset(asset, None, change)
            }
            Instruction::ListMarket(market) if self.rules.market(market.index).is_ok() => {
                self.staged.push(market.clone());
                self.rulebook.stage(market, change);
                self.rulebook.carry_out(change);
                return Ok(None);
            }
            Instruction::ListMarket(market) => {
                Arc::make_mut(&mut self.rules).put_market(market.clone());
                self.rulebook.put_market(market, &self.rules, change)
            }
            Instruction::SetInjectionLine { asset, limit } => {
                let asset = self.rules.asset(*asset)?;
                self.rulebook.put_asset(asset, Some(*limit), change)
            }
            Instruction::ScheduleRules(pending) => self.rulebook.schedule(pending),
            Instruction::VetoRules { change, by } => self.rulebook.veto(*change, by),
            _ => return Ok(None),
        };
        self.rulebook.carry_out(change);
        Ok(Some(fact))
    }
}

/// The account a fact shows, of those that a run tells of.
fn account_of(fact: &Fact) -> Option<&crate::id::AccountId> {
    match fact {
        Fact::AccountUpdated { account, .. } | Fact::PositionUpdated { account, .. } => Some(account),
        _ => None,
    }
}

/// Which stations a run concerns.
#[derive(Default)]
struct Concerned {
    queue: bool,
    oracle: bool,
    shards: bool,
    fund: bool,
}

impl Concerned {
    fn by(entries: &[Entry]) -> Self {
        let mut concerned = Self::default();
        for entry in entries {
            match &entry.instruction {
                Instruction::ListMarket(_) => return Self { queue: true, oracle: true, shards: true, fund: true },
                Instruction::ListAsset(_) => {
                    (concerned.queue, concerned.shards, concerned.fund) = (true, true, true);
                }
                Instruction::Observe { .. } | Instruction::FundingRate { .. } => concerned.oracle = true,
                Instruction::FundCredit { .. } | Instruction::SetInjectionLine { .. } => concerned.fund = true,
                Instruction::ScheduleRules(_) | Instruction::VetoRules { .. } => {}
                _ => concerned.shards = true,
            }
        }
        concerned
    }
}
