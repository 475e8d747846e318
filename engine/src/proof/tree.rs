//! The tree of a day's receipts, and the proof that one is in it.

use super::{DayRoot, Hash, LedgerHead, NotCanonical, PublicKey, Signature, verify};
use crate::canonical;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{InclusionProof, RootHash};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use std::collections::BTreeMap;

/// More receipts than any day has; beyond it no proof is looked at.
const LEAVES_MAX: u64 = 1 << 48;

/// The id and the leaf of a receipt.
///
/// # Errors
/// [`NotCanonical`].
pub fn receipt_digest(receipt: &Value) -> Result<(String, Hash), NotCanonical> {
    let id = receipt.get("id").and_then(Value::as_str).ok_or(NotCanonical)?;
    Ok((id.to_owned(), Hash(canonical::digest(receipt).ok_or(NotCanonical)?)))
}

/// The receipts of a day, in the order of their ids.
pub struct DayTree {
    ids: Vec<String>,
    tree: MemoryBackedTree<Sha256, [u8; 32]>,
}

impl DayTree {
    /// Builds the tree of receipts, in whatever order they come: ids with their digests, see [`receipt_digest`]. A receipt
    /// that comes again replaces the one before.
    pub fn new(receipts: impl IntoIterator<Item = (String, Hash)>) -> Self {
        let sorted: BTreeMap<String, Hash> = receipts.into_iter().collect();
        let mut tree = MemoryBackedTree::new();
        sorted.values().for_each(|leaf| tree.push(leaf.0));
        Self { ids: sorted.into_keys().collect(), tree }
    }

    /// How many receipts there are.
    pub fn leaves(&self) -> u64 {
        self.tree.len()
    }

    /// Their root.
    pub fn root(&self) -> Hash {
        root_of(&self.tree)
    }

    /// The root of the day, to be signed. `ledger` is put in its order; `previous` is the root of the day before.
    pub fn day_root(&self, day: impl Into<String>, mut ledger: Vec<LedgerHead>, previous: Option<&DayRoot>) -> DayRoot {
        ledger.retain(|head| head.last_entry > 0);
        ledger.sort();
        DayRoot {
            day: day.into(),
            leaves: self.leaves(),
            root: self.root(),
            ledger,
            previous_root: previous.map(DayRoot::hash).unwrap_or_default(),
        }
    }

    /// The proof that a receipt is in the tree; none when it is not.
    pub fn prove(&self, id: &str) -> Option<Inclusion> {
        let index = self.ids.binary_search_by(|known| known.as_str().cmp(id)).ok()?;
        let proof = self.tree.prove_inclusion(index);
        let (hashes, _) = proof.as_bytes().as_chunks::<32>();
        let path = hashes.iter().map(|hash| Hash(*hash)).collect();
        Some(Inclusion { index: u64::try_from(index).ok()?, path })
    }
}

/// The root of leaves in their order.
pub(super) fn root_of_leaves(leaves: impl IntoIterator<Item = Hash>) -> Hash {
    let mut tree = MemoryBackedTree::new();
    leaves.into_iter().for_each(|leaf| tree.push(leaf.0));
    root_of(&tree)
}

fn root_of(tree: &MemoryBackedTree<Sha256, [u8; 32]>) -> Hash {
    Hash((*tree.root().as_bytes()).into())
}

/// The proof that a receipt is in the tree of a day: the audit path of RFC 6962.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inclusion {
    /// The place of the leaf, from 0.
    pub index: u64,
    /// The hashes beside the way up, from the leaf.
    pub path: Vec<Hash>,
}

/// Why a receipt is not proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotIncluded {
    /// The receipt has no canonical form.
    #[error("the receipt has no canonical form")]
    Receipt,
    /// The root is not signed by the key.
    #[error("the root of the day is not signed by this key")]
    Signature,
    /// The path does not lead from the receipt to the root.
    #[error("the receipt is not under the root of the day")]
    Path,
}

/// Is the receipt one of the day whose root the venue has signed?
///
/// # Errors
/// [`NotIncluded`].
pub fn verify_inclusion(
    receipt: &Value,
    proof: &Inclusion,
    root: &DayRoot,
    signature: &Signature,
    key: &PublicKey,
) -> Result<(), NotIncluded> {
    let (_, leaf) = receipt_digest(receipt).map_err(|_| NotIncluded::Receipt)?;
    if !verify(root, signature, key) {
        return Err(NotIncluded::Signature);
    }
    if root.leaves > LEAVES_MAX {
        return Err(NotIncluded::Path);
    }
    let path = proof.path.iter().flat_map(|hash| hash.0).collect();
    let path = InclusionProof::<Sha256>::try_from_bytes(path).map_err(|_| NotIncluded::Path)?;
    let root = RootHash::<Sha256>::new(root.root.0.into(), root.leaves);
    root.verify_inclusion(&leaf.0, proof.index, &path).map_err(|_| NotIncluded::Path)
}
