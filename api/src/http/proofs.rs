//! To come.

use super::operations::Operation;

pub(super) fn operations() -> Vec<Operation> {
    Vec::new()
}

pub(crate) struct Signer;
