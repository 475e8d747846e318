//! The crash tester: numbered producers drive the real daemon over HTTP, it is killed at random instants, and after
//! every restart nothing acknowledged may be lost, nothing done twice, and no money created.
//!
//! In: a binary and a seed. Out: a table of figures, or the first violation with the seed and the directory it left.
//! Killing needs no cooperation from the daemon; what is checked is what any producer can see from outside.

mod ending;
mod inspect;
mod producer;
mod report;
mod scenarios;
mod workload;

use crate::Failed;
use crate::daemon::{Daemon, Start};
use crate::scratch::Scratch;
use ending::Ending;
use producer::{Control, Producer, Violation};
use report::Report;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use workload::Draw;

/// What to kill, how often, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Crash {
    /// The daemon's binary.
    #[arg(long)]
    binary: PathBuf,
    /// How often it is killed.
    #[arg(long, default_value_t = 500)]
    kills: u64,
    /// What the commands and instants follow from; by default the clock.
    #[arg(long)]
    seed: Option<u64>,
    /// No new kill begins after so many seconds.
    #[arg(long, default_value_t = 3_600)]
    seconds_max: u64,
    /// Kills after which the directory is checked from end to end.
    #[arg(long, default_value_t = 25)]
    check_every: u64,
    /// Kills after which a fresh directory is begun.
    #[arg(long, default_value_t = 100)]
    life: u64,
    /// Producers.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=32))]
    producers: u64,
    /// Where directories are made; by default where the system puts such things.
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// A directory with everything known of it.
struct Life {
    scratch: Scratch,
    producers: Vec<Producer>,
    /// By sequence number: whose it is.
    owners: Vec<u64>,
    started: u64,
}

impl Life {
    fn new(options: &Crash, seed: u64, started: u64) -> Result<Self, Failed> {
        let scratch = Scratch::new(options.dir.as_deref(), "crash")?;
        let producers = (0..options.producers).map(|index| Producer::new(seed.wrapping_add(started), index)).collect();
        Ok(Self { scratch, producers, owners: Vec::new(), started })
    }

    fn data_dir(&self) -> PathBuf {
        self.scratch.path().join("data")
    }

    /// The highest place that was acknowledged.
    fn last_seq(&self) -> u64 {
        (self.owners.len() as u64).saturating_sub(1)
    }

    /// Remembers whose each new place is: none may have two owners.
    fn settle(&mut self) -> Result<(), Violation> {
        for (index, producer) in (1_u64..).zip(&mut self.producers) {
            for (number, seq) in producer.fresh() {
                let place = usize::try_from(seq).unwrap_or(usize::MAX);
                if self.owners.len() <= place {
                    self.owners.resize(place + 1, 0);
                }
                let owner = index << 40 | number;
                match self.owners.get_mut(place) {
                    Some(before) if *before == 0 || *before == owner => *before = owner,
                    Some(before) => {
                        let (other, its) = ((*before >> 40) - 1, *before & ((1 << 40) - 1));
                        return Err(format!("seq {seq} is p{} {number}, and was p{other} {its}", index - 1));
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }
}

struct Tester<'a> {
    options: &'a Crash,
    draw: Draw,
    report: Report,
}

/// Kills until it has killed enough.
pub(crate) fn run(options: &Crash) -> Result<(), Failed> {
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seed = options.seed.unwrap_or(u64::try_from(clock.as_millis()).unwrap_or(0));
    println!("seed {seed}");
    let mut tester = Tester { options, draw: Draw::new(seed, 0, 0), report: Report::default() };
    let since = Instant::now();
    while tester.report.kills < options.kills && since.elapsed() < Duration::from_secs(options.seconds_max) {
        let mut life = Life::new(options, seed, tester.report.kills)?;
        if let Err(violation) = tester.live(&mut life, since) {
            life.scratch.keep();
            eprintln!(
                "VIOLATION after {} kills, seed {seed}, directory {}",
                tester.report.kills,
                life.scratch.path().display()
            );
            return Err(violation);
        }
        tester.report.add(&life.producers);
    }
    tester.report.scenarios = scenarios::run(options, seed).map_err(|error| format!("seed {seed}: {error}"))?;
    tester.report.print(since.elapsed());
    if tester.report.kills < options.kills {
        println!("\nStopped after {} s, before {} kills were done.", options.seconds_max, options.kills);
    }
    Ok(())
}

impl Tester<'_> {
    /// One directory, from its first start until it has seen enough.
    fn live(&mut self, life: &mut Life, since: Instant) -> Result<(), Failed> {
        let mut checked_at = self.report.kills;
        loop {
            self.cycle(life)?;
            let kills = self.report.kills;
            let enough = kills >= self.options.kills
                || kills - life.started >= self.options.life
                || since.elapsed() > Duration::from_secs(self.options.seconds_max);
            if enough || kills - checked_at >= self.options.check_every {
                self.check(life)?;
                checked_at = kills;
            }
            if enough {
                return Ok(());
            }
        }
    }

    /// How the daemon is started this time.
    fn start(&mut self, life: &Life) -> Start {
        let draw = &mut self.draw;
        let batches = [20, 200, 5_000].into_iter().nth(usize::try_from(draw.below(3)).unwrap_or(0)).unwrap_or(200);
        let start = Start {
            shards: u8::try_from(draw.within(1, 4)).unwrap_or(1),
            mark_interval_ms: draw.within(10, 200),
            ..Start::new(&self.options.binary, &life.data_dir())
        };
        start.with("--snapshot-batches", batches).with("--snapshots-kept", draw.within(2, 4))
    }

    /// Start, compare, traffic, end.
    fn cycle(&mut self, life: &mut Life) -> Result<(), Failed> {
        let start = self.start(life);
        // Sometimes it does not even come up.
        while self.draw.below(8) == 0 {
            let mut daemon = Daemon::spawn(&start)?;
            std::thread::sleep(Duration::from_micros(self.draw.below(self.report.recovery_micros())));
            if let Some(status) = daemon.ended()? {
                return Err(format!("it ended by itself with {status}; its log:\n{}", daemon.log()).into());
            }
            daemon.kill()?;
            self.report.killed("while it recovered");
        }
        let mut daemon = Daemon::spawn(&start)?;
        let ready = daemon.ready()?;
        self.report.recovered(ready, &daemon.log());
        self.sound(life, &daemon)?;
        let done = self.load(life, &mut daemon);
        done.map_err(|error| format!("{error}\nthe daemon's log:\n{}", daemon.log()))?;
        life.settle()?;
        Ok(())
    }

    /// What must hold after every restart, before anything new is sent.
    fn sound(&mut self, life: &mut Life, daemon: &Daemon) -> Result<(), Failed> {
        let (seq, _) = daemon.state()?;
        if seq < life.last_seq() {
            return Err(format!("seq {} was acknowledged, the daemon is at {seq}", life.last_seq()).into());
        }
        let balance = daemon.read("/v1/conservation?audit=true")?;
        if balance.get("holds").and_then(serde_json::Value::as_bool) != Some(true) {
            return Err(format!("conservation does not hold: {balance}").into());
        }
        list(daemon)?;
        let api = daemon.api()?;
        for producer in &mut life.producers {
            producer.reconcile(api)?;
        }
        life.settle()?;
        Ok(())
    }

    /// Traffic from everybody, and the end.
    fn load(&mut self, life: &mut Life, daemon: &mut Daemon) -> Result<(), Failed> {
        let (control, api) = (Control::default(), daemon.api()?);
        let ending = Ending::draw(&mut self.draw);
        std::thread::scope(|scope| {
            let running: Vec<_> =
                life.producers.iter_mut().map(|producer| scope.spawn(|| producer.traffic(api, &control))).collect();
            let ended = ending.end(daemon, &control, &mut self.draw);
            // However that went, everybody comes home.
            control.stop.store(true, std::sync::atomic::Ordering::SeqCst);
            control.down.store(true, std::sync::atomic::Ordering::SeqCst);
            if ended.is_err() {
                let _ = daemon.kill();
            }
            let mut outcome = ended;
            for thread in running {
                let done = thread.join().unwrap_or_else(|_| Err("a producer of the tester panicked".to_owned()));
                outcome = outcome.and_then(|()| Ok(done?));
            }
            outcome
        })?;
        if ending.kills() {
            self.report.killed(ending.name());
        } else {
            self.report.terminated += 1;
        }
        Ok(())
    }

    /// The directory from end to end.
    fn check(&mut self, life: &mut Life) -> Result<(), Failed> {
        let start = self.start(life);
        let mut daemon = Daemon::start(&start)?;
        self.sound(life, &daemon)?;
        daemon.stop()?;
        let checked = inspect::check(&start, &life.producers, life.scratch.path())?;
        self.report.checked(&checked);
        println!(
            "{} kills: {} commands in the journal, all that was acknowledged is there, every replay agrees",
            self.report.kills, checked.exported
        );
        Ok(())
    }
}

/// Lists the venue, or finds that it is listed: the same numbers every time.
fn list(daemon: &Daemon) -> Result<(), Failed> {
    let lines = workload::listing();
    let body: String =
        (1..).zip(&lines).map(|(number, line)| workload::numbered(line, "control", number) + "\n").collect();
    let reply = daemon.connect()?.commands(&body)?;
    if reply.status != 200 || reply.body.contains("\"code\"") {
        return Err(format!("the venue cannot be listed: status {}: {}", reply.status, reply.body).into());
    }
    Ok(())
}
