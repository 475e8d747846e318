//! Backstop: the engine that stands behind a derivatives venue when prices crash.

mod cli;
mod config;
mod daemon;
mod demo;
mod http;
mod journal;
mod keygen;
mod offline;
mod play;
mod report;
mod scenario;
mod seal;
mod settings;
mod store;
mod verify;

use clap::Parser;
use std::process::ExitCode;

/// Exit codes, after sysexits: 0, 1 an expectation did not hold, 2 a file could not be read, and these.
mod exit {
    /// The command line or the input makes no sense.
    pub(crate) const USAGE: u8 = 64;
    /// What was kept is damaged, or does not fit together.
    pub(crate) const CORRUPT: u8 = 65;
    /// The daemon had to stop.
    pub(crate) const SOFTWARE: u8 = 70;
    /// An address or a file cannot be used.
    pub(crate) const IO: u8 = 74;
    /// The configuration cannot be served: a directory that is in use, of something else, or of a newer version.
    pub(crate) const CONFIG: u8 = 78;
}

/// The end of a command that stands alone: 0, or the reason on standard error and its code.
fn ended<E: std::fmt::Display>(done: Result<(), E>, code: impl FnOnce(&E) -> u8) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("backstop: {error}");
            ExitCode::from(code(&error))
        }
    }
}

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match cli.command.unwrap_or(cli::Command::Serve(cli.serve)) {
        cli::Command::Serve(options) => daemon::serve(&options),
        cli::Command::Demo(options) => play::demo(options),
        cli::Command::Run(options) => scenario::run(&options),
        cli::Command::Journal(what) => journal::run(&what),
        cli::Command::Snapshot(options) => offline::snapshot(&options),
        cli::Command::Reindex(options) => offline::reindex(&options),
        cli::Command::Verify(options) => verify::run(&options),
        cli::Command::Report(options) => report::run(&options),
        cli::Command::Config(what) => settings::run(&what),
        cli::Command::Key(options) => keygen::run(&options),
    }
}
