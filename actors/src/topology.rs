//! Who there is and how they are connected. Reads top to bottom like the picture in ARCHITECTURE.md:
//!
//! ```text
//! Gateway ─► Journal ─► Conductor ─► Oracle ─► MarginShard × N ─► LiquidationQueue ─► Fund
//!    ▲                      │
//!    └────── answers ◄──────┴─► Publisher
//! ```

use crate::conductor::ConductorHandle;
use crate::data_dir::Start;
use crate::floor::Floor;
use crate::gateway::{GatewayConfig, GatewayHandle};
use crate::halt::HaltSender;
use crate::history::History;
use crate::journal::{JournalHandle, JournalStore};
use crate::publisher::{Progress, PublisherHandle};
use crate::station::Handle;
use actix::Arbiter;
use backstop_engine::snapshot::Unreadable;
use std::sync::Arc;

/// Where the actors run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Publisher, gateway and each shard but the first on a thread of their own (the journal always has one). Conductor,
    /// oracle, queue, fund and the first shard share one: they converse for every liquidation, which within a thread costs
    /// a fraction of a microsecond and between threads tens of them, and while a shard works the conductor waits for it.
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
    /// What the state begins from.
    pub start: Start,
    /// Where batches are kept.
    pub journal: Box<dyn JournalStore>,
    /// Where readers look up what happened.
    pub history: History,
}

/// What keeps the actors from starting.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A thread.
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The state.
    #[error("the snapshot cannot be used: {0}")]
    State(#[from] Unreadable),
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
    journal: JournalHandle,
}

impl Topology {
    /// Ends in good order: nothing more is taken, everything taken is applied, answered and safe, the state is written
    /// down where it is kept, and the journal says so.
    pub async fn stop(&self) {
        self.gateway.stop().await;
        // A publisher that has ended has been reported.
        let _ = self.publisher.close().await;
        self.journal.seal().await;
    }
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
/// [`StartError`].
pub fn start(plan: Plan, halt: &HaltSender) -> Result<Topology, StartError> {
    let place = || match plan.placement {
        Placement::Spread => Arbiter::new().handle(),
        Placement::Single => Arbiter::current(),
    };
    let (border, centre, records) = (place(), place(), place());
    let count = plan.shards.clamp(1, SHARDS_MAX);
    // 5. The stations.
    let Start { core, accounts, producers, .. } = plan.start;
    let shards = core.shards(accounts, count, plan.shows_accounts)?;
    let places = std::iter::once(centre.clone()).chain(std::iter::repeat_with(place));
    let shard = |((shard, name), place): ((_, &&'static str), _)| Handle::start(name, shard, halt.watch(name), &place);
    let floor = Floor {
        oracle: Handle::start("oracle", core.oracle.clone(), halt.watch("oracle"), &centre),
        shards: shards.into_iter().zip(&SHARD_NAMES).zip(places).map(shard).collect(),
        queue: Handle::start("queue", core.queue.clone(), halt.watch("queue"), &centre),
        fund: Handle::start("fund", core.fund.clone(), halt.watch("fund"), &centre),
        known: Arc::default(),
    };
    let mut depths = floor.depths();
    // 4. What happened.
    let begun = Progress { seq: core.seq, time: core.time, events: core.events };
    let publisher = PublisherHandle::start(plan.history, begun, halt.clone(), &records)?;
    // 3. One batch at a time.
    let known = (core.admission(), producers);
    let conductor = ConductorHandle::start(floor, core, publisher.clone(), halt.clone(), &centre);
    // 2. Before it is applied it is kept.
    let journal = JournalHandle::start(plan.journal, conductor.clone(), halt.clone())?;
    // 1. Every command gets its place.
    let gateway = GatewayHandle::start(plan.gateway, known, journal.clone(), halt.clone(), &border);
    conductor.meet(gateway.addr());
    depths.extend([
        ("publisher", publisher.depth()),
        ("conductor", conductor.depth()),
        ("journal", journal.depth()),
        ("gateway", gateway.depth()),
    ]);
    publisher.watch(depths);
    Ok(Topology { gateway, conductor, publisher, journal })
}
