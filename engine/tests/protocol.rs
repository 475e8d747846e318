//! The protocol between the liquidation queue and the fund, checked in every order of events that can happen: three
//! liquidations at once, each reserve → settle → settle → release → deleverage, against the real [`Fund`].
//!
//! A message that was sent once can arrive at any time from then on, and again, whether its answer was lost or not: that
//! is delay, reordering, duplication, loss with resending, and a queue that crashes and sends again everything it may not
//! have had acknowledged. When all is done the next tick begins, and old messages still arrive.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs
)]

use backstop_engine::adl::Ranking;
use backstop_engine::command::{Command, CreditSource, Envelope};
use backstop_engine::event::{AdlReason, Fact, Reason};
use backstop_engine::fund::{Fund, FundReply, FundRequest, FundStop, SHARED};
use backstop_engine::id::{AccountId, AssetIx, ClaimId, Leg, LiquidationId, MarketIx, OrderId, Side};
use backstop_engine::instruction::Instruction;
use backstop_engine::margin::{Candidate, Scope};
use backstop_engine::money::{Money, Notional, Price, Quantity};
use backstop_engine::rules::Rules;
use rust_decimal::Decimal;
use stateright::{Checker, Model, Property};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

const SEED: i64 = 100;
const INJECTION: i64 = 40;
/// What the one account on the other side holds.
const HELD: i64 = 10;
/// What each liquidation asks to be closed against it.
const NEED: i64 = 6;
/// Per liquidation: coverage asked, then loss and surplus of its fills. Together they ask for more than the fund has, and
/// the second loses more than it asked for.
const LIQUIDATIONS: [(i64, &[(i64, i64)]); 3] = [(60, &[(25, 0), (30, 0)]), (50, &[(55, 0)]), (30, &[(20, 8)])];

/// What the queue sends for each, in order.
const STEPS: [&[Step]; 3] = [
    &[Step::Reserve, Step::Settle(0), Step::Settle(1), Step::Release, Step::Deleverage],
    &[Step::Reserve, Step::Settle(0), Step::Release],
    &[Step::Reserve, Step::Settle(0), Step::Release, Step::Deleverage],
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Step {
    Reserve,
    Settle(usize),
    Release,
    Deleverage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// A message that was sent arrives; the queue learns the answer, unless it is lost or the queue has it already.
    Deliver { liquidation: usize, step: usize, answer_lost: bool },
    /// The venue puts money in.
    Inject,
    /// The next tick.
    Tick,
}

/// What a message was answered: amounts only, in whole units.
type Answer = (i64, i64);

/// What decides the rest of the run, and what the properties look at: all that the fund shows but its chain of hashes
/// (which tells the orders of arrival apart and decides nothing), and every answer it has given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Seen {
    /// Messages acknowledged, per liquidation: those, and the next one, have been sent.
    acknowledged: [usize; 3],
    injected: bool,
    ticked: bool,
    /// The first answer to each message.
    answers: BTreeMap<(usize, usize), Answer>,
    /// By claim: liquidation, amount, paid.
    claims: BTreeMap<ClaimId, (usize, i64, i64)>,
    /// Cash that left the fund, and contracts closed, per liquidation.
    paid: [i64; 3],
    deleveraged: [i64; 3],
    balance: i64,
    reserved: i64,
    liability: i64,
    /// A repeated message within a tick got another answer than the first.
    contradicted: bool,
}

#[derive(Debug, Clone)]
struct State {
    fund: Fund,
    seen: Seen,
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.seen == other.seen
    }
}

impl Eq for State {}

impl Hash for State {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.seen.hash(hasher);
    }
}

impl State {
    fn note(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            match fact {
                Fact::Claim { claim, liquidation, amount, paid, .. } => {
                    self.seen.claims.insert(claim, (place(liquidation), units(amount), units(paid)));
                }
                Fact::FundEntry(entry) if entry.reason == Reason::Shortfall => {
                    self.seen.paid[place(entry.liquidation.unwrap())] -= units(entry.amount);
                }
                Fact::Deleveraged(cut) => {
                    self.seen.deleveraged[place(cut.liquidation)] += i64::try_from(cut.quantity.get()).unwrap();
                }
                _ => {}
            }
        }
        let view = self.fund.view("USDT").unwrap();
        self.seen.balance = units(view.balance);
        self.seen.reserved = units(view.reserved);
        self.seen.liability = units(view.liability);
    }

    fn claimed(&self, liquidation: usize) -> (i64, i64) {
        let claims = self.seen.claims.values().filter(|claim| claim.0 == liquidation);
        claims.fold((0, 0), |(amount, paid), claim| (amount + claim.1, paid + claim.2))
    }
}

fn units(amount: Money) -> i64 {
    i64::try_from(amount.get()).unwrap()
}

fn place(liquidation: LiquidationId) -> usize {
    usize::try_from(liquidation.0).unwrap() - 1
}

fn answer(reply: &FundReply) -> Answer {
    match reply {
        FundReply::Granted { amount, .. } => (units(*amount), 0),
        FundReply::Settled { paid, owed } => (units(*paid), units(*owed)),
        FundReply::Cuts(cuts) => (cuts.iter().map(|cut| i64::try_from(cut.quantity.get()).unwrap()).sum(), 0),
    }
}

struct Protocol {
    rules: Rules,
}

fn money(units: i64) -> Money {
    Money::new(Decimal::from(units))
}

fn quantity(units: i64) -> Quantity {
    Quantity::new(Decimal::from(units))
}

fn order(liquidation: usize) -> OrderId {
    OrderId(u64::try_from(liquidation).unwrap() + 1)
}

/// The order that books the deleveraging: another one, as in the queue.
fn adl_order(liquidation: usize) -> OrderId {
    OrderId(u64::try_from(liquidation).unwrap() + 4)
}

fn id(liquidation: usize) -> LiquidationId {
    LiquidationId(u64::try_from(liquidation).unwrap() + 1)
}

impl Protocol {
    fn new() -> Self {
        let mut rules = Rules::default();
        let read = |text: &str| Envelope::read(text).unwrap().command;
        if let Command::ListAsset(list) = read(r#"{"type":"list_asset","asset":"USDT","scale":0}"#) {
            rules.put_asset(rules.check_asset(&list).unwrap());
        }
        let market = r#"{"type":"list_market","market":"M","kind":"linear","asset":"USDT","tick_size":"1","lot_size":"1",
            "tiers":[{"initial_rate":"0.1","maintenance_rate":"0.05"}]}"#;
        if let Command::ListMarket(list) = read(market) {
            rules.put_market(rules.check_market(&list).unwrap());
        }
        Self { rules }
    }

    fn request(liquidation: usize, step: Step) -> FundRequest {
        let (asked, fills) = LIQUIDATIONS[liquidation];
        match step {
            Step::Reserve => FundRequest::Reserve {
                order: order(liquidation),
                liquidation: id(liquidation),
                account: AccountId(format!("loser{liquidation}").into()),
                scope: Scope::Cross,
                market: MarketIx(0),
                asked: money(asked),
            },
            Step::Settle(fill) => FundRequest::Settle {
                order: order(liquidation),
                step: u32::try_from(fill).unwrap() + 1,
                fee: Money::ZERO,
                surplus: money(fills[fill].1),
                shortfall: money(fills[fill].0),
            },
            Step::Release => FundRequest::Release { order: order(liquidation) },
            Step::Deleverage => FundRequest::Deleverage {
                order: adl_order(liquidation),
                liquidation: id(liquidation),
                market: MarketIx(0),
                side: Side::Sell,
                quantity: quantity(NEED),
                price: Price::new(Decimal::from(100)),
                reason: AdlReason::FundEmpty,
            },
        }
    }

    /// One short of 10 contracts that gains whatever happens.
    fn ranking(&self) -> Ranking {
        let notional = Notional::new(Decimal::from(HELD * 100));
        let candidate = Candidate {
            account: AccountId("winner".into()),
            leg: Leg::Net,
            quantity: quantity(HELD),
            cost: money(-HELD * 120),
            pnl: money(HELD * 20),
            notional,
            net_notional: notional,
            equity: money(5_000),
            maintenance: money(50),
            scope_pnl: money(HELD * 20),
            scope_cost: money(HELD * 120),
            scope: Scope::Cross,
            hedged: false,
        };
        let market = self.rules.market(MarketIx(0)).unwrap();
        Ranking::new(market, Side::Sell, Price::new(Decimal::from(100)), vec![candidate]).unwrap()
    }

    fn ask(&self, state: &mut State, request: &FundRequest) -> Answer {
        loop {
            match state.fund.ask(request) {
                Ok((reply, facts)) => {
                    state.note(facts);
                    return answer(&reply);
                }
                Err(FundStop::Ranking(_)) => state.fund.supply(self.ranking()),
                Err(FundStop::Reject(reject)) => panic!("{reject}"),
            }
        }
    }

    fn deliver(&self, state: &mut State, liquidation: usize, step: usize, answer_lost: bool) {
        let message = STEPS[liquidation][step];
        let answer = self.ask(state, &Self::request(liquidation, message));
        let seen = &mut state.seen;
        match seen.answers.get(&(liquidation, step)) {
            // An order keeps the answer to its last fill: the repetition of an earlier one is answered with that.
            Some(first) if !seen.ticked && message != Step::Settle(0) => seen.contradicted |= *first != answer,
            Some(_) => {}
            None => {
                seen.answers.insert((liquidation, step), answer);
            }
        }
        if !answer_lost && seen.acknowledged[liquidation] == step {
            seen.acknowledged[liquidation] += 1;
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut fund = Fund::default();
        fund.apply(&Instruction::ListAsset(self.rules.asset(AssetIx(0)).unwrap().clone())).unwrap();
        fund.apply(&Instruction::ListMarket(self.rules.market(MarketIx(0)).unwrap().clone())).unwrap();
        fund.apply(&credit(CreditSource::SeedCapital, SEED)).unwrap();
        fund.begin_tick().unwrap();
        vec![State { fund, seen: Seen { balance: SEED, ..Seen::default() } }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let seen = &state.seen;
        for (liquidation, steps) in STEPS.iter().enumerate() {
            for step in 0..=seen.acknowledged[liquidation].min(steps.len() - 1) {
                actions.push(Action::Deliver { liquidation, step, answer_lost: true });
                if step == seen.acknowledged[liquidation] {
                    actions.push(Action::Deliver { liquidation, step, answer_lost: false });
                }
            }
        }
        if !seen.injected {
            actions.push(Action::Inject);
        }
        if !seen.ticked && STEPS.iter().zip(seen.acknowledged).all(|(steps, done)| done == steps.len()) {
            actions.push(Action::Tick);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Deliver { liquidation, step, answer_lost } => {
                self.deliver(&mut state, liquidation, step, answer_lost);
            }
            Action::Inject => {
                state.seen.injected = true;
                let facts = state.fund.apply(&credit(CreditSource::Injection, INJECTION)).unwrap();
                state.note(facts);
            }
            Action::Tick => {
                state.seen.ticked = true;
                let facts = state.fund.begin_tick().unwrap();
                state.note(facts);
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the fund is never overdrawn and its books are sound", |_, state: &State| {
                state.seen.balance >= state.seen.reserved && state.seen.reserved >= 0 && state.fund.audit().unwrap()
            }),
            Property::always(
                "a loss is claimed once, and what is paid of it is what left the fund",
                |_, state: &State| {
                    (0..3).all(|place| {
                        let (amount, paid) = state.claimed(place);
                        amount <= lost(place, 2) && paid == state.seen.paid[place] && paid <= amount
                    })
                },
            ),
            Property::always("no loss that was acknowledged is forgotten", |_, state: &State| {
                (0..3).all(|place| {
                    let steps = STEPS[place].iter().take(state.seen.acknowledged[place]);
                    let fills = steps.filter(|step| matches!(step, Step::Settle(_))).count();
                    state.claimed(place).0 >= lost(place, fills)
                })
            }),
            Property::always("what is lost is paid or owed, to the unit", |_, state: &State| {
                let all: i64 = (0..3).map(|place| state.claimed(place).0).sum();
                all == state.seen.paid.iter().sum::<i64>() + state.seen.liability
            }),
            Property::always("nobody is deleveraged twice for one need", |_, state: &State| {
                let cuts = state.seen.deleveraged;
                cuts.iter().all(|cut| *cut <= NEED) && cuts.iter().sum::<i64>() <= HELD
            }),
            Property::always("a repeated message gets the first answer", |_, state: &State| !state.seen.contradicted),
            Property::sometimes("everything is done and the next tick begins", |_, state: &State| state.seen.ticked),
            Property::sometimes("the fund is exhausted and owes", |_, state: &State| {
                state.seen.balance == 0 && state.seen.liability > 0
            }),
            Property::sometimes("an injection pays what was owed", |_, state: &State| {
                state.seen.injected && state.seen.ticked && state.seen.liability == 0
            }),
            Property::sometimes("a need finds less than it asks for", |_, state: &State| {
                state.seen.deleveraged.iter().any(|cut| (1..NEED).contains(cut))
            }),
        ]
    }
}

fn credit(source: CreditSource, amount: i64) -> Instruction {
    Instruction::FundCredit { asset: AssetIx(0), pool: SHARED.into(), source, amount: money(amount) }
}

fn lost(liquidation: usize, fills: usize) -> i64 {
    LIQUIDATIONS[liquidation].1.iter().take(fills).map(|(loss, _)| loss).sum()
}

#[test]
fn the_fund_is_never_overdrawn_never_pays_twice_and_never_forgets() {
    let checker = Protocol::new().checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    assert!(checker.unique_state_count() > 1_000, "{} states", checker.unique_state_count());
}
