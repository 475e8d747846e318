//! Seals the record, day by day: the receipts of a day that is over are written down as they are, and the root of their
//! tree, with the end of each ledger, is signed. What is sealed is never made anew.
//!
//! ```text
//! proofs/roots.ndjson      the signed roots, one a line, each naming the hash of the one before
//! proofs/DAY.ndjson.gz     the receipts of a day in their canonical form, one a line
//! ```

use backstop_actors::history::{HistoryError, Reader};
use backstop_actors::publisher::PublisherHandle;
use backstop_engine::canonical::{canonical, sha256};
use backstop_engine::flow::Stop;
use backstop_engine::fund::{GENESIS, hex};
use backstop_engine::id::Millis;
use backstop_engine::proof::{DayTree, Hash, LedgerHead, SignedRoot, SigningKey, day_of, read_signing_key};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Why a day cannot be sealed, or what is sealed cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: std::io::Error },
    #[error("{}: {reason}", path.display())]
    Unusable { path: PathBuf, reason: String },
    #[error("the history cannot be read: {0}")]
    History(#[from] HistoryError),
    #[error(transparent)]
    Stop(#[from] Stop),
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> SealError + '_ {
    move |error| SealError::Io { path: path.to_owned(), error }
}

fn unusable(path: &Path, reason: impl Into<String>) -> SealError {
    SealError::Unusable { path: path.to_owned(), reason: reason.into() }
}

/// What is sealed, and the key that seals. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Seal(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    key: SigningKey,
    roots: Mutex<Vec<SignedRoot>>,
}

/// Reads the key, or makes one where there is none yet.
fn key(path: &Path) -> Result<SigningKey, SealError> {
    match std::fs::read_to_string(path) {
        Ok(text) => {
            read_signing_key(text.trim()).ok_or_else(|| unusable(path, "a signing key is 64 hexadecimal digits"))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let mut secret = [0; 32];
            getrandom::fill(&mut secret).map_err(|error| unusable(path, error.to_string()))?;
            replace(path, format!("{}\n", hex(&secret)).as_bytes())?;
            Ok(SigningKey::from_bytes(&secret))
        }
        Err(error) => Err(at(path)(error)),
    }
}

/// A whole file in the place of another, or nothing.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), SealError> {
    let draft = path.with_extension("draft");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    // A key is among them, and receipts are public where the venue shows them.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&draft).map_err(at(&draft))?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(at(&draft))?;
    std::fs::rename(&draft, path).map_err(at(path))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}

impl Seal {
    /// What is sealed in a data directory. The key is in a file of its own, or in the directory.
    pub(crate) fn open(root: &Path, key_file: &Path) -> Result<Self, SealError> {
        let folder = root.join("proofs");
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        let key_file = if key_file.as_os_str().is_empty() { root.join("signing.key") } else { key_file.to_owned() };
        let key = key(&key_file)?;
        let path = folder.join("roots.ndjson");
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            read => read.map_err(at(&path))?,
        };
        let mut roots: Vec<SignedRoot> = Vec::new();
        for line in text.lines() {
            let root: SignedRoot = serde_json::from_str(line).map_err(|error| unusable(&path, error.to_string()))?;
            let previous = roots.last().map(|last| last.root.hash()).unwrap_or_default();
            let sound = root.root.previous_root == previous;
            if !sound {
                return Err(unusable(&path, format!("the root of {} does not follow the one before", root.root.day)));
            }
            roots.push(root);
        }
        // A record is signed by one key; another one begins another record.
        let own = hex(key.verifying_key().as_bytes());
        if let Some(last) = roots.last().filter(|last| last.key != own) {
            let reason = format!("the record in {} is signed by {}, not by this key", folder.display(), last.key);
            return Err(unusable(&key_file, reason));
        }
        Ok(Self(Arc::new(Inner { folder, key, roots: Mutex::new(roots) })))
    }

    /// The key that days are signed with.
    pub(crate) fn key(&self) -> &SigningKey {
        &self.0.key
    }

    /// The signed roots, oldest first.
    pub(crate) async fn roots(&self) -> Vec<SignedRoot> {
        self.0.roots.lock().await.clone()
    }

    /// Seals every day that is over at this time and not sealed yet; how many.
    pub(crate) async fn catch_up(&self, publisher: &PublisherHandle, now: Millis) -> Result<usize, SealError> {
        let mut roots = self.0.roots.lock().await;
        let today = backstop_actors::history::day_of(now);
        let last = roots.last().map(|last| last.root.day.clone());
        let begin = move |reader: &Reader| match &last {
            Some(day) => Ok(reader.day_named(day)?.map(|day| day.saturating_add(1))),
            None => reader.first_day(),
        };
        let (_, Some(first)) = publisher.look_up(begin).await?? else { return Ok(0) };
        let mut fresh: Vec<SignedRoot> = Vec::new();
        for day in first..today {
            let name = day_of(day.saturating_mul(86_400_000));
            let path = self.0.folder.join(format!("{name}.ndjson.gz"));
            // On a thread that reads: nobody who serves waits for the disk.
            let (_, gathered) = publisher.look_up(move |reader| Ok(write_down(gather(reader, day)?, &path))).await??;
            let (tree, heads) = gathered?;
            let root = tree.day_root(name, heads, fresh.last().or(roots.last()).map(|last| &last.root));
            fresh.push(SignedRoot::new(root, &self.0.key));
        }
        // What is not on the disk is not sealed.
        let sealed = fresh.len();
        if sealed > 0 {
            let all = [roots.as_slice(), &fresh].concat();
            self.write(&all)?;
            *roots = all;
        }
        Ok(sealed)
    }

    fn write(&self, roots: &[SignedRoot]) -> Result<(), SealError> {
        let mut text = String::new();
        for root in roots {
            text.push_str(&serde_json::to_string(root).unwrap_or_default());
            text.push('\n');
        }
        replace(&self.0.folder.join("roots.ndjson"), text.as_bytes())
    }

    /// The receipts of a sealed day, as they were sealed: their names and canonical forms.
    pub(crate) fn receipts(&self, day: &str) -> Result<Vec<(String, String)>, SealError> {
        let path = self.0.folder.join(format!("{day}.ndjson.gz"));
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened.map_err(at(&path))?,
        };
        let mut found = Vec::new();
        for line in BufReader::new(GzDecoder::new(file)).lines() {
            let line = line.map_err(at(&path))?;
            let id = name_of(&line).ok_or_else(|| unusable(&path, "a line is no receipt"))?;
            found.push((id, line));
        }
        Ok(found)
    }
}

/// Writes the receipts of a day down; their tree, and the ledgers.
fn write_down((receipts, heads): Gathered, path: &Path) -> Result<(DayTree, Vec<LedgerHead>), SealError> {
    let leaves = receipts.iter().map(|(id, line)| (id.clone(), Hash(sha256(line.as_bytes()))));
    let tree = DayTree::new(leaves);
    if !receipts.is_empty() {
        replace(path, &packed(receipts.iter().map(|(_, line)| line)).map_err(at(path))?)?;
    }
    Ok((tree, heads))
}

fn name_of(line: &str) -> Option<String> {
    let receipt: Value = serde_json::from_str(line).ok()?;
    receipt.get("id")?.as_str().map(str::to_owned)
}

fn packed<'a>(lines: impl Iterator<Item = &'a String>) -> std::io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::default());
    for line in lines {
        packer.write_all(line.as_bytes())?;
        packer.write_all(b"\n")?;
    }
    packer.finish()
}

/// The receipts of a day, by name, and the ledgers as they stood at its end.
type Gathered = (Vec<(String, String)>, Vec<LedgerHead>);

fn gather(reader: &Reader, day: u64) -> Result<Gathered, HistoryError> {
    let mut receipts = Vec::new();
    for id in reader.receipts_of(day)? {
        let Some(receipt) = reader.sealed_receipt(id)? else { continue };
        let mut document = serde_json::to_value(&receipt).unwrap_or_default();
        if let Value::Object(fields) = &mut document {
            fields.insert("id".to_owned(), id.to_string().into());
        }
        // A receipt holds texts, whole numbers and flags only, so it has a canonical form.
        receipts.push((id.to_string(), canonical(&document).unwrap_or_default()));
    }
    receipts.sort();
    let heads = reader.heads(day.saturating_add(1))?.into_iter().map(|head| {
        let (last_entry, last_hash) = head.last.unwrap_or((0, GENESIS.to_owned()));
        LedgerHead { asset: head.asset.into(), last_entry, last_hash }
    });
    Ok((receipts, heads.collect()))
}
