//! The open claims of one asset, by age and by market: claims of one market can be paid from the same money.

use super::OpenClaim;
use crate::id::{ClaimId, MarketIx};
use crate::money::Money;
use crate::number::Overflow;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// Claims that are not paid in full. What is stored is the claims; who stands in which market follows from them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct OpenClaims {
    claims: BTreeMap<ClaimId, OpenClaim>,
    markets: BTreeMap<MarketIx, BTreeSet<ClaimId>>,
}

impl OpenClaims {
    /// Is nothing owed?
    pub(super) fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }

    /// One more.
    pub(super) fn open(&mut self, id: ClaimId, claim: OpenClaim) {
        self.markets.entry(claim.market).or_default().insert(id);
        self.claims.insert(id, claim);
    }

    /// All, oldest first.
    pub(super) fn values(&self) -> impl Iterator<Item = &OpenClaim> {
        self.claims.values()
    }

    /// The oldest.
    pub(super) fn oldest(&self) -> Option<(ClaimId, &OpenClaim)> {
        self.claims.first_key_value().map(|(id, claim)| (*id, claim))
    }

    /// The oldest after `last` in a market that is not in `dry`.
    pub(super) fn next(&self, last: Option<ClaimId>, dry: &BTreeSet<MarketIx>) -> Option<(ClaimId, &OpenClaim)> {
        let from = last.map_or(ClaimId(0), |last| ClaimId(last.0.saturating_add(1)));
        let wet = self.markets.iter().filter(|(market, _)| !dry.contains(market));
        let id = wet.filter_map(|(_, ids)| ids.range(from..).next()).min()?;
        self.claims.get(id).map(|claim| (*id, claim))
    }

    /// Pays part of a claim, which is forgotten once it is paid in full: how it stands then.
    pub(super) fn pay(&mut self, id: ClaimId, amount: Money) -> Result<Option<OpenClaim>, Overflow> {
        let Some(claim) = self.claims.get_mut(&id) else { return Ok(None) };
        claim.paid = claim.paid.plus(amount)?;
        let claim = claim.clone();
        if claim.paid >= claim.amount {
            self.claims.remove(&id);
            if let Some(ids) = self.markets.get_mut(&claim.market) {
                ids.remove(&id);
                if ids.is_empty() {
                    self.markets.remove(&claim.market);
                }
            }
        }
        Ok(Some(claim))
    }
}

impl Serialize for OpenClaims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.claims.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for OpenClaims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let claims = BTreeMap::<ClaimId, OpenClaim>::deserialize(deserializer)?;
        let mut open = Self::default();
        claims.into_iter().for_each(|(id, claim)| open.open(id, claim));
        Ok(open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{AccountId, LiquidationId};
    use crate::number::parse;

    #[test]
    fn the_oldest_of_the_markets_that_can_be_paid_is_next_and_is_known_again_after_reading() {
        let money = |text: &str| Money::new(parse(text).unwrap());
        let claim = |market| OpenClaim {
            liquidation: LiquidationId(1),
            account: AccountId("a".into()),
            market: MarketIx(market),
            amount: money("10"),
            paid: Money::ZERO,
        };
        let mut open = OpenClaims::default();
        for (id, market) in [(1, 0), (2, 1), (3, 0), (4, 1)] {
            open.open(ClaimId(id), claim(market));
        }
        let next = |open: &OpenClaims, last, dry: &[u16]| {
            let dry = dry.iter().map(|market| MarketIx(*market)).collect();
            open.next(last, &dry).map(|(id, _)| id.0)
        };
        assert_eq!(next(&open, None, &[]), Some(1));
        assert_eq!(next(&open, None, &[0]), Some(2));
        assert_eq!(next(&open, Some(ClaimId(2)), &[0]), Some(4));
        assert_eq!(next(&open, None, &[0, 1]), None);
        open.pay(ClaimId(1), money("10")).unwrap();
        assert_eq!(next(&open, None, &[1]), Some(3));
        let read: OpenClaims = postcard::from_bytes(&postcard::to_stdvec(&open).unwrap()).unwrap();
        assert_eq!(read, open);
    }
}
