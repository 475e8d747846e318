//! What else can go wrong with a directory: somebody else has it, nobody may write to it, or the disk is full.

use super::inspect;
use super::producer::{Control, Producer, Violation};
use super::{Crash, list};
use crate::Failed;
use crate::daemon::{Daemon, PATIENCE, Start};
use crate::scratch::Scratch;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::Ordering;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

/// I/O, and configuration.
const IO: i32 = 74;
const CONFIGURATION: i32 = 78;
/// Megabytes of the small disk, and what is free on it before it is full.
const DISK_MB: u64 = 96;
const FREE_MB: u64 = 3;
/// Longest time until a small disk is full.
const FILLING: Duration = Duration::from_secs(60);

/// A file system in memory; unmounted when dropped.
struct Tmpfs(Scratch);

impl Tmpfs {
    /// Of a size. None where mounting is not allowed.
    fn mount(base: Option<&Path>, mb: u64) -> Result<Option<Self>, Failed> {
        let scratch = Scratch::new(base, "disk")?;
        let done = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={mb}m"), "tmpfs"])
            .arg(scratch.path())
            .output();
        Ok(done.is_ok_and(|output| output.status.success()).then_some(Self(scratch)))
    }

    /// Takes all but so much of it away; gone when the file is.
    fn take_away(&self, leaving_mb: u64) -> Result<PathBuf, Failed> {
        let (path, block) = (self.0.path().join("ballast"), vec![7; 1 << 20]);
        let mut file = std::fs::File::create(&path)?;
        for _ in leaving_mb..DISK_MB {
            file.write_all(&block)?;
        }
        Ok(path)
    }

    fn remount(&self, options: &str) -> Result<(), Failed> {
        let done = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(self.0.path()).status()?;
        if done.success() { Ok(()) } else { Err(format!("cannot remount with {options}").into()) }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// All of them; what became of each.
pub(super) fn run(options: &Crash, seed: u64) -> Result<Vec<(&'static str, String)>, Failed> {
    let mut told = Vec::new();
    let mut tell = |name: &'static str, done: Result<Option<String>, Failed>| -> Result<(), Failed> {
        let outcome = done.map_err(|error| format!("{name}: {error}"))?;
        told.push((name, outcome.unwrap_or_else(|| "skipped: mounting a small disk is not allowed here".to_owned())));
        Ok(())
    };
    let disk = || Tmpfs::mount(options.dir.as_deref(), DISK_MB);
    tell("a second daemon on the directory", second(options).map(Some))?;
    tell("a directory that cannot be written to", disk()?.map(|disk| read_only(options, &disk)).transpose())?;
    for (name, free) in [("a full disk, commands turned away before", 8), ("a full disk, to the last byte", 0)] {
        tell(name, disk()?.map(|disk| full_disk(options, seed, &disk, free)).transpose())?;
    }
    for (name, outcome) in told.iter().filter(|(_, outcome)| outcome.starts_with("skipped")) {
        eprintln!("{name}: {outcome}");
    }
    Ok(told)
}

/// It must end by itself, with one of these codes and a sentence.
fn refuses(start: &Start, codes: &[i32]) -> Result<String, Failed> {
    let mut daemon = Daemon::spawn(start)?;
    let status = daemon.wait(PATIENCE)?;
    let log = daemon.log();
    let code = status.and_then(|status| status.code());
    let sentence = log.lines().next_back().unwrap_or_default().trim().to_owned();
    if code.is_none_or(|code| !codes.contains(&code)) || sentence.is_empty() {
        return Err(format!("it must not start ({codes:?}), and ended with {status:?}: {log}").into());
    }
    Ok(format!("refused with {}", code.unwrap_or_default()))
}

fn second(options: &Crash) -> Result<String, Failed> {
    let scratch = Scratch::new(options.dir.as_deref(), "second")?;
    let start = Start::new(&options.binary, &scratch.path().join("data"));
    let mut first = Daemon::start(&start)?;
    let told = refuses(&start, &[CONFIGURATION])?;
    list(&first)?;
    first.stop()?;
    Ok(format!("{told}; the first goes on"))
}

fn read_only(options: &Crash, disk: &Tmpfs) -> Result<String, Failed> {
    let start = Start::new(&options.binary, &disk.0.path().join("data")).with("--min-free-mb", 0);
    let mut daemon = Daemon::start(&start)?;
    list(&daemon)?;
    let state = daemon.state()?;
    daemon.stop()?;
    disk.remount("ro")?;
    let told = refuses(&start, &[IO, CONFIGURATION])?;
    let fresh = Start::new(&options.binary, &disk.0.path().join("fresh"));
    refuses(&fresh, &[IO, CONFIGURATION])?;
    disk.remount("rw")?;
    let mut daemon = Daemon::start(&start)?;
    if daemon.state()? != state {
        return Err("the state is another after the directory could not be written to".into());
    }
    daemon.stop()?;
    Ok(told)
}

/// Traffic of everybody, until it is turned away or took long enough. How the daemon ended, if it did.
fn traffic(daemon: &mut Daemon, producers: &mut [Producer], longest: Duration) -> Result<Option<ExitStatus>, Failed> {
    let (control, api, since) = (Control::default(), daemon.api()?, Instant::now());
    let mut ended = None;
    std::thread::scope(|scope| {
        let control = &control;
        let running: Vec<_> =
            producers.iter_mut().map(|producer| scope.spawn(move || producer.traffic(api, control))).collect();
        // A producer ends when it was turned away too often, or when the daemon is gone.
        while !running.iter().all(ScopedJoinHandle::is_finished) && since.elapsed() < longest {
            std::thread::sleep(Duration::from_millis(10));
            if ended.is_none() {
                ended = daemon.ended()?;
            }
            control.down.store(ended.is_some(), Ordering::SeqCst);
        }
        control.stop.store(true, Ordering::SeqCst);
        let join = |thread: ScopedJoinHandle<'_, Result<(), Violation>>| {
            Ok(thread.join().unwrap_or_else(|_| Err("a producer of the tester panicked".to_owned()))?)
        };
        running.into_iter().try_for_each(join)
    })
    .map(|()| ended)
}

fn answered(producers: &[Producer]) -> u64 {
    producers.iter().map(|producer| producer.tally.answered).sum()
}

/// Traffic until the disk is full; then space is made, and nothing acknowledged may be missing.
fn full_disk(options: &Crash, seed: u64, disk: &Tmpfs, min_free: u64) -> Result<String, Failed> {
    let start = Start { mark_interval_ms: 50, ..Start::new(&options.binary, &disk.0.path().join("data")) };
    let start = start.with("--min-free-mb", min_free);
    let ballast = disk.take_away(min_free + FREE_MB)?;
    let mut daemon = Daemon::start(&start)?;
    list(&daemon)?;
    let mut producers: Vec<Producer> = (0..4).map(|index| Producer::new(seed, index)).collect();
    let ended = traffic(&mut daemon, &mut producers, FILLING)?;
    let full = answered(&producers);
    let codes: BTreeSet<String> =
        producers.iter().flat_map(|producer| producer.tally.turned_away.keys().cloned()).collect();
    let what = match ended {
        Some(status) if status.code() == Some(IO) => format!("stopped with {IO}"),
        Some(status) => return Err(format!("a full disk ended it with {status}: {}", daemon.log()).into()),
        None if codes.is_empty() => return Err(format!("the disk was not full after {FILLING:?}").into()),
        None => format!("turned away with {}", codes.into_iter().collect::<Vec<_>>().join(", ")),
    };
    let mut goes_on = "it goes on after a restart";
    if ended.is_none() {
        // Still there to be read, and with space again it takes commands as before.
        daemon.state()?;
        std::fs::remove_file(&ballast)?;
        std::thread::sleep(Duration::from_secs(2));
        traffic(&mut daemon, &mut producers, Duration::from_millis(500))?;
        if answered(&producers) == full {
            return Err(format!("nothing is taken though there is space again: {}", daemon.log()).into());
        }
        goes_on = "it goes on, and after a restart";
        daemon.kill()?;
    } else {
        // Full as it is, it may come up or say why not; nothing may be lost by trying.
        let mut again = Daemon::spawn(&start)?;
        let _ = again.wait(Duration::from_secs(2))?;
        drop(again);
        std::fs::remove_file(&ballast)?;
    }
    let mut daemon = Daemon::start(&start)?;
    for producer in &mut producers {
        producer.reconcile(daemon.api()?)?;
    }
    let before = answered(&producers);
    traffic(&mut daemon, &mut producers, Duration::from_millis(500))?;
    if answered(&producers) == before {
        return Err("nothing is taken though there is space again".into());
    }
    daemon.stop()?;
    inspect::check(&start, &producers, disk.0.path())?;
    Ok(format!("{what} after {full} commands; with space again all of them are there, and {goes_on}"))
}
