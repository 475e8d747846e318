//! Decides who traded with whom: longs and shorts of each market are paired into trades at the opening price.
//!
//! In: the accounts with their legs, equal lots on both sides. Out: trades, none of an account with itself; a leg that
//! nobody could be found for is cut, so that positions and trades always agree.

use super::population::{Account, Side};

/// One trade before the fall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trade {
    /// Place of the contract.
    pub(super) contract: usize,
    /// Place of the buyer.
    pub(super) buyer: usize,
    /// Place of the seller.
    pub(super) seller: usize,
    /// Lots.
    pub(super) lots: u64,
}

/// A leg that still looks for its other side.
struct Open {
    account: usize,
    lots: u64,
}

/// Pairs all legs of `contracts` markets.
pub(super) fn pair(accounts: &mut [Account], contracts: usize) -> Vec<Trade> {
    let mut books: Vec<[Vec<Open>; 2]> = (0..contracts).map(|_| [Vec::new(), Vec::new()]).collect();
    for (place, account) in accounts.iter().enumerate() {
        for leg in account.legs.iter().filter(|leg| leg.lots > 0) {
            if let Some([longs, shorts]) = books.get_mut(leg.contract) {
                let book = if leg.side == Side::Long { longs } else { shorts };
                book.push(Open { account: place, lots: leg.lots });
            }
        }
    }
    let mut trades = Vec::new();
    for (contract, [longs, shorts]) in books.iter_mut().enumerate() {
        // Buyers from the first account on, sellers from the last: the two legs of one account seldom meet.
        longs.reverse();
        pair_market(contract, longs, shorts, &mut trades);
        for (book, side) in [(longs, Side::Long), (shorts, Side::Short)] {
            for left in book.drain(..) {
                cut(accounts, contract, side, &left);
            }
        }
    }
    for account in accounts {
        account.legs.retain(|leg| leg.lots > 0);
    }
    trades
}

fn pair_market(contract: usize, longs: &mut Vec<Open>, shorts: &mut Vec<Open>, trades: &mut Vec<Trade>) {
    while let (Some(mut long), Some(mut short)) = (longs.pop(), shorts.pop()) {
        if long.account == short.account {
            let Some(other) = shorts.pop() else {
                longs.push(long);
                shorts.push(short);
                return;
            };
            shorts.push(short);
            short = other;
        }
        let lots = long.lots.min(short.lots);
        trades.push(Trade { contract, buyer: long.account, seller: short.account, lots });
        long.lots -= lots;
        short.lots -= lots;
        if long.lots > 0 {
            longs.push(long);
        }
        if short.lots > 0 {
            shorts.push(short);
        }
    }
}

fn cut(accounts: &mut [Account], contract: usize, side: Side, left: &Open) {
    let legs = accounts.get_mut(left.account).map(|account| account.legs.iter_mut());
    if let Some(leg) = legs.into_iter().flatten().find(|leg| leg.contract == contract && leg.side == side) {
        leg.lots = leg.lots.saturating_sub(left.lots);
    }
}
