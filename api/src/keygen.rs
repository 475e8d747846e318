//! `backstop key`: a new API key, and the lines of the configuration that take it.

use crate::cli::{Key, Role};
use crate::{config, http};
use backstop_engine::fund::hex;
use sha2::{Digest, Sha256};
use std::process::ExitCode;

/// Would the configuration take it?
fn taken(options: &Key) -> Result<(), String> {
    let role = match options.role {
        Role::Account => config::Role::Account,
        Role::Venue => config::Role::Venue,
        Role::Operator => config::Role::Operator,
    };
    let key = config::Key {
        id: options.id.clone(),
        role,
        account: options.account.clone(),
        secret_file: Some("…".into()),
        token_sha256: None,
        expires: None,
    };
    http::Keys::check(&[key])
}

/// Prints it. Nothing is written anywhere else.
pub(crate) fn run(options: &Key) -> ExitCode {
    if let Err(reason) = taken(options) {
        eprintln!("backstop: {reason}");
        return ExitCode::from(crate::exit::USAGE);
    }
    let mut secret = [0; 32];
    if getrandom::fill(&mut secret).is_err() {
        eprintln!("backstop: the system has no randomness to give");
        return ExitCode::from(crate::exit::IO);
    }
    let secret = hex(&secret);
    let role = match options.role {
        Role::Account => "account",
        Role::Venue => "venue",
        Role::Operator => "operator",
    };
    let account = options.account.as_ref().map(|account| format!("account = \"{account}\"\n")).unwrap_or_default();
    let (what, line) = if options.token {
        let hash = hex(&Sha256::digest(secret.as_bytes()));
        ("the token, shown once: Authorization: Bearer …", format!("token_sha256 = \"{hash}\""))
    } else {
        ("the secret, to be put into the file below and given to the client", "secret_file = \"…\"".to_owned())
    };
    println!(
        "# {what}\n{secret}\n\n# for the configuration\n[[keys]]\nid = \"{}\"\nrole = \"{role}\"\n{account}{line}",
        options.id
    );
    ExitCode::SUCCESS
}
