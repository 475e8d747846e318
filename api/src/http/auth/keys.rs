//! The keys there are, as the configuration names them.

use super::credentials::{Pending, Signed};
use super::seen::{KEPT_MS, Seen};
use super::{Caller, Credentials, Holder, Presented};
use crate::config::{Auth, Key, Role};
use crate::http::problem::{Kind, Problem};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, RwLock};
use std::time::{SystemTime, UNIX_EPOCH};
use subtle::ConstantTimeEq;

/// How far the clock of a client may be ahead.
const AHEAD_MS: u64 = 1_000;
/// Shortest secret that is taken.
const SECRET_MIN: usize = 32;

/// What a signed request is signed with. It is never shown.
#[derive(Clone)]
pub(super) struct Secret(Arc<[u8]>);

impl Secret {
    pub(super) fn mac(&self) -> Option<Hmac<Sha256>> {
        Hmac::<Sha256>::new_from_slice(&self.0).ok()
    }
}

#[derive(Clone)]
struct Known {
    holder: Arc<Holder>,
    secret: Option<Secret>,
    expires: Option<u64>,
}

/// All keys of one reading of the configuration.
#[derive(Default)]
struct Ring {
    by_id: BTreeMap<String, Known>,
    tokens: Vec<([u8; 32], String)>,
    window_ms: u64,
}

/// The keys in force. Cheap to clone; what is replaced is replaced for all clones.
#[derive(Clone)]
pub(crate) struct Keys {
    ring: Arc<RwLock<Arc<Ring>>>,
    seen: Arc<Mutex<Seen>>,
    /// When these keys were first loaded: what was signed before may have been taken by the daemon before this one.
    started: u64,
}

fn system_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The bytes of a SHA-256 in hex.
pub(super) fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        let start = place.checked_mul(2)?;
        *byte = u8::from_str_radix(text.get(start..start.checked_add(2)?)?, 16).ok()?;
    }
    Some(bytes)
}

fn read(keys: &[Key], auth: &Auth) -> Result<Ring, String> {
    let mut ring = Ring { window_ms: auth.window_ms, ..Ring::default() };
    for key in keys {
        let of = |reason: String| format!("{}: {reason}", key.id);
        let secret = match &key.secret_file {
            None => None,
            Some(path) => {
                let text = std::fs::read(path).map_err(|error| of(format!("{}: {error}", path.display())))?;
                let text = text.trim_ascii();
                if text.len() < SECRET_MIN {
                    return Err(of(format!("{}: a secret has at least {SECRET_MIN} characters", path.display())));
                }
                Some(Secret(text.into()))
            }
        };
        if let Some(hash) = &key.token_sha256 {
            let hash = unhex(hash).ok_or_else(|| of("token_sha256 is 64 hexadecimal digits".to_owned()))?;
            ring.tokens.push((hash, key.id.clone()));
        }
        let holder = Arc::new(Holder { id: key.id.clone(), role: key.role, account: key.account.clone() });
        ring.by_id.insert(key.id.clone(), Known { holder, secret, expires: key.expires });
    }
    Ok(ring)
}

impl Keys {
    /// Reads the secrets that the configuration refers to.
    ///
    /// # Errors
    /// What is wrong with which key.
    pub(crate) fn load(keys: &[Key], auth: &Auth) -> Result<Self, String> {
        let ring = Arc::new(RwLock::new(Arc::new(read(keys, auth)?)));
        Ok(Self { ring, seen: Arc::default(), started: system_millis() })
    }

    /// Takes the keys of a new reading of the configuration.
    ///
    /// # Errors
    /// What is wrong with which key; those in force stay then.
    pub(crate) fn reload(&self, keys: &[Key], auth: &Auth) -> Result<(), String> {
        let fresh = Arc::new(read(keys, auth)?);
        if let Ok(mut ring) = self.ring.write() {
            *ring = fresh;
        }
        Ok(())
    }

    /// Does the configuration make sense, apart from files?
    ///
    /// # Errors
    /// What is wrong with which key.
    pub(crate) fn check(keys: &[Key]) -> Result<(), String> {
        let mut ids = BTreeSet::new();
        for key in keys {
            let wrong = |reason: &str| Err(format!("{}: {reason}", key.id));
            // Changes of rules bear it, and are commands.
            if !crate::http::params::is_name(&key.id) {
                return wrong("an id has 1 to 64 characters from A-Z a-z 0-9 . _ : / -");
            }
            if !ids.insert(&key.id) {
                return wrong("there are two keys of this id");
            }
            if key.secret_file.is_some() == key.token_sha256.is_some() {
                return wrong("a key has a secret_file or a token_sha256");
            }
            if key.token_sha256.as_deref().is_some_and(|hash| unhex(hash).is_none()) {
                return wrong("token_sha256 is 64 hexadecimal digits");
            }
            if key.account.as_deref().is_some_and(|account| !crate::http::params::is_name(account)) {
                return wrong("the account is not a name that an account can have");
            }
            if (key.role == Role::Account) != key.account.is_some() {
                return wrong("role account has an account, and no other role has one");
            }
        }
        Ok(())
    }

    fn ring(&self) -> Arc<Ring> {
        // A lock that a panic has poisoned still holds whole rings.
        self.ring.read().map_or_else(|poisoned| poisoned.into_inner().clone(), |ring| ring.clone())
    }

    /// Is this still who it was: a key that is there, of the same role and account, and has not expired?
    pub(crate) fn hold(&self, caller: &Caller) -> bool {
        let Caller::Key(holder) = caller else { return true };
        let ring = self.ring();
        let known = ring.by_id.get(&holder.id).filter(|known| known.holder == *holder);
        known.is_some_and(|known| alive(known, system_millis()).is_ok())
    }

    /// Is no key configured?
    pub(crate) fn are_none(&self) -> bool {
        self.ring().by_id.is_empty()
    }

    /// Looks at what a request shows: a caller, or one whose signature waits for the body.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(crate) fn present(&self, credentials: Credentials) -> Result<Presented, Problem> {
        let (ring, now) = (self.ring(), system_millis());
        match credentials {
            Credentials::Token(token) => {
                let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
                let mut found = None;
                for (known, id) in &ring.tokens {
                    // Every one is compared, whichever it is.
                    if bool::from(known.ct_eq(&hash)) {
                        found = ring.by_id.get(id);
                    }
                }
                let known = found.ok_or_else(|| Problem::plain(Kind::InvalidCredentials))?;
                alive(known, now)?;
                Ok(Presented::Caller(Caller::Key(known.holder.clone())))
            }
            Credentials::Signed(signed) => {
                let window = signed.window.unwrap_or(ring.window_ms).min(ring.window_ms);
                let stamp = signed.timestamp;
                if stamp.saturating_add(window) < now || stamp > now.saturating_add(AHEAD_MS) {
                    let detail = format!("{stamp} at {now}, allowed {window} ms before and {AHEAD_MS} ms after");
                    return Err(Problem::new(Kind::StaleTimestamp, detail));
                }
                if stamp <= self.started {
                    let detail = "signed before the daemon was there to take it; sign anew";
                    return Err(Problem::new(Kind::StaleTimestamp, detail));
                }
                if stamp <= self.started.saturating_add(AHEAD_MS) {
                    let detail = "signed requests are taken from one second after the start on";
                    return Err(Problem::later(Kind::Starting, detail, AHEAD_MS));
                }
                // An unknown key is found out when the signature is, and in the same time.
                let known = ring.by_id.get(&signed.key);
                let secret = known.and_then(|known| known.secret.clone());
                let decoy = secret.is_none();
                let secret = secret.unwrap_or_else(|| Secret(Arc::from([0; SECRET_MIN])));
                let caller = known.filter(|_| !decoy).map(|known| (known.holder.clone(), known.expires));
                Ok(Presented::Pending(Box::new(Pending { signed, secret, caller })))
            }
        }
    }

    /// Ends the look at a signed request with its body.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(crate) fn verify(&self, pending: Pending, body: &[u8]) -> Result<Caller, Problem> {
        let write = |signed: &Signed, mac: &mut Hmac<Sha256>| {
            signed.write(|part| mac.update(part));
            mac.update(body);
        };
        self.take(pending, write, |signature| signature)
    }

    /// Ends the look at a request that is signed in the way of another venue: over a text of its own, which does not name
    /// the path. Clients send the same text to several paths within a millisecond: it is taken once at each.
    ///
    /// # Errors
    /// Why it is not taken.
    pub(crate) fn verify_text(&self, pending: Pending, text: &[u8], path: &str) -> Result<Caller, Problem> {
        let mark = |signature: [u8; 32]| Sha256::new().chain_update(signature).chain_update(path).finalize().into();
        self.take(pending, |_, mac| mac.update(text), mark)
    }

    /// Takes what is signed as written, if it is new under its mark.
    fn take(
        &self,
        pending: Pending,
        write: impl FnOnce(&Signed, &mut Hmac<Sha256>),
        mark: impl FnOnce([u8; 32]) -> [u8; 32],
    ) -> Result<Caller, Problem> {
        let invalid = || Problem::plain(Kind::InvalidCredentials);
        let Pending { signed, secret, caller } = pending;
        let mut mac = secret.mac().ok_or_else(invalid)?;
        write(&signed, &mut mac);
        let right = mac.verify_slice(&signed.signature).is_ok();
        let (holder, expires) = caller.filter(|_| right).ok_or_else(invalid)?;
        let now = system_millis();
        if expires.is_some_and(|expires| now >= expires) {
            return Err(Problem::plain(Kind::ExpiredCredentials));
        }
        // Its body may have taken longer than signatures are remembered.
        if signed.timestamp.saturating_add(KEPT_MS) < now.saturating_add(AHEAD_MS) {
            return Err(Problem::new(Kind::StaleTimestamp, "the body came too late for the signature"));
        }
        let fresh = self.seen.lock().map_err(|_| Problem::plain(Kind::Internal))?.enter(
            mark(signed.signature),
            now,
            signed.timestamp,
        );
        match fresh {
            Some(true) => Ok(Caller::Key(holder)),
            Some(false) => Err(Problem::plain(Kind::Replayed)),
            None => Err(Problem::later(Kind::RateLimited, "too many signed requests within one window", 1_000)),
        }
    }
}

fn alive(known: &Known, now: u64) -> Result<(), Problem> {
    if known.expires.is_some_and(|expires| now >= expires) {
        return Err(Problem::plain(Kind::ExpiredCredentials));
    }
    Ok(())
}
