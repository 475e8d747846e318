//! Who there is and how they are connected. Reads top to bottom like the picture in ARCHITECTURE.md:
//!
//! ```text
//! Gateway ─► Journal ─► Conductor ─► Oracle ─► MarginShard × N ─► LiquidationQueue ─► Fund
//!    ▲                      │
//!    └────── answers ◄──────┴─► Publisher
//! ```

use crate::conductor::ConductorHandle;
use crate::floor::Floor;
use crate::gateway::{GatewayConfig, GatewayHandle};
use crate::halt::HaltSender;
use crate::journal::{JournalHandle, JournalStore};
use crate::publisher::PublisherHandle;
use crate::station::Handle;
use actix::Arbiter;
use backstop_engine::fund::Fund;
use backstop_engine::liquidation::Queue;
use backstop_engine::margin::Shard;
use backstop_engine::oracle::Oracle;

/// Where the actors run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Each shard, the publisher and the gateway on a thread of their own (the journal always has one). Conductor, oracle, queue and
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

/// The ways to the running actors.
#[derive(Clone)]
pub struct Topology {
    /// Commands go here.
    pub gateway: GatewayHandle,
    /// Reads of the state go here.
    pub conductor: ConductorHandle,
    /// Reads of history go here.
    pub publisher: PublisherHandle,
}

/// The names of shards in metrics: a closed set.
const SHARD_NAMES: [&str; 16] = [
    "shard-0", "shard-1", "shard-2", "shard-3", "shard-4", "shard-5", "shard-6", "shard-7", "shard-8", "shard-9",
    "shard-10", "shard-11", "shard-12", "shard-13", "shard-14", "shard-15",
];

/// Most shards there can be.
pub const SHARDS_MAX: usize = SHARD_NAMES.len();

/// Starts everybody, within an actix system.
///
/// # Errors
/// When the journal's thread cannot be started.
pub fn start(plan: Plan, halt: &HaltSender) -> std::io::Result<Topology> {
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
    let mut depths = floor.depths();
    // 4. What happened.
    let publisher = PublisherHandle::start(halt, &records);
    // 3. One batch at a time.
    let conductor = ConductorHandle::start(floor, publisher.clone(), halt.clone(), &centre);
    // 2. Before it is applied it is kept.
    let journal = JournalHandle::start(plan.journal, conductor.clone(), halt.clone())?;
    // 1. Every command gets its place.
    let gateway = GatewayHandle::start(plan.gateway, journal.clone(), halt.clone(), &border);
    conductor.meet(gateway.addr());
    depths.extend([
        ("publisher", publisher.depth()),
        ("conductor", conductor.depth()),
        ("journal", journal.depth()),
        ("gateway", gateway.depth()),
    ]);
    publisher.watch(depths);
    Ok(Topology { gateway, conductor, publisher })
}
