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
//! | [`publisher`] | what happened: history and metrics |
//! | [`telemetry`] | the catalogue of metrics |
//! | [`halt`] | why the daemon must stop |

pub mod conductor;
pub mod floor;
pub mod gateway;
pub mod halt;
pub mod history;
pub mod journal;
pub mod publisher;
pub mod station;
pub mod telemetry;
pub mod topology;
