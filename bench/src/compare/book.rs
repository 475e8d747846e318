//! Who holds what: accounts drawn from a seed, in whole numbers. Each rival makes its own form of them.

use super::Failed;
use super::scene::{ASSET_SCALE, Scene};
use backstop_engine::id::{AccountId, AssetIx, Leg, MarketIx};
use backstop_engine::margin::{Account, Position};
use backstop_engine::money::{Money, Quantity};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use rust_decimal::Decimal;

/// How indebted the accounts are: gross notional to equity, log-normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Leverage {
    /// 3× in the middle, 5× at the 99th percentile.
    Low,
    /// 5× and 32×.
    Mixed,
    /// 20× and 76×.
    High,
}

impl Leverage {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Low, Self::Mixed, Self::High];

    /// Median and 99th percentile.
    fn quantiles(self) -> (f64, f64) {
        match self {
            Self::Low => (3.0, 5.0),
            Self::Mixed => (5.0, 32.0),
            Self::High => (20.0, 76.0),
        }
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Mixed => "mixed",
            Self::High => "high",
        }
    }
}

/// A position.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Holding {
    /// The market's index.
    pub(crate) market: u8,
    /// Signed contracts in units of the market's lot.
    pub(crate) units: i64,
    /// Signed cost at the market's value scale.
    pub(crate) cost: i64,
}

/// All accounts, each with as many positions, in different markets.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    /// Positions of an account.
    pub(crate) each: usize,
    /// By account, at the asset's scale.
    pub(crate) wallets: Vec<i64>,
    /// `each` by account, sorted by market.
    pub(crate) holdings: Vec<Holding>,
}

/// Random figures.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// From a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// In (0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
    }

    /// Standard normal.
    pub(crate) fn normal(&mut self) -> f64 {
        let (radius, angle) = ((-2.0 * self.uniform().ln()).sqrt(), std::f64::consts::TAU * self.uniform());
        radius * angle.cos()
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        ((self.uniform() * end as f64) as usize).min(end.saturating_sub(1))
    }
}

/// Standard deviations between the median and the 99th percentile.
const Z99: f64 = 2.326_35;
/// Gross notional of an account, least and most.
const GROSS: (f64, f64) = (200.0, 1_000_000.0);
/// An account begins with at least this times its maintenance margin.
const SOUND: f64 = 1.1;

impl Book {
    /// Draws `accounts` with `each` positions in any markets.
    pub(crate) fn new(scene: &Scene, accounts: usize, each: usize, leverage: Leverage, seed: u64) -> Self {
        let markets: Vec<usize> = (0..scene.markets.len()).collect();
        Self::within(scene, &markets, (accounts, each), leverage, seed)
    }

    /// Draws accounts with so many positions in some markets.
    pub(crate) fn within(
        scene: &Scene,
        markets: &[usize],
        (accounts, each): (usize, usize),
        leverage: Leverage,
        seed: u64,
    ) -> Self {
        let (mut dice, each) = (Dice::new(seed), each.min(markets.len()));
        let mut book = Self { each, wallets: Vec::new(), holdings: Vec::new() };
        book.wallets.reserve_exact(accounts);
        book.holdings.reserve_exact(accounts * each);
        while book.wallets.len() < accounts {
            book.draw(scene, markets, leverage, &mut dice);
        }
        book
    }

    /// Draws one account; none when it would not be sound to begin with.
    fn draw(&mut self, scene: &Scene, markets: &[usize], leverage: Leverage, dice: &mut Dice) {
        let (median, high) = leverage.quantiles();
        let wanted = median * ((high / median).ln() / Z99 * dice.normal()).exp();
        let gross = GROSS.0 * (GROSS.1 / GROSS.0).powf(dice.uniform());
        let start = self.holdings.len();
        let (mut worth, mut maintenance, mut pnl) = (0.0, 0.0, 0.0);
        let shares: Vec<f64> = (0..self.each).map(|_| 0.2 + dice.uniform()).collect();
        let whole: f64 = shares.iter().sum();
        let mut free = markets.to_vec();
        let mut chosen: Vec<usize> = shares.iter().map(|_| free.swap_remove(dice.below(free.len()))).collect();
        chosen.sort_unstable();
        for (market, share) in chosen.into_iter().zip(shares) {
            let Some(listed) = scene.markets.get(market) else { continue };
            let price = listed.mark as f64 / 10_f64.powi(listed.rules.mark_scale as i32);
            let lot = 10_f64.powi(-(listed.lot_scale as i32));
            let units = (gross * share / whole / price / lot).round().max(1.0);
            let sign = if dice.uniform() < 0.5 { -1.0 } else { 1.0 };
            // Bought a little above or below: by a part of what the account can lose.
            let entry = price * (1.0 + 0.25 * dice.normal().clamp(-3.0, 3.0) / wanted.max(1.0));
            let (value, cost) = (sign * units * lot * price, sign * units * lot * entry);
            let scaled = (cost * 10_f64.powi(listed.rules.value_scale as i32)).round();
            (worth, pnl) = (worth + value.abs(), pnl + value - cost);
            maintenance += tier_margin(listed, value.abs());
            let market = u8::try_from(market).unwrap_or(u8::MAX);
            self.holdings.push(Holding { market, units: (sign * units) as i64, cost: scaled as i64 });
        }
        let equity = worth / wanted;
        if equity < maintenance * SOUND || equity <= pnl {
            self.holdings.truncate(start);
            return;
        }
        self.wallets.push(((equity - pnl) * 10_f64.powi(ASSET_SCALE as i32)).round() as i64);
    }

    /// How many accounts.
    pub(crate) fn len(&self) -> usize {
        self.wallets.len()
    }

    /// The positions of an account.
    pub(crate) fn holdings(&self, account: usize) -> &[Holding] {
        let start = account * self.each;
        self.holdings.get(start..start + self.each).unwrap_or_default()
    }

    /// As the engine holds them, with a house account on the other side of everything.
    pub(crate) fn accounts(&self, scene: &Scene) -> Result<Vec<Account>, Failed> {
        let mut accounts = Vec::with_capacity(self.len() + 1);
        let mut open = vec![(0_i64, 0_i64); scene.markets.len()];
        for (index, wallet) in self.wallets.iter().enumerate() {
            let mut account = Account::new(id(index));
            account.wallets.push((AssetIx(0), Money::new(Decimal::new(*wallet, ASSET_SCALE))));
            let holdings = self.holdings(index);
            account.positions.reserve_exact(holdings.len());
            for holding in holdings {
                account.positions.push(position(scene, holding)?);
                if let Some((units, cost)) = open.get_mut(usize::from(holding.market)) {
                    (*units, *cost) = (*units - holding.units, *cost - holding.cost);
                }
            }
            accounts.push(account);
        }
        let mut house = Account::new(AccountId::venue());
        for (market, (units, cost)) in open.into_iter().enumerate().filter(|(_, (units, _))| *units != 0) {
            house.positions.push(position(scene, &Holding { market: u8::try_from(market)?, units, cost })?);
        }
        accounts.push(house);
        Ok(accounts)
    }

    /// Median and 99th percentile of the leverage drawn.
    pub(crate) fn leverage(&self, scene: &Scene) -> (f64, f64) {
        let mut drawn: Vec<f64> = (0..self.len())
            .map(|account| {
                let (mut gross, mut equity) = (0.0, *self.wallets.get(account).unwrap_or(&0) as f64 / 1e6);
                for holding in self.holdings(account) {
                    let Some(listed) = scene.markets.get(usize::from(holding.market)) else { continue };
                    let scale = (listed.rules.mark_scale + listed.lot_scale) as i32;
                    let value = holding.units as f64 * listed.mark as f64 / 10_f64.powi(scale);
                    gross += value.abs();
                    equity += value - holding.cost as f64 / 10_f64.powi(listed.rules.value_scale as i32);
                }
                gross / equity
            })
            .collect();
        drawn.sort_by(f64::total_cmp);
        let at = |share: f64| drawn.get((drawn.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        (at(0.5), at(0.99))
    }
}

fn tier_margin(listed: &super::scene::Listed, notional: f64) -> f64 {
    let number = |value: Decimal| value.to_string().parse::<f64>().unwrap_or(f64::INFINITY);
    let tiers = listed.rules.tiers.all();
    let inside =
        |tier: &&backstop_engine::rules::Tier| tier.notional_limit.is_none_or(|end| notional <= number(end.get()));
    let tier = tiers.iter().find(inside).or(tiers.last());
    tier.map_or(0.0, |tier| notional * number(tier.maintenance_rate.get()) - number(tier.deduction.get()))
}

/// The name of an account.
pub(crate) fn id(index: usize) -> AccountId {
    AccountId(format!("a{index}").into())
}

/// The account of a name.
pub(crate) fn index(id: &AccountId) -> Option<u32> {
    id.0.strip_prefix('a')?.parse().ok()
}

fn position(scene: &Scene, holding: &Holding) -> Result<Position, Failed> {
    let listed = scene.markets.get(usize::from(holding.market)).ok_or("no such market")?;
    Ok(Position {
        market: MarketIx(u16::from(holding.market)),
        leg: Leg::Net,
        quantity: Quantity::new(Decimal::new(holding.units, listed.lot_scale)),
        cost: Money::new(Decimal::new(holding.cost, listed.rules.value_scale)),
        isolated: None,
        locked: Quantity::ZERO,
    })
}
