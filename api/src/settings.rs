//! `backstop config`: can the configuration be used, and where does each value come from?

use crate::cli;
use crate::config::{self, Config};
use std::process::ExitCode;

/// `backstop config check|print`.
pub(crate) fn run(what: &cli::Config) -> ExitCode {
    let done = match what {
        cli::Config::Check(flags) => {
            Config::load(flags).and_then(|config| crate::http::check(&config)).map(|()| println!("ok"))
        }
        cli::Config::Print(flags) => config::settings(flags).map(|settings| {
            let width = settings.iter().map(|setting| setting.name.len().saturating_add(setting.value.len())).max();
            for config::Setting { name, value, origin } in settings {
                let pad = width.unwrap_or(0).saturating_sub(name.len().saturating_add(value.len()));
                println!("{name} = {value}{:pad$}  # {origin}", "");
            }
        }),
    };
    crate::ended(done, |_| crate::exit::CONFIG)
}
