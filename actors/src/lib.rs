//! The actors of Backstop. Each owns one thing and feeds it messages; what is decided is decided in `backstop-engine`.
//!
//! | module | what it owns |
//! |---|---|
//! | [`topology`] | who there is and how they are connected; read it first |
//! | [`gateway`] | the order of commands: admission, batches, answers |
//! | [`journal`] | what has been written down |
//! | [`conductor`] | one batch at a time, through the stations |
//! | [`station`] | an actor around one state machine: oracle, shard, queue, fund |
//! | [`floor`] | the stations as the flow reaches them |
//! | [`publisher`] | what happened: history, streams and metrics |
//! | [`history`] | what readers look up, in SQLite |
//! | [`snapshot`] | the whole state in a file |
//! | [`data_dir`] | everything that is kept, found again after a restart |
//! | [`recovery`] | the start: replay of what the journal holds |
//! | [`disk`] | files, as the journal and the snapshots use them |
//! | [`telemetry`] | the catalogue of metrics |
//! | [`halt`] | why the daemon must stop |

pub mod conductor;
pub mod data_dir;
pub mod disk;
pub mod floor;
pub mod gateway;
pub mod halt;
pub mod history;
pub mod journal;
pub mod publisher;
pub mod recovery;
pub mod snapshot;
pub mod station;
pub mod telemetry;
pub mod topology;
