//! Names of blobs that hold only zeros.

use std::collections::HashMap;

use lifeboat_model::Id;
use sha2::{Digest, Sha256};

use crate::BlobId;

/// Every length up to this one is looked at: our own zero pieces have any such length.
const ANY_BYTES_MAX: u64 = 512 << 10;

/// Longer zero blobs are known when their length is a power of two, up to this one.
const POWER_BYTES_MAX: u64 = 64 << 20;

/// Remembers the names of zero blobs by length; each is hashed once.
#[derive(Clone, Debug, Default)]
pub struct ZeroIds {
    ids: HashMap<u64, BlobId>,
    last: Option<(u64, BlobId)>,
}

impl ZeroIds {
    /// Knows none yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The name of `length` zero bytes.
    pub fn id(&mut self, length: u64) -> BlobId {
        if let Some((_, id)) = self.last.filter(|(last, _)| *last == length) {
            return id;
        }
        let id = *self.ids.entry(length).or_insert_with(|| hash_zeros(length));
        self.last = Some((length, id));
        id
    }

    /// Says whether the blob of that name and length holds only zeros.
    ///
    /// Only lengths that occur as zero pieces are looked at: hashing zeros costs as much as data.
    pub fn is_zero(&mut self, id: &BlobId, length: u64) -> bool {
        let is_power = length.is_power_of_two() && length <= POWER_BYTES_MAX;
        (is_power || length <= ANY_BYTES_MAX) && self.id(length) == *id
    }
}

fn hash_zeros(length: u64) -> BlobId {
    let block = [0; 64 << 10];
    let mut hash = Sha256::new();
    let mut rest = length;
    while rest > 0 {
        let now = rest.min(block.len() as u64);
        hash.update(&block[..now as usize]);
        rest -= now;
    }
    BlobId::from(Id(hash.finalize().into()))
}
