//! The stations as the flow reaches them: every method sends the work to whom it concerns and waits for all answers.

mod outlook;

pub use outlook::Known;

use crate::station::{Depth, Handle};
use backstop_engine::adl::Ranking;
use backstop_engine::conservation::conservation;
use backstop_engine::event::Fact;
use backstop_engine::flow::{Cap, Flow, ShardReply, Stations, Stop, external};
use backstop_engine::fund::{Fund, FundReply, FundRequest, FundStop, NeedRanking};
use backstop_engine::hash::StateHash;
use backstop_engine::id::{AccountId, AssetIx, Leg, MarketIx, Millis, Seq, Side};
use backstop_engine::instruction::Entry;
use backstop_engine::liquidation::{FundDesk, Outcome, Queue};
use backstop_engine::margin::{Due, FundNotice, Haircut, Inventory, Marks, Posting, Report, RunReply, Shard, Totals};
use backstop_engine::money::{Money, Price};
use backstop_engine::oracle::{LAST, Observation, Oracle};
use backstop_engine::reference::{show_adl_price, show_standing};
use backstop_engine::reject::{Code, Reject};
use backstop_engine::rules::Rules;
use backstop_engine::snapshot::Core;
use backstop_engine::view::{AccountView, Conservation, FundView, MarkView, OpenOrderView, PositionView};
use futures_util::future::try_join_all;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The ways to all stations. Cheap to clone.
#[derive(Clone)]
pub struct Floor {
    /// Prices.
    pub oracle: Handle<Oracle>,
    /// Accounts.
    pub shards: Vec<Handle<Shard>>,
    /// Liquidations.
    pub queue: Handle<Queue>,
    /// The fund.
    pub fund: Handle<Fund>,
    /// What may come of deleveraging, as far as it was asked for since the last tick.
    pub known: Arc<Mutex<Known>>,
}

impl Floor {
    /// Mailboxes by name.
    pub fn depths(&self) -> Vec<(&'static str, Depth)> {
        let fixed = [
            (self.oracle.name(), self.oracle.depth()),
            (self.queue.name(), self.queue.depth()),
            (self.fund.name(), self.fund.depth()),
        ];
        let shards = self.shards.iter().map(|shard| (shard.name(), shard.depth()));
        fixed.into_iter().chain(shards).collect()
    }

    /// The same work for every shard: their answers in the order of shards.
    async fn all<R: Send + 'static>(
        &self,
        work: impl Fn(&mut Shard) -> R + Clone + Send + 'static,
    ) -> Result<Vec<R>, Stop> {
        try_join_all(self.shards.iter().map(|shard| {
            let work = work.clone();
            shard.call(move |shard| work(shard))
        }))
        .await
    }

    async fn ranking(&self, need: NeedRanking) -> Result<Option<Ranking>, Stop> {
        let NeedRanking { market, side } = need;
        let mut found = self.all(move |shard| shard.candidates(market, side)).await?.into_iter();
        let mut candidates = found.next().transpose()?.unwrap_or_default();
        for part in found {
            candidates.extend(part?);
        }
        let Some(first) = self.shards.first() else { return Ok(None) };
        let ranked = first
            .call(move |shard| {
                let Some(mark) = shard.marks().price(market) else { return Ok(None) };
                let rules = shard.rules().market(market)?.clone();
                Ranking::new(&rules, side, mark, candidates).map(Some)
            })
            .await?;
        Ok(ranked?)
    }

    /// Accounts with their places in the rankings and the prices they would be deleveraged at, which are no older than the
    /// last tick: one call for each shard that has any of them.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn accounts_of(&self, ids: Vec<AccountId>) -> Result<Vec<Option<AccountView>>, Stop> {
        let mut asked: Vec<Vec<(usize, AccountId)>> = vec![Vec::new(); self.shards.len()];
        let mut found: Vec<Option<AccountView>> = vec![None; ids.len()];
        for (place, id) in ids.into_iter().enumerate() {
            if let Some(asked) = asked.get_mut(id.shard(self.shards.len())) {
                asked.push((place, id));
            }
        }
        let concerned = self.shards.iter().zip(asked).filter(|(_, asked)| !asked.is_empty());
        let views = try_join_all(concerned.map(|(shard, asked)| {
            shard.call(move |shard| {
                let seen = asked.into_iter().map(|(place, id)| (place, seen(shard, &id)));
                seen.collect::<Vec<_>>()
            })
        }));
        for (place, seen) in views.await?.into_iter().flatten() {
            let Some((mut view, needs)) = seen else { continue };
            let id = view.account.clone();
            for (position, need) in view.positions.iter_mut().zip(needs) {
                let Some(need) = need else { continue };
                let (market, other) = (need.market, need.side.opposite());
                if let Some(standings) = self.standings(need).await? {
                    show_standing(position, &standings, &id);
                }
                if let Some(absorption) = self.absorption(market, other).await? {
                    show_adl_price(position, &absorption);
                }
            }
            if let Some(found) = found.get_mut(place) {
                *found = Some(view);
            }
        }
        Ok(found)
    }

    /// All prices.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn mark_views(&self) -> Result<Vec<MarkView>, Stop> {
        self.oracle.call(|oracle| oracle.views()).await
    }

    /// A fund.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn fund_view(&self, asset: String) -> Result<Option<FundView>, Stop> {
        self.fund.call(move |fund| fund.view(&asset)).await
    }

    /// All funds.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn fund_views(&self, rules: &Rules) -> Result<Vec<FundView>, Stop> {
        let names: Vec<String> = rules.assets().iter().map(|asset| asset.name.to_string()).collect();
        self.fund.call(move |fund| names.iter().filter_map(|name| fund.view(name)).collect()).await
    }

    /// The balance of everything under the rules in force, and are the books sound? `audit` computes the sums anew.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn conservation(&self, rules: Arc<Rules>, audit: bool) -> Result<(Conservation, bool), Stop> {
        let found = self
            .all(move |shard| {
                if audit {
                    shard.audit().map(|sums| (sums == *shard.totals(), sums))
                } else {
                    Ok((true, shard.totals().clone()))
                }
            })
            .await?;
        let (mut totals, mut sound) = (Totals::default(), true);
        for part in found {
            let (same, sums) = part?;
            sound &= same;
            totals.merge(&sums)?;
        }
        let balance = self
            .fund
            .call(move |fund| -> Result<_, Reject> {
                let books = if audit { fund.audit()? } else { true };
                Ok((conservation(&rules, &totals, fund)?, books))
            })
            .await??;
        Ok((balance.0, sound && balance.1))
    }

    /// The part of the state hash that the stations hold.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn state_hash(&mut self) -> Result<StateHash, Stop> {
        let mut hash = StateHash::default();
        for part in self.all(|shard| shard.state_hash()).await? {
            hash.merge(part);
        }
        let totals = self.totals().await?;
        hash.part("sums", &totals.flows());
        let part = |name: &'static str, value: &dyn Fn(&mut StateHash, &str)| {
            let mut hash = StateHash::default();
            value(&mut hash, name);
            hash
        };
        hash.merge(self.oracle.call(move |oracle| part("oracle", &|hash, name| hash.part(name, oracle))).await?);
        hash.merge(self.queue.call(move |queue| part("queue", &|hash, name| hash.part(name, queue))).await?);
        hash.merge(self.fund.call(move |fund| part("fund", &|hash, name| hash.part(name, &fund.hashed()))).await?);
        Ok(hash)
    }

    /// The state as it is written down: everything but the accounts, and the accounts of each shard.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn write(&mut self, flow: &Flow, seq: Seq, time: Millis) -> Result<(Core, Vec<Vec<u8>>), Stop> {
        let accounts = |shard: &mut Shard| {
            let mut bytes = Vec::new();
            shard.write_accounts(&mut bytes);
            bytes
        };
        let accounts = self.all(accounts).await?;
        let core = Core {
            seq,
            time,
            events: flow.events(),
            flow: flow.clone(),
            oracle: self.oracle.call(|oracle| oracle.clone()).await?,
            queue: self.queue.call(|queue| queue.clone()).await?,
            fund: self.fund.call(|fund| fund.clone()).await?,
            notices: match self.shards.first() {
                Some(shard) => shard.call(|shard| shard.notices().clone()).await?,
                None => BTreeMap::new(),
            },
            sums: self.totals().await?.flows(),
            rulebook: flow.rulebook().book().clone(),
        };
        Ok((core, accounts))
    }

    /// Liquidations under way, and when the oldest began.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn open(&self) -> Result<(usize, Option<Millis>), Stop> {
        self.queue.call(|queue| queue.open()).await
    }

    /// Liquidation orders that are open at the external venue, in the order of sending.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn open_orders(&self) -> Result<Vec<OpenOrderView>, Stop> {
        Ok(self.queue.call(|queue| queue.open_orders()).await??)
    }

    /// How many accounts there are.
    ///
    /// # Errors
    /// [`Stop`].
    pub async fn accounts(&self) -> Result<usize, Stop> {
        Ok(self.all(|shard| shard.accounts().count()).await?.into_iter().sum())
    }
}

/// An account, and for each position the ranking that it has a place in.
fn seen(shard: &Shard, id: &AccountId) -> Option<(AccountView, Vec<Option<NeedRanking>>)> {
    let view = shard.view(id)?;
    let need = |position: &PositionView| {
        let market = shard.rules().market_named(&position.market).ok()?.index;
        let side = if position.quantity.is_negative() { Side::Sell } else { Side::Buy };
        Some(NeedRanking { market, side })
    };
    let needs = view.positions.iter().map(need).collect();
    Some((view, needs))
}

/// The fund as the queue reaches it: a message, and the shards' candidates when a ranking is missing.
struct Desk(Floor);

impl FundDesk for Desk {
    async fn ask(&mut self, request: FundRequest) -> Result<(FundReply, Vec<Fact>), Stop> {
        let request = Arc::new(request);
        loop {
            let asked = request.clone();
            match self.0.fund.call(move |fund| fund.ask(&asked)).await? {
                Ok(answer) => return Ok(answer),
                Err(FundStop::Reject(reject)) => return Err(reject.into()),
                Err(FundStop::Ranking(need)) => {
                    let ranking = self.0.ranking(need).await?;
                    let ranking = ranking.ok_or(Reject::new(Code::NoMark, "market"))?;
                    self.0.fund.call(move |fund| fund.supply(ranking)).await?;
                }
            }
        }
    }
}

/// The first figure that did not fit, or all answers.
fn all_fit<T>(answers: Vec<Result<T, Reject>>) -> Result<Vec<T>, Stop> {
    Ok(answers.into_iter().collect::<Result<Vec<T>, Reject>>()?)
}

impl Stations for Floor {
    async fn run(
        &mut self,
        entries: &Arc<[Entry]>,
        from: usize,
        decided: &Arc<BTreeMap<usize, Reject>>,
    ) -> Result<Vec<RunReply>, Stop> {
        let (entries, decided) = (entries.clone(), decided.clone());
        self.all(move |shard| shard.run(&entries, from, &decided)).await
    }

    async fn observe(&mut self, entries: &Arc<[Entry]>) -> Result<(), Stop> {
        let entries = entries.clone();
        let observe = move |oracle: &mut Oracle| {
            entries.iter().for_each(|entry| oracle.observe(entry.time, &entry.instruction));
        };
        self.oracle.call(observe).await
    }

    async fn list(&mut self, entries: &Arc<[Entry]>) -> Result<(), Stop> {
        let entries = entries.clone();
        self.queue.call(move |queue| entries.iter().for_each(|entry| queue.apply(&entry.instruction))).await
    }

    async fn credit(
        &mut self,
        entries: &Arc<[Entry]>,
        haircuts: Vec<(usize, Haircut)>,
    ) -> Result<Vec<(usize, Fact)>, Stop> {
        let entries = entries.clone();
        Ok(self.fund.call(move |fund| fund.run(&entries, haircuts)).await??)
    }

    async fn marks(&mut self, time: Millis) -> Result<(Marks, Vec<Fact>), Stop> {
        Ok(self.oracle.call(move |oracle| oracle.tick(time)).await??)
    }

    async fn open_fund(&mut self, seq: Seq, time: Millis) -> Result<(Vec<Fact>, BTreeMap<AssetIx, Money>), Stop> {
        let open = move |fund: &mut Fund| {
            fund.at(seq, time);
            fund.begin_tick().map(|facts| (facts, fund.liabilities()))
        };
        Ok(self.fund.call(open).await??)
    }

    async fn liabilities(&mut self) -> Result<BTreeMap<AssetIx, Money>, Stop> {
        self.fund.call(|fund| fund.liabilities()).await
    }

    async fn notice(&mut self, notices: &Arc<BTreeMap<AssetIx, FundNotice>>) -> Result<(), Stop> {
        let notices = notices.clone();
        self.all(move |shard| shard.notice(&notices)).await.map(drop)
    }

    async fn open_queue(&mut self, time: Millis, marks: &Arc<Marks>) -> Result<(), Stop> {
        let marks = marks.clone();
        Ok(self.queue.call(move |queue| queue.begin_tick(time, marks)).await??)
    }

    async fn evaluate(
        &mut self,
        marks: &Arc<Marks>,
        notices: &Arc<BTreeMap<AssetIx, FundNotice>>,
    ) -> Result<Vec<ShardReply>, Stop> {
        self.forget();
        let (marks, notices) = (marks.clone(), notices.clone());
        all_fit(self.all(move |shard| shard.tick(&marks, &notices)).await?)
    }

    async fn round(&mut self, inventory: Option<Vec<Inventory>>, reports: Vec<Report>) -> Result<Outcome, Stop> {
        let floor = self.clone();
        self.queue
            .converse(move |mut queue| {
                Box::pin(async move {
                    let decided = queue.round(inventory.as_deref(), reports, &mut Desk(floor)).await;
                    (queue, decided)
                })
            })
            .await?
    }

    async fn look(&mut self, reports: Vec<Report>) -> Result<Outcome, Stop> {
        Ok(self.queue.call(move |queue| queue.look(reports)).await??)
    }

    async fn external(&mut self, entry: &Entry) -> Result<Result<Outcome, Reject>, Stop> {
        let (seq, time) = (entry.seq, entry.time);
        self.fund.call(move |fund| fund.at(seq, time)).await?;
        let (floor, entry) = (self.clone(), entry.clone());
        self.queue
            .converse(move |mut queue| {
                Box::pin(async move {
                    let decided = external(&mut queue, &entry, &mut Desk(floor)).await;
                    (queue, decided)
                })
            })
            .await?
    }

    async fn post(&mut self, postings: &Arc<Vec<Posting>>) -> Result<Vec<ShardReply>, Stop> {
        let postings = postings.clone();
        all_fit(self.all(move |shard| shard.carry(&postings)).await?)
    }

    async fn trades(&mut self, trades: Vec<(MarketIx, Observation)>) -> Result<(), Stop> {
        let record = move |oracle: &mut Oracle| {
            for (market, seen) in trades {
                oracle.record(market, LAST.into(), seen);
            }
        };
        self.oracle.call(record).await
    }

    async fn dues(&mut self, market: MarketIx, mark: Price) -> Result<Vec<Due>, Stop> {
        let dues = all_fit(self.all(move |shard| shard.dues(market, mark)).await?)?;
        Ok(dues.into_iter().flatten().collect())
    }

    async fn caps(&mut self, market: MarketIx, who: Vec<(AccountId, Leg)>) -> Result<Vec<Cap>, Stop> {
        let who = Arc::new(who);
        let caps = all_fit(self.all(move |shard| shard.caps(market, &who)).await?)?;
        Ok(caps.into_iter().flatten().collect())
    }

    async fn totals(&mut self) -> Result<Totals, Stop> {
        let mut totals = Totals::default();
        for part in self.all(|shard| shard.totals().clone()).await? {
            totals.merge(&part)?;
        }
        Ok(totals)
    }
}
