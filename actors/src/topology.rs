//! Who there is and how they are connected. Reads top to bottom like the picture in ARCHITECTURE.md:
//!
//! ```text
//! Gateway ─► Journal ─► Conductor ─► Oracle ─► MarginShard × N ─► LiquidationQueue ─► Fund
//!    ▲                      │
//!    └────── answers ◄──────┴─► Publisher
//! ```

use crate::conductor::{Conductor, Meet};
use crate::floor::Floor;
use crate::gateway::{Gateway, GatewayConfig};
use crate::halt::HaltSender;
use crate::journal::{Journal, JournalStore};
use crate::publisher::Publisher;
use crate::station::{Depth, Handle};
use actix::{Actor, Addr, Arbiter, ArbiterHandle};
use backstop_engine::fund::Fund;
use backstop_engine::liquidation::Queue;
use backstop_engine::margin::Shard;
use backstop_engine::oracle::Oracle;

/// Where the actors run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Each shard, the publisher, and the gateway with the journal on a thread of their own. Conductor, oracle, queue and
    /// fund share one: they converse for every liquidation, which within a thread costs a fraction of a microsecond and
    /// between threads tens of them.
    Spread,
    /// All on the current thread: for simulation under a paused clock.
    Single,
}

/// How the daemon is built.
pub struct Plan {
    /// Margin shards, at least one.
    pub shards: usize,
    /// Where the actors run.
    pub placement: Placement,
    /// Show every changed account and position as an event?
    pub shows_accounts: bool,
    /// The gateway's.
    pub gateway: GatewayConfig,
    /// Where batches are kept.
    pub journal: Box<dyn JournalStore>,
}

/// The running actors.
#[derive(Clone)]
pub struct Topology {
    /// Commands go here.
    pub gateway: Addr<Gateway>,
    /// Reads of the state go here.
    pub conductor: Addr<Conductor>,
    /// Reads of history go here.
    pub publisher: Addr<Publisher>,
}

/// The names of shards in metrics: a closed set.
const SHARD_NAMES: [&str; 16] = [
    "shard-0", "shard-1", "shard-2", "shard-3", "shard-4", "shard-5", "shard-6", "shard-7", "shard-8", "shard-9",
    "shard-10", "shard-11", "shard-12", "shard-13", "shard-14", "shard-15",
];

/// Most shards there can be.
pub const SHARDS_MAX: usize = SHARD_NAMES.len();

/// Starts everybody, within an actix system.
pub fn start(plan: Plan, halt: &HaltSender) -> Topology {
    let place = || match plan.placement {
        Placement::Spread => Arbiter::new().handle(),
        Placement::Single => Arbiter::current(),
    };
    let (border, centre, records) = (place(), place(), place());
    let count = plan.shards.clamp(1, SHARDS_MAX);
    // 5. The stations.
    let shard = |(index, name): (usize, &&'static str)| {
        Handle::start(name, Shard::new(index, count, plan.shows_accounts), halt.watch(name), &place())
    };
    let floor = Floor {
        oracle: Handle::start("oracle", Oracle::default(), halt.watch("oracle"), &centre),
        shards: SHARD_NAMES.iter().take(count).enumerate().map(shard).collect(),
        queue: Handle::start("queue", Queue::default(), halt.watch("queue"), &centre),
        fund: Handle::start("fund", Fund::default(), halt.watch("fund"), &centre),
    };
    // 4. What happened.
    let journal_depth = Depth::default();
    let mut depths = floor.depths();
    depths.push(("journal", journal_depth.clone()));
    let watch = halt.clone();
    let publisher = on(&records, move || Publisher::new(depths, &watch));
    // 3. One batch at a time.
    let (books, watch) = (publisher.clone(), halt.clone());
    let conductor = on(&centre, move || Conductor::new(floor, books, watch));
    // 2. Before it is applied it is kept.
    let (next, depth, watch) = (conductor.clone(), journal_depth.clone(), halt.clone());
    let store = plan.journal;
    let journal = on(&border, move || Journal::new(store, next, depth, watch));
    // 1. Every command gets its place.
    let (config, watch) = (plan.gateway, halt.clone());
    let gateway = on(&border, move || Gateway::new(config, journal, journal_depth, watch));
    conductor.do_send(Meet(gateway.clone()));
    Topology { gateway, conductor, publisher }
}

fn on<A: Actor<Context = actix::Context<A>>>(
    place: &ArbiterHandle,
    make: impl FnOnce() -> A + Send + 'static,
) -> Addr<A> {
    A::start_in_arbiter(place, move |_| make())
}
