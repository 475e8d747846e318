//! Everything side by side, by one command: who finds the accounts under water, and how fast; the audit scan, the burst,
//! throughput, latency, memory. The rivals are real code (`compare/`), over the same accounts and the same prices.

mod audit;
mod book;
mod burst;
mod course;
mod guarded;
mod linear;
mod memory;
mod naive;
mod paths;
mod percolator;
mod plots;
mod race;
mod report;
mod scene;
mod shortfall;
mod svg;
mod throughput;

use crate::Failed;
use book::Leverage;
use paths::Kind;
use report::Section;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to run, and where figures go.
#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    /// Small sizes, two minutes; nothing is written unless `--out` says where.
    #[arg(long)]
    quick: bool,
    /// Only these parts.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Rounds; each measures everything once.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: Option<u32>,
    /// Accounts × positions of the main table of paths, for a look at one size: `1000000,4`.
    #[arg(long, value_parser = size, value_name = "ACCOUNTS,POSITIONS")]
    size: Option<(usize, usize)>,
    /// Only these leverages of paths.
    #[arg(long, value_delimiter = ',')]
    leverage: Vec<Leverage>,
    /// Only these paths.
    #[arg(long, value_delimiter = ',')]
    path: Vec<Kind>,
    /// Ticks of the steady state; 0 for none.
    #[arg(long)]
    steady: Option<usize>,
    /// The daemon's binary, to measure over HTTP as well; by default the one beside this program.
    #[arg(long)]
    binary: Option<PathBuf>,
    /// Where files are written that are measured.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Where `RESULTS.md` and `compare/` are.
    #[arg(long)]
    out: Option<PathBuf>,
    /// In a child: the bytes of so many accounts and positions.
    #[arg(long, hide = true, value_parser = size)]
    child_memory: Option<(usize, usize)>,
    /// In a child: one burst of so many accounts, markets and ADL fills, on so many shards.
    #[arg(long, hide = true, value_delimiter = ',')]
    child_burst: Vec<usize>,
}

/// A part of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Finding who is under water: decimals, linear exact, Backstop, percolator-engine.
    Paths,
    /// The full audit scan.
    Audit,
    /// 437,723 accounts, 162 markets, 11,279 ADL fills in one tick.
    Burst,
    /// Fills and ticks a second.
    Fills,
    /// From a shortfall to its decision.
    Latency,
    /// Bytes of an account and of a position.
    Memory,
}

/// All parts, those that need the most memory first.
const PARTS: [Part; 6] = [Part::Paths, Part::Audit, Part::Memory, Part::Burst, Part::Fills, Part::Latency];

fn size(text: &str) -> Result<(usize, usize), String> {
    let (accounts, positions) = text.split_once(',').ok_or("two numbers, with a comma between")?;
    let number = |text: &str| text.parse::<usize>().map_err(|error| error.to_string());
    Ok((number(accounts)?, number(positions)?))
}

/// Says how far it is.
fn say(text: &str) {
    eprintln!("{text}");
}

/// Runs the parts, prints their tables, writes everything down.
pub(crate) fn run(options: &Compare) -> Result<(), Failed> {
    if let Some((accounts, positions)) = options.child_memory {
        return memory::child(accounts, positions);
    }
    if let [accounts, markets, fills, shards] = *options.child_burst.as_slice() {
        let dir = options.dir.clone().unwrap_or_else(std::env::temp_dir);
        return burst::child(burst::Size { accounts, markets, fills }, shards, &dir);
    }
    let (machine, since) = (report::machine(), Instant::now());
    let mut sections = Vec::new();
    for part in PARTS.into_iter().filter(|part| options.only.is_empty() || options.only.contains(part)) {
        let started = Instant::now();
        let section = options.part(part)?;
        println!("{}", section.markdown());
        say(&format!("{part:?} took {:.0} s", started.elapsed().as_secs_f64()));
        sections.push(section);
    }
    let default = (!options.quick).then(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    if let Some(dir) = options.out.clone().or(default) {
        report::write(&dir, &machine, &sections)?;
    }
    println!("On {machine}; {:.1} minutes.", since.elapsed().as_secs_f64() / 60.0);
    Ok(())
}

impl Compare {
    fn part(&self, part: Part) -> Result<Section, Failed> {
        let (quick, dir) = (self.quick, self.dir.as_deref());
        let pick = |small: usize, large: usize| if quick { small } else { large };
        let rounds = self.rounds.unwrap_or(if quick { 2 } else { 5 });
        match part {
            Part::Paths => {
                let (accounts, positions) = match (self.size, quick) {
                    (Some(_), _) => (vec![], vec![]),
                    (None, true) => (vec![1_000, 3_000], vec![1, 4, 8]),
                    (None, false) => (vec![10_000, 100_000, 1_000_000], vec![1, 4, 8]),
                };
                let main = self.size.unwrap_or((pick(10_000, 1_000_000), 4));
                let all =
                    |chosen: &[Leverage]| if chosen.is_empty() { Leverage::ALL.to_vec() } else { chosen.to_vec() };
                course::run(&course::Scope {
                    accounts,
                    positions,
                    rounds,
                    main,
                    steady: self.steady.unwrap_or(pick(1_200, 12_000)),
                    leverages: all(&self.leverage),
                    kinds: if self.path.is_empty() { Kind::ALL.to_vec() } else { self.path.clone() },
                })
            }
            Part::Audit => audit::run(pick(50_000, 1_000_000), rounds.max(3)),
            Part::Burst => {
                let size = burst::Size { accounts: 437_723, markets: 162, fills: 11_279 };
                let small = burst::Size { accounts: 20_000, markets: 20, fills: 1_000 };
                burst::run(if quick { small } else { size }, rounds, dir)
            }
            Part::Fills => throughput::run(&throughput::Scope {
                rounds,
                time: Duration::from_millis(if quick { 300 } else { 1_500 }),
                accounts: pick(5_000, 100_000),
                ticks: pick(50, 300),
                dir: self.dir.clone(),
                binary: self.daemon(),
            }),
            Part::Latency => shortfall::run(&shortfall::Scope {
                rates: if quick { vec![20] } else { vec![50, 200] },
                seconds: if quick { 2 } else { 8 },
                rounds: if quick { 1 } else { rounds },
                accounts: pick(1_000, 20_000),
                dir,
            }),
            Part::Memory => memory::run(pick(50_000, 1_000_000), if quick { 1 } else { rounds }),
        }
    }

    /// The daemon's binary: the one given, or the one beside this program.
    fn daemon(&self) -> Option<PathBuf> {
        let beside = || Some(std::env::current_exe().ok()?.with_file_name("backstop")).filter(|path| path.is_file());
        self.binary.clone().or_else(beside)
    }
}
