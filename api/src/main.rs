//! Backstop: the engine that stands behind a derivatives venue when prices crash.

mod cli;
mod daemon;
mod demo;
mod http;
mod play;
mod scenario;

use clap::Parser;
use std::process::ExitCode;

/// Exit codes, after sysexits: 0, 1 an expectation did not hold, 2 a file could not be read, and these.
mod exit {
    /// The command line or the input makes no sense.
    pub(crate) const USAGE: u8 = 64;
    /// The daemon had to stop.
    pub(crate) const SOFTWARE: u8 = 70;
    /// An address or a file cannot be used.
    pub(crate) const IO: u8 = 74;
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
    }
}
