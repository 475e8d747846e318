//! The accounts of a shard: dense, found by name through a table of hashes.
//!
//! The table only answers where a name stands. Nothing is ever decided in its order; what must go by name goes through
//! the ordered list of names.

use super::account::{Account, Part};
use super::totals::Flow;
use crate::id::{AccountId, AssetIx, Leg, MarketIx};
use crate::reject::Reject;
use std::collections::BTreeMap;

/// Where an account stands among those of its shard. It never moves.
pub(super) type Place = usize;

/// A slot of the table: part of the hash of a name, and its place.
#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    place: u32,
}

/// A place that no account has: the slot is free.
const FREE: Slot = Slot { tag: 0, place: u32::MAX };
/// Slots of the smallest table.
const SLOTS_MIN: usize = 64;

/// A change of one account that has been made in its place.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) place: Place,
    is_new: bool,
    pub(super) before: Part,
    pub(super) after: Part,
    /// What it adds to the sums beside wallet and position.
    pub(super) flow: Flow,
}

/// Accounts by place and by name.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    list: Vec<Account>,
    names: BTreeMap<AccountId, Place>,
    /// At most half full, so a search ends; its length is a power of two.
    table: Vec<Slot>,
}

impl Accounts {
    /// All, in the order in which they came.
    pub(super) fn values(&self) -> std::slice::Iter<'_, Account> {
        self.list.iter()
    }

    /// All, by name.
    pub(super) fn by_name(&self) -> impl Iterator<Item = &Account> {
        self.names.values().filter_map(|place| self.list.get(*place))
    }

    /// Where the accounts of some names stand. Many at once are found faster than one after another: none waits for the
    /// memory of the one before.
    pub(super) fn places<const N: usize>(&self, ids: &[[Option<&AccountId>; N]]) -> Vec<[Option<Place>; N]> {
        let guess = |id: Option<&AccountId>| id.and_then(|id| self.tagged(id).next());
        let mut places: Vec<[Option<Place>; N]> = ids.iter().map(|ids| ids.map(guess)).collect();
        for (ids, places) in ids.iter().zip(&mut places) {
            for (id, place) in ids.iter().zip(places) {
                *place = place.filter(|place| self.at(*place).map(|account| &account.id) == *id);
            }
        }
        self.fetch(places.iter().flatten().filter_map(|place| *place));
        places
    }

    /// Has what some accounts hold fetched before the first of them is read.
    pub(super) fn fetch(&self, places: impl Iterator<Item = Place>) {
        let open = |account: &Account| {
            let wallet = account.wallets.first().map(|(_, money)| money.is_zero());
            (wallet, account.positions.last().map(|position| position.quantity.is_zero()))
        };
        let found = places.filter_map(|place| self.at(place).map(open));
        std::hint::black_box(found.filter(|(wallet, position)| wallet == position).count());
    }

    /// Where the account of a name stands.
    pub(super) fn place(&self, id: &AccountId) -> Option<Place> {
        self.tagged(id).find(|place| self.at(*place).is_some_and(|account| account.id == *id))
    }

    /// The account of a name.
    pub(super) fn get(&self, id: &AccountId) -> Option<&Account> {
        self.place(id).and_then(|place| self.list.get(place))
    }

    /// The account at a place.
    pub(super) fn at(&self, place: Place) -> Option<&Account> {
        self.list.get(place)
    }

    /// The account at a place.
    pub(super) fn at_mut(&mut self, place: Place) -> Option<&mut Account> {
        self.list.get_mut(place)
    }

    /// Where the account of a name stands; a new one is added.
    pub(super) fn open(&mut self, id: &AccountId) -> Place {
        self.place(id).unwrap_or_else(|| self.add(Account::new(id.clone())))
    }

    /// Changes an account in its place, or a new one. `known` is where it stands, if that has been looked up; `part` says
    /// what `work` may touch; a refused change leaves nothing behind.
    pub(super) fn touch(
        &mut self,
        (id, known): (&AccountId, Option<Place>),
        part: impl FnOnce(&Account) -> Result<(AssetIx, Option<(MarketIx, Leg)>), Reject>,
        work: impl FnOnce(&mut Account, &Part) -> Result<Flow, Reject>,
    ) -> Result<Change, Reject> {
        let known = known.or_else(|| self.place(id));
        let mut new = None;
        let account = match known.and_then(|place| self.list.get_mut(place)) {
            Some(account) => account,
            None => new.insert(Account::new(id.clone())),
        };
        let (asset, leg) = part(account)?;
        let before = Part::of(account, asset, leg);
        let flow = match work(account, &before) {
            Ok(flow) => flow,
            Err(reject) => {
                before.put_back(account);
                return Err(reject);
            }
        };
        let after = Part::of(account, asset, leg);
        let is_new = new.is_some();
        let place = match (known, new) {
            (_, Some(account)) => self.add(account),
            (known, None) => known.unwrap_or_default(),
        };
        Ok(Change { place, is_new, before, after, flow })
    }

    /// Takes back the latest change that has not been taken back.
    pub(super) fn take_back(&mut self, change: Change) {
        if change.is_new {
            self.drop_last();
        } else if let Some(account) = self.list.get_mut(change.place) {
            change.before.put_back(account);
        }
    }

    /// Adds an account whose name is not known yet.
    pub(super) fn add(&mut self, account: Account) -> Place {
        let place = self.list.len();
        self.names.insert(account.id.clone(), place);
        self.list.push(account);
        if self.list.len() > self.table.len().checked_div(2).unwrap_or(0) {
            self.grow();
        } else {
            self.enter(place);
        }
        place
    }

    /// Takes out the account that was added last.
    pub(super) fn drop_last(&mut self) -> Option<Account> {
        // No later name has been entered, so no search for another one passes this slot.
        let account = self.list.pop()?;
        let place = u32::try_from(self.list.len());
        let slot = self.used(self.hash(&account.id).1).find(|(_, found)| Ok(found.place) == place);
        if let Some(slot) = slot.and_then(|(slot, _)| self.table.get_mut(slot)) {
            *slot = FREE;
        }
        self.names.remove(&account.id);
        Some(account)
    }

    fn grow(&mut self) {
        let slots = self.table.len().saturating_mul(2).max(SLOTS_MIN);
        self.table.clear();
        self.table.resize(slots, FREE);
        for place in 0..self.list.len() {
            self.enter(place);
        }
    }

    /// Enters a place under its name, in the first free slot.
    fn enter(&mut self, place: Place) {
        let Some(account) = self.list.get(place) else { return };
        let (tag, start) = self.hash(&account.id);
        let entry = u32::try_from(place);
        assert!(entry.is_ok_and(|entry| entry < FREE.place), "a shard has fewer than 2^32 accounts");
        let free = self.probe(start).find(|slot| self.table.get(*slot).is_some_and(|slot| slot.place == FREE.place));
        if let (Some(slot), Ok(place)) = (free.and_then(|slot| self.table.get_mut(slot)), entry) {
            *slot = Slot { tag, place };
        }
    }

    /// The slots in use from the first of a name on, as far as they go.
    fn used(&self, start: usize) -> impl Iterator<Item = (usize, Slot)> {
        let slots = self.probe(start).filter_map(|slot| self.table.get(slot).map(|found| (slot, *found)));
        slots.take_while(|(_, found)| found.place != FREE.place)
    }

    /// Places that may have the name: it has the same tag.
    fn tagged(&self, id: &AccountId) -> impl Iterator<Item = Place> {
        let (tag, start) = self.hash(id);
        self.used(start).filter(move |(_, found)| found.tag == tag).filter_map(|(_, found)| found.place.try_into().ok())
    }

    /// The slots to look at, from the first on.
    fn probe(&self, start: usize) -> impl Iterator<Item = usize> + use<> {
        let mask = self.table.len().saturating_sub(1);
        (0..self.table.len()).map(move |step| start.wrapping_add(step) & mask)
    }

    /// A tag and the first slot.
    fn hash(&self, id: &AccountId) -> (u32, usize) {
        // FNV is weak in its low bits: a multiplication moves them up.
        let [a, b, c, d, e, f, g, h] = id.spread().wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let (start, tag) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
        let mask = self.table.len().saturating_sub(1);
        (tag, usize::try_from(start).unwrap_or(0) & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> AccountId {
        AccountId(format!("account-{number}").into())
    }

    #[test]
    fn every_account_is_found_and_the_last_can_be_taken_out() {
        let mut accounts = Accounts::default();
        for number in 0..1_000 {
            assert_eq!(accounts.place(&id(number)), None);
            assert_eq!(accounts.add(Account::new(id(number))), number);
        }
        for number in (900..1_000).rev() {
            assert_eq!(accounts.drop_last().unwrap().id, id(number));
        }
        for number in 0..1_000 {
            assert_eq!(accounts.place(&id(number)), (number < 900).then_some(number));
        }
        let names: Vec<&AccountId> = accounts.by_name().map(|account| &account.id).collect();
        assert!(names.len() == 900 && names.is_sorted());
    }
}
