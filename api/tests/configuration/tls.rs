//! The API over TLS: a certificate of its own, nothing in the clear beside it, and files that cannot be used.

use crate::common::{Daemon, PATIENCE, Scratch, code, ended, text};
use crate::crash;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// A certificate of this machine, and its key.
struct Pair {
    certificate: Scratch,
    key: Scratch,
    der: CertificateDer<'static>,
}

fn pair() -> Pair {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let certificate = Scratch::new("certificate.pem", cert.pem());
    let key = Scratch::new("key.pem", signing_key.serialize_pem());
    Pair { certificate, key, der: cert.der().clone() }
}

fn lines(certificate: &str, key: &str) -> String {
    format!("[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n")
}

fn served(pair: &Pair) -> Daemon {
    Daemon::configured(&Scratch::new("config.toml", lines(pair.certificate.path(), pair.key.path())))
}

/// A connection that trusts one certificate.
fn connected(
    daemon: &Daemon,
    trusted: &CertificateDer<'static>,
    name: &str,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = versions.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), daemon.connect())
}

/// Sends a request and reads until the end.
fn answered(stream: &mut (impl Read + Write), request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    // The end of the answer is the end of the connection, in good order.
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8(answer).unwrap())
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn post(body: &str) -> String {
    format!(
        "POST /v1/commands HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

#[test]
fn the_api_is_served_with_the_certificate_and_admin_in_the_clear() {
    let pair = pair();
    let daemon = served(&pair);
    for name in ["localhost", "127.0.0.1"] {
        let answer = answered(&mut connected(&daemon, &pair.der, name), &get("/v1/status")).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("state_hash"), "{answer}");
        assert!(answer.contains("strict-transport-security: max-age=31536000"), "{answer}");
    }
    let answer = answered(&mut connected(&daemon, &pair.der, "localhost"), &post(crash::OPENED.trim_start())).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("{\"seq\":30,"), "{answer}");
    let refused = answered(&mut connected(&daemon, &pair.der, "localhost"), &get("/v1/accounts/nobody")).unwrap();
    assert!(refused.starts_with("HTTP/1.1 404 ") && refused.contains("strict-transport-security"), "{refused}");
    let ready = daemon.admin("/readyz");
    assert_eq!((ready.status, ready.header("strict-transport-security")), (200, ""));
}

#[test]
fn nobody_reads_it_in_the_clear_or_with_another_certificate() {
    let (pair, other) = (pair(), pair());
    let daemon = served(&pair);
    let mut plain = daemon.connect();
    let mut answer = Vec::new();
    plain.write_all(get("/v1/markets").as_bytes()).unwrap();
    // An alert of TLS, or nothing.
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP"), "{answer:?}");
    assert!(answered(&mut connected(&daemon, &other.der, "localhost"), &get("/v1/markets")).is_err());
    assert!(answered(&mut connected(&daemon, &pair.der, "venue.example"), &get("/v1/markets")).is_err());
    // None of it has done harm.
    assert!(answered(&mut connected(&daemon, &pair.der, "localhost"), &get("/v1/markets")).is_ok());
    // A handshake that does not go on ends in time, and holds nobody up.
    let _silent: Vec<TcpStream> = (0..20).map(|_| daemon.connect()).collect();
    let began = std::time::Instant::now();
    assert!(answered(&mut connected(&daemon, &pair.der, "localhost"), &get("/v1/markets")).is_ok());
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn files_that_cannot_be_used_end_it_with_78_and_their_name() {
    let (pair, other) = (pair(), pair());
    let (absent, empty) = (Scratch::absent("absent.pem"), Scratch::new("empty.pem", ""));
    let garbage = Scratch::new("garbage.pem", "-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n");
    let (certificate, key) = (pair.certificate.path(), pair.key.path());
    let wrong = [
        (absent.path(), key, "absent.pem"),
        (certificate, absent.path(), "absent.pem"),
        (empty.path(), key, "tls"),
        (certificate, empty.path(), "empty.pem"),
        (garbage.path(), key, "tls"),
        (certificate, garbage.path(), "garbage.pem"),
        // The key of another certificate, and the two in each other's place.
        (certificate, other.key.path(), "tls"),
        (key, certificate, "tls"),
    ];
    for (certificate, key, named) in wrong {
        let (file, data) = (Scratch::new("config.toml", lines(certificate, key)), Scratch::absent("data"));
        let output = ended(&[
            "serve",
            "--config",
            file.path(),
            "--data-dir",
            data.path(),
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        let said = text(&output.stderr);
        assert_eq!(code(&output), 78, "{certificate} {key}: {said}");
        assert!(said.contains("configuration: tls: ") && said.contains(named), "{certificate} {key}: {said}");
        assert!(!said.contains("PRIVATE"), "{said}");
    }
}
