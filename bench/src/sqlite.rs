//! The same journal in SQLite, to compare with: a write-ahead log that is synced at every commit, one row a batch. The row
//! holds the very record that the journal in files writes, so the chain of hashes is there as well.

use crate::Failed;
use backstop_actors::journal::record::{self, Kind};
use backstop_actors::journal::{Position, Written};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};
use std::path::Path;

/// A journal in SQLite.
pub(crate) struct SqliteJournal {
    db: Connection,
    last: Position,
}

fn connect(path: &Path) -> Result<Connection, Failed> {
    let db = Connection::open(path)?;
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(format!("SQLite stays in the mode {mode}").into());
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    Ok(db)
}

impl SqliteJournal {
    /// Begins one. Its table is in the database file when this returns, and the log is empty.
    pub(crate) fn begin(path: &Path) -> Result<Self, Failed> {
        let db = connect(path)?;
        db.execute_batch(
            "CREATE TABLE journal (batch INTEGER PRIMARY KEY, before BLOB NOT NULL, record BLOB NOT NULL) STRICT",
        )?;
        let journal = Self { db, last: Position::default() };
        journal.checkpoint()?;
        Ok(journal)
    }

    /// Leaves everything in the log until it is told otherwise.
    pub(crate) fn hold_back(&self) -> Result<(), Failed> {
        Ok(self.db.pragma_update(None, "wal_autocheckpoint", 0)?)
    }

    /// Moves everything from the log to the database file.
    pub(crate) fn checkpoint(&self) -> Result<(), Failed> {
        let busy: i64 = self.db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if busy == 0 { Ok(()) } else { Err("SQLite cannot empty its log".into()) }
    }

    /// Keeps a batch; it is safe when this returns.
    pub(crate) fn append(&mut self, commands: &[Written]) -> Result<Position, Failed> {
        let last_time = commands.iter().rev().find_map(|written| match written {
            Written::Command { time, .. } => Some(*time),
            Written::Refused { .. } => None,
        });
        let (bytes, position) = record::encode(Kind::Batch, &self.last, commands, last_time.unwrap_or_default())?;
        let mut insert = self.db.prepare_cached("INSERT INTO journal (batch, before, record) VALUES (?1, ?2, ?3)")?;
        insert.execute(params![i64::try_from(position.batch)?, self.last.hash, bytes])?;
        self.last = position;
        Ok(position)
    }

    /// Opens one as after a crash, has SQLite check it, follows the chain, and says where it stands. An error is damage
    /// that shows.
    pub(crate) fn examine(path: &Path) -> Result<Position, Failed> {
        let db = connect(path)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        let verdict: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(verdict.into());
        }
        let mut last = Position::default();
        let mut select = db.prepare("SELECT batch, before, record FROM journal ORDER BY batch")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (batch, before, bytes): (i64, [u8; 32], Vec<u8>) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (record, taken) = record::decode(&bytes)?;
            let position = record.position;
            let named = u64::try_from(batch)? == position.batch && before == record.before && taken == bytes.len();
            let follows =
                position.batch == last.batch + 1 && record.before == last.hash && record.first == last.seq + 1;
            if !named || !follows {
                return Err(format!("batch {batch} does not follow the one before it").into());
            }
            last = position;
        }
        Ok(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn what_is_kept_is_found_again() {
        let scratch = Scratch::new(None, "sqlite").unwrap();
        let path = scratch.path().join("journal.db");
        let mut journal = SqliteJournal::begin(&path).unwrap();
        let first = journal.append(&[]).unwrap();
        assert_eq!(SqliteJournal::examine(&path).unwrap(), first);
        let second = journal.append(&[]).unwrap();
        drop(journal);
        assert_eq!(SqliteJournal::examine(&path).unwrap(), second);
    }
}
