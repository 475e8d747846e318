//! Decides the contracts that are listed for a tape: asset, tick, lot, risk tiers, and how large each market is.
//!
//! * **Asset.** `…USDT` (and the other dollar coins) is linear in that coin, `…BTC` linear in bitcoin, `…USD` inverse:
//!   one contract is one dollar, settled in the coin.
//! * **Tick and lot.** The tick is the finest step found in the candles; a lot is the power of ten that is worth no more
//!   than 10 USD, so that the smallest account can hold one.
//! * **Tiers.** The brackets Binance published on 24 October 2024, by base asset; any other contract gets a plain ladder
//!   of the kind small contracts had then. Limits are converted to the settlement asset at the opening price.
//! * **Size.** 60,000 USD of open interest an account: the accounts deleveraged on 10 October 2025 held 109,000 USD on
//!   average, counting only what was taken from them, so this is cautious. Markets share it by turnover where the candles
//!   tell it; else bitcoin and ether hold two thirds, as on the large venues, and the small contracts one percent each.

use super::candles::{Tape, Track};
use super::figure::Figure;
use rust_decimal::prelude::{FromPrimitive, ToPrimitive};
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::BTreeMap;

const TIERS: &str = include_str!("../../data/tiers_2024.csv");

/// Seed capital of the fund as a fraction of open interest.
///
/// Published anchors lie two orders of magnitude apart: on the eve of 12 March 2020 BitMEX held about 35,500 XBT, of
/// which a bit over 1,600 were used in the first leg; Deribit held 391 BTC and had to add 500. Three tenths of a percent is
/// leaner than either, on purpose: on 10 October 2025 every layer of the waterfall is then at work. `--fund` changes it.
pub(crate) const FUND_SHARE: &str = "0.003";

/// Reads a share: above 0, at most 2.
pub(crate) fn fund_share(text: &str) -> Result<Decimal, String> {
    let found = Decimal::from_str_exact(text).ok();
    let share = found.filter(|share| share.is_sign_positive() && !share.is_zero() && *share <= Decimal::TWO);
    share.ok_or_else(|| format!("{text:?} is not a share above 0 and at most 2"))
}

/// Open interest of an account on average, in USD.
const INTEREST_PER_ACCOUNT: f64 = 60_000.0;
/// A bitcoin in USD where the tape does not tell, for the size of accounts only.
const BITCOIN_USD: f64 = 10_000.0;
/// No market is smaller than this share of all.
const WEIGHT_MIN: f64 = 0.002;
/// Weights where turnover is unknown.
const WEIGHTS: &[(&str, f64)] =
    &[("BTC", 0.42), ("ETH", 0.26), ("SOL", 0.10), ("XRP", 0.06), ("DOGE", 0.05), ("BNB", 0.05)];
const WEIGHT_ELSE: f64 = 0.01;
/// A lot is worth no more than this, in USD.
const LOT_USD: f64 = 10.0;
/// Coins whose name may end a symbol, with their decimals; the dollar alone means an inverse contract.
const QUOTES: &[(&str, u32)] = &[("USDT", 6), ("USDC", 6), ("BUSD", 6), ("FDUSD", 6), ("BTC", 8), ("XBT", 8)];
/// Decimals of any coin that is not in the list.
const COIN_DECIMALS: u32 = 8;
/// Decimals of an initial rate: cut, not rounded, so that the leverage of the table stays allowed.
const RATE_DECIMALS: u32 = 6;
/// The ladder of a contract whose brackets are not known: limit in USD, leverage, maintenance rate in basis points.
const LADDER: &[(i64, i64, i64)] = &[
    (10_000, 50, 100),
    (50_000, 40, 125),
    (250_000, 25, 200),
    (1_000_000, 20, 250),
    (5_000_000, 10, 500),
    (10_000_000, 5, 1_000),
    (15_000_000, 4, 1_250),
    (30_000_000, 2, 2_500),
    (60_000_000, 1, 5_000),
];

/// A settlement asset.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Asset {
    /// Its name.
    pub(super) name: String,
    /// Its decimals.
    pub(super) scale: u32,
    /// USD a unit, for sizes only.
    pub(super) usd: f64,
}

/// One bracket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tier {
    /// Largest notional, in the settlement asset.
    pub(super) limit: Decimal,
    /// Initial rate.
    pub(super) initial: Decimal,
    /// Maintenance rate.
    pub(super) maintenance: Decimal,
}

/// One contract.
#[derive(Debug, Clone)]
pub(super) struct Contract {
    /// Its name.
    pub(super) symbol: String,
    /// Settled in the coin?
    pub(super) inverse: bool,
    /// Place of its asset in the listing.
    pub(super) asset: usize,
    /// Step of the price.
    pub(super) tick: Decimal,
    /// Step of the quantity.
    pub(super) lot: Decimal,
    /// Price before the fall, at which all positions are opened.
    pub(super) opening: Decimal,
    /// Brackets in rising order.
    pub(super) tiers: Vec<Tier>,
    /// Share of all open interest.
    pub(super) weight: f64,
    /// Open interest (one side) aimed at, in the settlement asset.
    pub(super) interest: f64,
    /// Has it a price of its own beside the index?
    pub(super) has_last: bool,
}

impl Contract {
    /// Size of a position at the opening price, in the settlement asset.
    pub(super) fn notional(&self, quantity: Decimal) -> Decimal {
        if self.inverse { quantity / self.opening } else { quantity * self.opening }
    }

    /// The same, as a float.
    pub(super) fn notional_of_lots(&self, lots: u64) -> f64 {
        self.notional(self.quantity(lots)).to_f64().unwrap_or(0.0)
    }

    /// Contracts of a number of lots.
    pub(super) fn quantity(&self, lots: u64) -> Decimal {
        Decimal::from(lots) * self.lot
    }

    /// Lots nearest to a notional, at least one.
    pub(super) fn lots(&self, notional: f64) -> u64 {
        let one = self.notional_of_lots(1);
        (notional / one).round().max(1.0).to_u64().unwrap_or(1)
    }

    /// Highest leverage a position of this notional may have, in steps of a hundredth.
    pub(super) fn leverage_max(&self, notional: f64) -> Decimal {
        let of = |tier: &Tier| tier.limit.to_f64().is_some_and(|limit| notional <= limit);
        let tier = self.tiers.iter().find(|tier| of(tier)).or(self.tiers.last());
        let rate = tier.map_or(Decimal::ONE, |tier| tier.initial);
        Decimal::ONE
            .checked_div(rate)
            .map_or(Decimal::ONE, |max| max.round_dp_with_strategy(2, RoundingStrategy::ToZero))
    }

    /// Largest notional at which `leverage` is still allowed.
    pub(super) fn notional_max(&self, leverage: f64) -> f64 {
        let allows = |tier: &&Tier| tier.initial.to_f64().is_some_and(|rate| rate * leverage <= 1.0);
        self.tiers.iter().filter(allows).filter_map(|tier| tier.limit.to_f64()).fold(0.0, f64::max)
    }
}

/// All that is listed.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    /// The settlement assets.
    pub(super) assets: Vec<Asset>,
    /// The contracts, in the order of the tape.
    pub(super) contracts: Vec<Contract>,
}

impl Listing {
    /// What a tape asks for, sized for so many accounts.
    pub(super) fn new(tape: &Tape, accounts: usize) -> Self {
        let brackets = published_tiers();
        let bitcoin = bitcoin_usd(tape);
        let mut assets: Vec<Asset> = Vec::new();
        let mut contracts = Vec::new();
        for track in &tape.tracks {
            let Some(opening) = track.opening() else { continue };
            let (base, quote, inverse) = split(&track.symbol);
            let found = asset(if inverse { base } else { quote }, inverse.then_some(opening), bitcoin);
            let place = assets.iter().position(|known| known.name == found.name);
            let place = place.unwrap_or_else(|| {
                assets.push(found.clone());
                assets.len() - 1
            });
            contracts.push(Contract {
                symbol: track.symbol.clone(),
                inverse,
                asset: place,
                tick: tick_of(track),
                lot: if inverse { Decimal::ONE } else { lot_of(opening, found.usd) },
                opening,
                tiers: tiers_of(base, &brackets, found.usd),
                weight: 0.0,
                interest: 0.0,
                has_last: track.last.is_some(),
            });
        }
        let mut listing = Self { assets, contracts };
        listing.size(tape, accounts);
        listing
    }

    fn size(&mut self, tape: &Tape, accounts: usize) {
        let known = tape.tracks.iter().all(|track| track.turnover > 0.0);
        let weight = |contract: &Contract, track: &Track| {
            let usd = self.assets.get(contract.asset).map_or(1.0, |asset| asset.usd);
            match (known, contract.inverse) {
                (true, true) => track.volume,
                (true, false) => track.turnover * usd,
                (false, _) => weight_of(split(&contract.symbol).0),
            }
        };
        let shares = |weights: &[f64]| {
            let sum: f64 = weights.iter().sum();
            weights.iter().map(|weight| weight / sum.max(f64::MIN_POSITIVE)).collect::<Vec<f64>>()
        };
        let raw: Vec<f64> = self.contracts.iter().zip(&tape.tracks).map(|(c, t)| weight(c, t)).collect();
        let floored: Vec<f64> = shares(&raw).into_iter().map(|share| share.max(WEIGHT_MIN)).collect();
        let total = INTEREST_PER_ACCOUNT * accounts.to_f64().unwrap_or(0.0);
        for (contract, weight) in self.contracts.iter_mut().zip(shares(&floored)) {
            let usd = self.assets.get(contract.asset).map_or(1.0, |asset| asset.usd);
            contract.weight = weight;
            contract.interest = total * weight / usd;
        }
    }

    /// USD a unit of the contract's asset.
    pub(super) fn usd(&self, contract: &Contract) -> f64 {
        self.assets.get(contract.asset).map_or(1.0, |asset| asset.usd)
    }
}

/// Base, quote, and whether the contract is inverse.
fn split(symbol: &str) -> (&str, &str, bool) {
    let symbol = symbol.strip_suffix("_PERP").unwrap_or(symbol);
    for (quote, _) in QUOTES {
        if let Some(base) = symbol.strip_suffix(quote)
            && !base.is_empty()
        {
            return (base.trim_end_matches(['/', '-', '_']), quote, false);
        }
    }
    match symbol.strip_suffix("USD").map(|base| base.trim_end_matches(['/', '-', '_'])) {
        Some(base) if !base.is_empty() => (base, "USD", true),
        _ => (symbol, "USDT", false),
    }
}

fn asset(name: &str, opening: Option<Decimal>, bitcoin: f64) -> Asset {
    let scale = QUOTES.iter().find(|(quote, _)| *quote == name).map_or(COIN_DECIMALS, |(_, scale)| *scale);
    let usd = match opening.and_then(|price| price.to_f64()) {
        Some(price) => price,
        None if scale == COIN_DECIMALS => bitcoin,
        None => 1.0,
    };
    Asset { name: name.to_owned(), scale, usd }
}

fn bitcoin_usd(tape: &Tape) -> f64 {
    let names = ["BTCUSDT", "XBTUSD", "BTCUSD", "BTCUSDC", "BTCBUSD"];
    let found = tape.tracks.iter().find(|track| names.contains(&track.symbol.as_str())).and_then(Track::opening);
    found.and_then(|price| price.to_f64()).unwrap_or(BITCOIN_USD)
}

fn weight_of(base: &str) -> f64 {
    let base = if base == "XBT" { "BTC" } else { base };
    WEIGHTS.iter().find(|(name, _)| *name == base).map_or(WEIGHT_ELSE, |(_, weight)| *weight)
}

/// The finest step of all prices; half a decimal place where every price is a multiple of it.
fn tick_of(track: &Track) -> Decimal {
    let prices = || track.bars().flat_map(|bar| [bar.open, bar.high, bar.low, bar.close]);
    let decimals = prices().map(|price| price.normalize().scale()).max().unwrap_or(0).min(8);
    let five = Decimal::new(5, decimals);
    let halves = prices().all(|price| (price % five).is_zero());
    if halves { five } else { Decimal::new(1, decimals) }
}

fn lot_of(opening: Decimal, usd: f64) -> Decimal {
    let price = opening.to_f64().unwrap_or(1.0) * usd;
    let exponent = (LOT_USD / price).log10().floor().to_i32().unwrap_or(0).clamp(-6, 8);
    if exponent < 0 {
        Decimal::new(1, exponent.unsigned_abs())
    } else {
        Decimal::from(10_u64.saturating_pow(exponent.unsigned_abs()))
    }
}

/// The published brackets by symbol: limit in USD, initial rate, maintenance rate.
fn published_tiers() -> BTreeMap<String, Vec<Tier>> {
    let mut tables: BTreeMap<String, Vec<Tier>> = BTreeMap::new();
    for line in TIERS.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let [symbol, _, _, limit, leverage, maintenance, ..] = fields.as_slice() else { continue };
        let number = |text: &str| Decimal::from_str_exact(text).ok();
        let (Some(limit), Some(leverage), Some(maintenance)) = (number(limit), number(leverage), number(maintenance))
        else {
            continue;
        };
        let tier = Tier { limit, initial: rate_of(leverage), maintenance };
        tables.entry((*symbol).to_owned()).or_default().push(tier);
    }
    tables
}

fn rate_of(leverage: Decimal) -> Decimal {
    let exact = Decimal::ONE.checked_div(leverage).unwrap_or(Decimal::ONE);
    exact.round_dp_with_strategy(RATE_DECIMALS, RoundingStrategy::ToZero)
}

fn tiers_of(base: &str, published: &BTreeMap<String, Vec<Tier>>, usd: f64) -> Vec<Tier> {
    let base = if base == "XBT" { "BTC" } else { base };
    let ladder = || {
        let tier = |&(limit, leverage, maintenance): &(i64, i64, i64)| Tier {
            limit: Decimal::from(limit),
            initial: rate_of(Decimal::from(leverage)),
            maintenance: Decimal::new(maintenance, 4),
        };
        LADDER.iter().map(tier).collect()
    };
    let mut tiers: Vec<Tier> = published.get(&format!("{base}USDT")).cloned().unwrap_or_else(ladder);
    let usd = Decimal::from_f64(usd).filter(|usd| *usd > Decimal::ONE);
    if let Some(usd) = usd {
        for tier in &mut tiers {
            tier.limit = (tier.limit / usd).round_dp(4).max(Decimal::new(1, 4));
        }
    }
    tiers
}

/// A float with so many decimals, rounded up: what an account must bring.
pub(super) fn rounded_up(value: f64, decimals: u32) -> Figure {
    let exact = Decimal::from_f64(value.max(0.0)).unwrap_or(Decimal::ZERO);
    Figure(exact.round_dp_with_strategy(decimals, RoundingStrategy::AwayFromZero))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::candles::Bar;

    fn d(text: &str) -> Decimal {
        Decimal::from_str_exact(text).unwrap()
    }

    fn tape(symbol: &str, price: &str) -> Tape {
        let bar = Bar { open: d(price), high: d(price), low: d(price), close: d(price) };
        let track = Track { symbol: symbol.to_owned(), index: vec![Some(bar)], ..Track::default() };
        Tape { title: String::new(), start: 0, bar_ms: 60_000, bars: 1, tracks: vec![track] }
    }

    #[test]
    fn a_symbol_tells_asset_and_kind() {
        for (symbol, wanted) in [
            ("BTCUSDT", ("BTC", "USDT", false)),
            ("ALGOBTC", ("ALGO", "BTC", false)),
            ("XBTUSD", ("XBT", "USD", true)),
            ("ETH-USD", ("ETH", "USD", true)),
            ("ETHUSD_PERP", ("ETH", "USD", true)),
            ("BTC", ("BTC", "USDT", false)),
        ] {
            assert_eq!(split(symbol), wanted, "{symbol}");
        }
    }

    #[test]
    fn tick_and_lot_follow_the_price() {
        for (symbol, price, tick, lot) in [
            ("BTCUSDT", "116970.1", "0.1", "0.00001"),
            ("DOGEUSDT", "0.23358", "0.00001", "10"),
            ("XBTUSD", "7929.5", "0.5", "1"),
            ("ALGOBTC", "0.00003583", "0.00000001", "10"),
        ] {
            let listing = Listing::new(&tape(symbol, price), 100);
            let contract = &listing.contracts[0];
            assert!((contract.tick, contract.lot) == (d(tick), d(lot)), "{symbol}: {} {}", contract.tick, contract.lot);
        }
    }

    #[test]
    fn october_is_listed_with_published_brackets_and_most_of_it_is_bitcoin_and_ether() {
        let listing = Listing::new(&Tape::october().unwrap(), 50_000);
        assert_eq!((listing.assets.len(), listing.contracts.len()), (1, 10));
        let of = |symbol: &str| listing.contracts.iter().find(|contract| contract.symbol == symbol).unwrap();
        assert_eq!(of("BTCUSDT").leverage_max(50_000.0), d("125"));
        assert_eq!(of("BTCUSDT").leverage_max(50_001.0), d("100"));
        assert_eq!(of("SOLUSDT").leverage_max(60_000.0), d("75"));
        let total: f64 = listing.contracts.iter().map(|contract| contract.interest).sum();
        assert!((total - 3e9).abs() < 1.0, "{total}");
        let majors = of("BTCUSDT").weight + of("ETHUSDT").weight;
        assert!((0.6..0.75).contains(&majors), "{majors}");
    }

    #[test]
    fn an_inverse_contract_is_sized_in_its_coin() {
        let listing = Listing::new(&tape("XBTUSD", "8000"), 1_000);
        let contract = &listing.contracts[0];
        assert_eq!(listing.assets[0], Asset { name: "XBT".to_owned(), scale: 8, usd: 8_000.0 });
        assert!((contract.interest - 7_500.0).abs() < 1e-6);
        assert_eq!(contract.notional(contract.quantity(16_000)), d("2"));
        assert_eq!(contract.lots(2.0), 16_000);
        assert_eq!(contract.tiers[0].limit, d("6.25"), "50,000 USD");
    }
}
