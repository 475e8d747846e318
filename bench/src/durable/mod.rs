//! Durable commands a second: the bare disk, the journal alone, the same in SQLite, the whole of Backstop, and PostgreSQL
//! doing the same settlement; in turn within every round of one run, so that what the machine does meanwhile meets all of them.

mod contest;
mod liquidations;
mod plain;
mod postgres;
mod whole;

use crate::Failed;
use crate::scratch::Scratch;
use crate::world::World;
use contest::Contest;
use std::path::PathBuf;
use std::rc::Rc;

pub(crate) use whole::{bring, in_process, over_http, place};

/// What to measure and beside what.
#[derive(Debug, clap::Args)]
pub(crate) struct Durable {
    /// The daemon's binary, to measure over HTTP as well.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// PostgreSQL's programs; by default the newest that is installed.
    #[arg(long)]
    postgres: Option<PathBuf>,
    /// Rounds; each measures everything once.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Seconds of each measurement of something that runs for a time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Accounts that are liquidated at once.
    #[arg(long, default_value_t = 50_000)]
    liquidations: usize,
    /// Margin shards.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    shards: u8,
    /// Where files are written; the disk below is what is measured.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// Commands to a batch, of the disk and of the journal alone.
const BATCHES: [usize; 4] = [1, 10, 100, 1_000];
/// Accounts of the venue whose fills are measured.
const ACCOUNTS: usize = 2_000;

/// Prints the tables.
pub(crate) fn run(options: &Durable) -> Result<(), Failed> {
    let scratch = Scratch::new(options.dir.as_deref(), "durable")?;
    let world = Rc::new(World::new(ACCOUNTS, 4)?);
    let bytes = plain::bytes_of_batches(scratch.path(), &world)?;
    let mut contest = Contest::default();
    for (commands, bytes) in BATCHES.into_iter().zip(&bytes) {
        plain::enter(&mut contest, scratch.path(), commands, *bytes);
        plain::enter_journals(&mut contest, scratch.path(), commands, &world);
    }
    whole::enter_process(&mut contest, options, scratch.path(), &world);
    let _daemon = match &options.binary {
        Some(binary) => Some(whole::enter_http(&mut contest, options, binary, scratch.path(), &world)?),
        None => None,
    };
    liquidations::enter(&mut contest, options, scratch.path())?;
    let cluster = postgres::Cluster::start(options.postgres.as_deref(), scratch.path())?;
    match &cluster {
        Some(cluster) => postgres::enter(&mut contest, cluster, options.seconds),
        None => println!("The comparison with PostgreSQL is skipped: it is not installed.\n"),
    }
    for round in 1..=options.rounds {
        contest.round()?;
        eprintln!("round {round} of {} is done", options.rounds);
    }
    println!(
        "Medians of {} interleaved rounds (least–most). Bytes of a batch of {BATCHES:?}: {bytes:?}.\n",
        options.rounds
    );
    contest.print();
    print_ratios(&contest);
    Ok(())
}

/// What the figures come to.
fn print_ratios(contest: &Contest) {
    println!("\n| ratio of medians | figure |\n|---|---|");
    let show = |what: &str, ratio: Option<f64>| {
        println!("| {what} | {} |", ratio.map_or("–".to_owned(), |ratio| format!("{ratio:.2}")));
    };
    for commands in BATCHES {
        let (append, best) = (contest.best(plain::APPEND, &at(commands)), contest.best_of(&plain::ALL, &at(commands)));
        let journal = contest.best(plain::JOURNAL, &at(commands));
        show(&format!("journal alone : plain append, {commands} to a batch"), over(journal, append));
        show(&format!("journal alone : fastest plain file, {commands} to a batch"), over(journal, best));
        let sqlite = contest.best(plain::SQLITE, &at(commands));
        show(&format!("SQLite : plain append, {commands} to a batch"), over(sqlite, append));
        show(&format!("journal alone : SQLite, {commands} to a batch"), over(journal, sqlite));
    }
    let process = contest.best(whole::PROCESS, "");
    let (append, singly) = (contest.best(plain::APPEND, ""), contest.best(postgres::SINGLY, ""));
    let (set, settled) = (contest.best(postgres::SET, ""), contest.best(liquidations::NAME, ""));
    show("whole of Backstop, best : plain append, best", over(process, append));
    show("whole of Backstop, best : PostgreSQL one by one, best", over(process, singly));
    show("whole of Backstop, best : PostgreSQL set-based, best", over(process, set));
    for flight in whole::IN_FLIGHT {
        let (one, same) = (contest.best(whole::PROCESS, &whole::place(1, flight)), format!("{flight} clients"));
        let singly = contest.best(postgres::SINGLY, &same);
        show(&format!("one command at a time, {flight} in flight : PostgreSQL, {flight} clients"), over(one, singly));
    }
    show("settled liquidations : PostgreSQL one by one, best", over(settled, singly));
    show("settled liquidations : PostgreSQL set-based, best", over(settled, set));
}

fn over(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    Some(one? / other?)
}

/// How a batch size is named.
fn at(commands: usize) -> String {
    format!("{} to a batch", crate::figures::grouped(commands as f64))
}
