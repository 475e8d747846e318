//! A venue to measure on: markets, accounts with positions far from liquidation, and fills to come. Everything follows
//! from the numbers given; nothing is random.

use backstop_engine::command::Envelope;
use backstop_engine::decode::Malformed;

/// Markets of the venue.
const MARKETS: usize = 20;
/// Fills to be measured.
const FILLS: usize = 100_000;

/// The commands.
pub(crate) struct World {
    pub(crate) accounts: usize,
    pub(crate) positions: usize,
    pub(crate) setup: Vec<Envelope>,
    pub(crate) fills: Vec<Envelope>,
}

fn fill(market: usize, buyer: usize, seller: usize, trade: usize) -> Result<Envelope, Malformed> {
    Envelope::read(&format!(
        r#"{{"type":"fill","market":"M{market}","price":"{}","quantity":"0.01","buyer":"account-{buyer}","seller":"account-{seller}","trade":"t{trade}"}}"#,
        price(market)
    ))
}

fn price(market: usize) -> usize {
    1_000 + market * 100
}

impl World {
    /// `accounts` with `positions` each, in different markets, long and short in turn.
    pub(crate) fn new(accounts: usize, positions: usize) -> Result<Self, Malformed> {
        let mut setup = vec![Envelope::read(r#"{"type":"list_asset","asset":"USDT","scale":6}"#)?];
        for market in 0..MARKETS {
            setup.push(Envelope::read(&format!(
                r#"{{"type":"list_market","market":"M{market}","kind":"linear","asset":"USDT","tick_size":"0.1","lot_size":"0.001","tiers":[{{"notional_limit":"100000","initial_rate":"0.02","maintenance_rate":"0.01"}},{{"initial_rate":"0.1","maintenance_rate":"0.05"}}]}}"#
            ))?);
        }
        for account in 0..accounts {
            setup.push(Envelope::read(&format!(
                r#"{{"type":"deposit","account":"account-{account}","asset":"USDT","amount":"1000"}}"#
            ))?);
        }
        for place in 0..positions {
            for pair in 0..accounts / 2 {
                let market = (pair + place * 7) % MARKETS;
                setup.push(fill(market, 2 * pair, 2 * pair + 1, place)?);
            }
        }
        let pairs = accounts / 2;
        let later = |trade: usize| fill(trade % MARKETS, 2 * (trade % pairs), 2 * ((trade * 7 + 1) % pairs) + 1, trade);
        let fills = (0..FILLS).map(later).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { accounts, positions, setup, fills })
    }

    /// Prices that move by a basis point or two.
    pub(crate) fn prices(&self, run: usize) -> Result<Vec<Envelope>, Malformed> {
        let observed = |market: usize| {
            Envelope::read(&format!(
                r#"{{"type":"price","market":"M{market}","source":"a","price":"{}.{}"}}"#,
                price(market),
                run % 10
            ))
        };
        (0..MARKETS).map(observed).collect()
    }
}
