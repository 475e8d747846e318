//! PostgreSQL doing the same settlement: an account, three rows of the ledger, the fund's row. A private cluster on a
//! socket of its own, `fsync` and `synchronous_commit` on; one statement a transaction, so no round trip is wasted.

use super::contest::Contest;
use crate::Failed;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

/// One settlement to a transaction.
pub(super) const SINGLY: &str = "PostgreSQL, one settlement to a transaction";
/// Many at once, which is its best case.
pub(super) const SET: &str = "PostgreSQL, set-based";

const TABLES: &str = "
CREATE TABLE account (id int PRIMARY KEY, balance numeric NOT NULL) WITH (fillfactor = 50);
CREATE TABLE ledger (entry bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL, kind int NOT NULL,
                     amount numeric NOT NULL, balance numeric NOT NULL);
CREATE TABLE fund (id int PRIMARY KEY, cash numeric NOT NULL) WITH (fillfactor = 10);
INSERT INTO account SELECT id, 1000000 FROM generate_series(1, 50000) id;
INSERT INTO fund VALUES (1, 0);
";

const ONE: &str = r"\set id random(1, 50000)
\set paid random(1, 1000)
WITH a AS (UPDATE account SET balance = balance - :paid WHERE id = :id RETURNING balance), l AS (INSERT INTO ledger (account, kind, amount, balance) SELECT :id, kind, :paid, a.balance FROM a, generate_series(1, 3) kind) UPDATE fund SET cash = cash + :paid WHERE id = 1;
";

/// Statements of each size: the server sees another one each time, as it would from a client that has something to say.
const STATEMENTS: u64 = 16;

/// A set of settlements as a client sends it: who and how much, decided elsewhere.
fn many(size: u32, seed: u64) -> String {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut accounts = BTreeSet::new();
    while accounts.len() < size as usize {
        accounts.insert(random.next_u32() % 50_000 + 1);
    }
    let listed = |numbers: &mut dyn Iterator<Item = u32>| numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let ids = listed(&mut accounts.iter().copied());
    let amounts = listed(&mut accounts.iter().map(|_| random.next_u32() % 1_000 + 1));
    format!(
        "WITH s AS (SELECT * FROM unnest('{{{ids}}}'::int[], '{{{amounts}}}'::numeric[]) AS s (id, paid)), a AS (UPDATE account SET balance = balance - s.paid FROM s WHERE account.id = s.id RETURNING account.id, account.balance, s.paid), l AS (INSERT INTO ledger (account, kind, amount, balance) SELECT a.id, kind, a.paid, a.balance FROM a, generate_series(1, 3) kind) UPDATE fund SET cash = cash + (SELECT sum(paid) FROM a) WHERE id = 1;\n"
    )
}

/// A cluster of its own; stopped and removed when dropped.
pub(super) struct Cluster {
    programs: PathBuf,
    home: PathBuf,
    user: Option<String>,
}

/// Where `initdb` is: as told, the newest of the usual places, or the search path.
fn programs(told: Option<&Path>) -> Option<PathBuf> {
    let usual = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = usual.map(|entry| entry.path().join("bin")).collect();
    found.sort();
    found.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = told.map(Path::to_path_buf).into_iter().collect();
    if told.is_none() {
        places.extend(found);
        places.extend(std::env::split_paths(&path));
    }
    places.into_iter().find(|place| place.join("initdb").is_file() && place.join("pg_ctl").is_file())
}

/// Nobody may run PostgreSQL as root: whom to be instead.
fn user() -> Result<Option<String>, Failed> {
    let own = Command::new("id").arg("-u").output()?;
    if String::from_utf8_lossy(&own.stdout).trim() != "0" {
        return Ok(None);
    }
    let there = Command::new("id").args(["-u", "postgres"]).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(Some(if there.success() { "postgres" } else { "nobody" }.to_owned()))
}

impl Cluster {
    /// Makes and starts one. None where PostgreSQL is not installed.
    pub(super) fn start(told: Option<&Path>, dir: &Path) -> Result<Option<Rc<Self>>, Failed> {
        let Some(programs) = programs(told) else { return Ok(None) };
        let home = dir.join("postgres");
        std::fs::create_dir_all(&home)?;
        let cluster = Self { programs, home, user: user()? };
        if let Some(user) = &cluster.user {
            done(Command::new("chown").arg(user).arg(&cluster.home))?;
        }
        let data = cluster.home.join("data");
        let mut initdb = cluster.command("initdb");
        done(initdb.arg("-D").arg(&data).args(["-A", "trust", "-U", "bench", "-E", "UTF8", "--locale=C"]))?;
        let socket = cluster.home.display();
        let settings = format!(
            "-k {socket} -c listen_addresses= -c fsync=on -c synchronous_commit=on -c full_page_writes=on \
             -c shared_buffers=512MB -c max_wal_size=8GB -c checkpoint_timeout=30min -c max_connections=50"
        );
        let mut control = cluster.command("pg_ctl");
        control.arg("-D").arg(&data).arg("-l").arg(cluster.home.join("log")).args(["-w", "-o", &settings, "start"]);
        // The server inherits what is open: nothing that anybody waits for.
        let status = control.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("PostgreSQL does not start: {status}").into());
        }
        cluster.sql(TABLES)?;
        Ok(Some(Rc::new(cluster)))
    }

    /// A program of PostgreSQL, as somebody who may run it.
    fn command(&self, program: &str) -> Command {
        let own = self.programs.join(program);
        let path = if own.is_file() { own } else { PathBuf::from(program) };
        let mut command = match &self.user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid", user, "--regid", user, "--clear-groups", "--"]).arg(path);
                command
            }
            None => Command::new(path),
        };
        command.current_dir(&self.home).stdin(Stdio::null());
        command
    }

    fn sql(&self, text: &str) -> Result<(), Failed> {
        let mut psql = self.command("psql");
        done(psql.arg("-h").arg(&self.home).args([
            "-U",
            "bench",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-c",
            text,
            "postgres",
        ]))?;
        Ok(())
    }

    /// Transactions a second of some scripts, of which each transaction takes one.
    fn measure(&self, scripts: &[String], clients: usize, seconds: u64) -> Result<f64, Failed> {
        self.sql("TRUNCATE ledger")?;
        self.sql("VACUUM account, fund")?;
        self.sql("CHECKPOINT")?;
        let (clients, threads, time) = (clients.to_string(), clients.min(2).to_string(), seconds.to_string());
        let mut bench = self.command("pgbench");
        bench.arg("-h").arg(&self.home).args([
            "-U",
            "bench",
            "-n",
            "-M",
            if scripts.len() > 1 { "simple" } else { "prepared" },
            "--max-tries=20",
        ]);
        bench.args(["-c", &clients, "-j", &threads, "-T", &time]);
        for (number, script) in scripts.iter().enumerate() {
            let file = self.home.join(format!("script-{number}.sql"));
            std::fs::write(&file, script)?;
            bench.arg("-f").arg(&file);
        }
        bench.arg("postgres");
        let text = done(&mut bench)?;
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(' ').next()?.parse().ok());
        rate.ok_or_else(|| format!("pgbench says no rate: {text}").into())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut control = self.command("pg_ctl");
        let _ = control.arg("-D").arg(self.home.join("data")).args(["-m", "immediate", "stop"]).output();
    }
}

/// Runs a command to its end; what it printed.
fn done(command: &mut Command) -> Result<String, Failed> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into())
}

/// Enters its ways.
pub(super) fn enter(contest: &mut Contest, cluster: &Rc<Cluster>, seconds: u64) {
    for clients in [1, 8, 32] {
        let cluster = Rc::clone(cluster);
        contest
            .enter(SINGLY, format!("{clients} clients"), move || cluster.measure(&[ONE.to_owned()], clients, seconds));
    }
    for size in [100_u32, 1_000] {
        for clients in [1, 8] {
            let how =
                format!("{} settlements to a transaction, {clients} clients", crate::figures::grouped(size.into()));
            let scripts: Vec<String> = (0..STATEMENTS).map(|seed| many(size, seed)).collect();
            let cluster = Rc::clone(cluster);
            contest.enter(SET, how, move || Ok(cluster.measure(&scripts, clients, seconds)? * f64::from(size)));
        }
    }
}
