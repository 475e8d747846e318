//! A run: entries between two barriers. Oracle, shards and fund take it side by side.

use super::{BatchOutcome, Flow, Stations, Stop};
use crate::event::Fact;
use crate::instruction::{Entry, Instruction};
use crate::margin::{Haircut, Objection, RunReply};
use crate::reject::Reject;
use std::collections::BTreeMap;
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
        self.list(&entries);
        let entries: Arc<[Entry]> = entries.into();
        let has = |wanted: fn(&Instruction) -> bool| entries.iter().any(|entry| wanted(&entry.instruction));
        if has(|instruction| matches!(instruction, Instruction::ListAsset(_) | Instruction::ListMarket(_))) {
            stations.list(&entries).await?;
        }
        if has(for_oracle) {
            stations.observe(&entries).await?;
        }
        let mut agreed = if has(for_shards) { self.agree(&entries, stations).await? } else { Agreed::default() };
        if has(for_fund) || !agreed.haircuts.is_empty() {
            let facts = stations.credit(&entries, std::mem::take(&mut agreed.haircuts)).await?;
            agreed.facts.extend(facts);
        }
        // Within an entry: buyer before seller, as each shard lists them; shards are told apart by the account's name.
        let mut facts: BTreeMap<usize, Vec<Fact>> = BTreeMap::new();
        for (index, fact) in agreed.facts {
            facts.entry(index).or_default().push(fact);
        }
        for (index, entry) in entries.iter().enumerate() {
            let result = agreed.refused.get(&index).map_or(Ok(()), |reject| Err(*reject));
            let mut shown = facts.remove(&index).unwrap_or_default();
            shown.sort_by(|a, b| account_of(a).cmp(&account_of(b)));
            let done = self.close(entry, result, shown);
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

    fn list(&mut self, entries: &[Entry]) {
        for entry in entries {
            match &entry.instruction {
                Instruction::ListAsset(asset) => self.rules.put_asset(asset.clone()),
                Instruction::ListMarket(market) if self.rules.market(market.index).is_ok() => {
                    self.staged.push(market.clone());
                }
                Instruction::ListMarket(market) => self.rules.put_market(market.clone()),
                _ => {}
            }
        }
    }
}

/// Accounts and positions are sorted by name; the fund's facts have no name and keep their order (the sort is stable).
fn account_of(fact: &Fact) -> Option<&crate::id::AccountId> {
    match fact {
        Fact::AccountUpdated { account, .. } | Fact::PositionUpdated { account, .. } => Some(account),
        _ => None,
    }
}

fn for_oracle(instruction: &Instruction) -> bool {
    matches!(instruction, Instruction::Observe { .. } | Instruction::FundingRate { .. } | Instruction::ListMarket(_))
}

fn for_fund(instruction: &Instruction) -> bool {
    matches!(
        instruction,
        Instruction::FundCredit { .. }
            | Instruction::SetInjectionLine { .. }
            | Instruction::ListAsset(_)
            | Instruction::ListMarket(_)
    )
}

fn for_shards(instruction: &Instruction) -> bool {
    !matches!(
        instruction,
        Instruction::Observe { .. }
            | Instruction::FundingRate { .. }
            | Instruction::FundCredit { .. }
            | Instruction::SetInjectionLine { .. }
    )
}
