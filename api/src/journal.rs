//! `backstop journal`: what is in a journal, checked and shown. It changes nothing.

use crate::cli::{Export, Journal, Look};
use crate::store;
use backstop_actors::data_dir::{DataDir, DataError};
use backstop_actors::journal::{self, Cut, Found, JournalError, Position, Written};
use backstop_engine::command::Envelope;
use backstop_engine::flow::Stop;
use backstop_engine::fund::hex;
use backstop_engine::reference::{Options, Reference};
use backstop_engine::reject::Reject;
use serde_json::json;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

/// Why a journal could not be shown to its end.
#[derive(Debug, thiserror::Error)]
enum ShowError {
    #[error(transparent)]
    Data(#[from] DataError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("cannot write the result: {0}")]
    Out(#[from] io::Error),
    #[error("the journal does not fit this program: {0}")]
    Refused(Reject),
    #[error("the journal does not fit this program: {0}")]
    Stopped(#[from] Stop),
}

impl ShowError {
    fn code(&self) -> u8 {
        match self {
            Self::Data(error) => store::code(error),
            Self::Journal(error) => store::journal_code(error),
            Self::Out(_) => crate::exit::IO,
            Self::Refused(_) | Self::Stopped(_) => crate::exit::CORRUPT,
        }
    }
}

/// Does it: 0, 65 when the journal is damaged.
pub(crate) fn run(what: &Journal) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match what {
        Journal::Verify(look) => verify(look, &mut out),
        Journal::Inspect(look) => inspect(look, &mut out),
        Journal::Export(Export { look, events: false }) => commands(look, &mut out),
        Journal::Export(Export { look, events: true }) => events(look, &mut out),
    };
    let done = done.and_then(|()| Ok(out.flush()?));
    match done {
        // Whoever reads has seen enough.
        Err(ShowError::Out(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        done => crate::ended(done, ShowError::code),
    }
}

/// Every record, with its commands.
fn each(
    look: &Look,
    mut take: impl FnMut(&Found<'_>, Vec<Written>) -> Result<(), ShowError>,
) -> Result<(Position, Option<Cut>), ShowError> {
    let data = DataDir::look(&look.data_dir)?;
    journal::read(data.disk().as_ref(), &data.journal(), &Position::default(), |found| {
        let commands = found.commands()?;
        take(&found, commands)
    })
}

fn verify(look: &Look, out: &mut impl Write) -> Result<(), ShowError> {
    let (mut commands, mut refused) = (0_u64, 0_u64);
    let (end, cut) = each(look, |_, written| {
        for one in written {
            let count = if one.is_command() { &mut commands } else { &mut refused };
            *count = count.saturating_add(1);
        }
        Ok(())
    })?;
    if let Some(Cut { path, offset, bytes, damage }) = cut {
        let file = path.display();
        writeln!(
            out,
            "{file}: {bytes} bytes at offset {offset} are a write that was never acknowledged ({damage}); the next start cuts them"
        )?;
    }
    writeln!(
        out,
        "sound: {} batches, {commands} commands up to sequence number {}, {refused} numbers used by refusals\nhash {}",
        end.batch,
        end.seq,
        hex(&end.hash)
    )?;
    Ok(())
}

fn inspect(look: &Look, out: &mut impl Write) -> Result<(), ShowError> {
    each(look, |found, commands| {
        let record = &found.record;
        let line = json!({
            "batch": record.position.batch,
            "kind": record.kind,
            "first": record.first,
            "last": record.position.seq,
            "time": record.time,
            "commands": commands.iter().filter(|written| written.is_command()).count(),
            "refused": commands.iter().filter(|written| !written.is_command()).count(),
            "bytes": record.payload.len(),
            "file": found.path,
            "offset": found.offset,
            "hash": hex(&record.position.hash),
        });
        Ok(writeln!(out, "{line}")?)
    })?;
    Ok(())
}

/// The command as it came.
fn envelope(written: Written) -> Option<Envelope> {
    let Written::Command { time, command, numbered } = written else { return None };
    let (producer, number) = numbered.map(|numbered| (numbered.producer, numbered.number)).unzip();
    Some(Envelope { command, time: Some(time), producer, number })
}

fn commands(look: &Look, out: &mut impl Write) -> Result<(), ShowError> {
    each(look, |_, commands| {
        for envelope in commands.into_iter().filter_map(envelope) {
            writeln!(out, "{}", envelope.to_json())?;
        }
        Ok(())
    })?;
    Ok(())
}

fn events(look: &Look, out: &mut impl Write) -> Result<(), ShowError> {
    let mut engine = Reference::new(Options { shards: 1, shows_accounts: false });
    each(look, |_, commands| {
        let mut entries = Vec::with_capacity(commands.len());
        for Envelope { command, time, .. } in commands.into_iter().filter_map(envelope) {
            entries.push(engine.admit(&command, time.unwrap_or_default()).map_err(ShowError::Refused)?);
        }
        for event in engine.apply(entries)?.entries.iter().flat_map(|entry| &entry.events) {
            serde_json::to_writer(&mut *out, event).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
        Ok(())
    })?;
    Ok(())
}
