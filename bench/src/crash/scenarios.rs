//! What else can go wrong with a directory: somebody else has it, nobody may write to it, or the disk is full.

use super::producer::{Control, Producer};
use super::{Crash, list};
use crate::Failed;
use crate::daemon::{Daemon, PATIENCE, Start};
use crate::scratch::Scratch;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Corrupt data, I/O, configuration.
const IO: i32 = 74;
const CONFIGURATION: i32 = 78;
/// Megabytes of the small disk, and what it grows to when space is made.
const SMALL_MB: u64 = 24;
const LARGE_MB: u64 = 512;
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
    let mut told = vec![("a second daemon on the directory", second(options)?)];
    let skipped = || "skipped: mounting a small disk is not allowed here".to_owned();
    match Tmpfs::mount(options.dir.as_deref(), SMALL_MB)? {
        Some(disk) => told.push(("a directory that cannot be written to", read_only(options, &disk)?)),
        None => told.push(("a directory that cannot be written to", skipped())),
    }
    for (name, free) in [("a full disk, commands turned away before", 8), ("a full disk, to the last byte", 0)] {
        match Tmpfs::mount(options.dir.as_deref(), SMALL_MB)? {
            Some(disk) => told.push((name, full_disk(options, seed, &disk, free)?)),
            None => told.push((name, skipped())),
        }
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
    let start = Start::new(&options.binary, &disk.0.path().join("data"));
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

/// Traffic until the disk is full; then space is made, and nothing acknowledged may be missing.
fn full_disk(options: &Crash, seed: u64, disk: &Tmpfs, free: u64) -> Result<String, Failed> {
    let start = Start { mark_interval_ms: 50, ..Start::new(&options.binary, &disk.0.path().join("data")) };
    let start = start.with("--min-free-mb", free);
    let mut daemon = Daemon::start(&start)?;
    list(&daemon)?;
    let mut producer = Producer::new(seed, 0);
    let (control, api, since) = (Control::default(), daemon.api()?, Instant::now());
    // It ends when it was turned away too often, or when the daemon is gone.
    let mut ended = None;
    std::thread::scope(|scope| -> Result<(), Failed> {
        let running = scope.spawn(|| producer.traffic(api, &control));
        while !running.is_finished() && since.elapsed() < FILLING {
            std::thread::sleep(Duration::from_millis(20));
            ended = daemon.ended()?;
            if ended.is_some() {
                control.down.store(true, Ordering::SeqCst);
            }
        }
        control.stop.store(true, Ordering::SeqCst);
        Ok(running.join().unwrap_or_else(|_| Err("a producer of the tester panicked".to_owned()))?)
    })?;
    let (answered, turned) = (producer.tally.answered, producer.tally.turned_away.clone());
    let what = match ended {
        Some(status) if status.code() == Some(IO) => format!("stopped with {IO}"),
        Some(status) => return Err(format!("a full disk ended it with {status}: {}", daemon.log()).into()),
        None if turned.is_empty() => return Err(format!("the disk was not full after {FILLING:?}").into()),
        None => format!("turned away with {}", turned.keys().cloned().collect::<Vec<_>>().join(", ")),
    };
    // Still there to be read, even now.
    if ended.is_none() {
        daemon.state()?;
        daemon.kill()?;
    }
    disk.remount(&format!("size={LARGE_MB}m"))?;
    let mut daemon = Daemon::start(&start)?;
    let api = daemon.api()?;
    producer.reconcile(api)?;
    let control = Control::default();
    std::thread::scope(|scope| -> Result<(), Failed> {
        let running = scope.spawn(|| producer.traffic(api, &control));
        std::thread::sleep(Duration::from_millis(200));
        control.stop.store(true, Ordering::SeqCst);
        Ok(running.join().unwrap_or_else(|_| Err("a producer of the tester panicked".to_owned()))?)
    })?;
    if producer.tally.answered == answered {
        return Err("nothing is taken though there is space again".into());
    }
    daemon.stop()?;
    Ok(format!("{what} after {answered} commands; with space again all of them are there, and it goes on"))
}
