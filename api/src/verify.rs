//! `backstop verify`: checks an export without the daemon, and names the first line that does not hold.

use crate::cli::Verify;
use backstop_engine::proof::{Fault, PublicKey, read_public_key, verify_export};
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Why it cannot be said to hold.
#[derive(Debug, thiserror::Error)]
enum VerifyError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("a public key is 64 hexadecimal digits, or a file that holds them")]
    Key,
    #[error("it does not hold: {0}")]
    Fault(#[from] Fault),
}

/// 0 when everything holds, 65 when something does not.
pub(crate) fn run(options: &Verify) -> ExitCode {
    crate::ended(check(options), |error| match error {
        VerifyError::Io { .. } => crate::exit::IO,
        VerifyError::Key => crate::exit::USAGE,
        VerifyError::Fault(_) => crate::exit::CORRUPT,
    })
}

fn key(text: &str) -> Result<PublicKey, VerifyError> {
    let held = || std::fs::read_to_string(text).ok().and_then(|text| read_public_key(text.trim()));
    read_public_key(text).or_else(held).ok_or(VerifyError::Key)
}

fn check(options: &Verify) -> Result<(), VerifyError> {
    let key = options.key.as_deref().map(key).transpose()?;
    let summary = if options.export == Path::new("-") {
        verify_export(io::stdin().lock(), key.as_ref())?
    } else {
        let path = &options.export;
        let file = File::open(path).map_err(|error| VerifyError::Io { path: path.clone(), error })?;
        verify_export(BufReader::new(file), key.as_ref())?
    };
    println!("{}", serde_json::to_string(&summary).unwrap_or_default());
    if key.is_none() {
        eprintln!(
            "backstop: everything holds together, and is signed by the key that the export names; give --key to hold it to the venue's"
        );
    }
    Ok(())
}
