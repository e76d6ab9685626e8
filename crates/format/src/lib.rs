//! The restic repository format, version 2: bytes to values and back.
//!
//! Takes bytes that come from anywhere and gives checked values, or the other way round.
//! Does not read or write files, start threads, or decide anything.
//!
//! Everything read is hostile: sizes and counts have limits before memory is taken, and every
//! blob is authenticated and hashed. Everything written is what stock restic would write.
//!
//! Source: restic's design document; docs/format.md.

mod blob;
mod config;
mod crypto;
mod error;
mod ids;
mod index;
mod json;
mod key;
pub mod label;
mod lock;
mod manifest;
mod pack;
mod polynomial;
mod snapshot;
mod time;
mod tree;
mod unpacked;
mod zero;

pub use blob::{
    BlobKind, Compressor, Decompressor, Sealed, prove_blob, seal_blob, unseal_blob, unseal_unnamed,
};
pub use config::{ConfigFile, Settings};
pub use crypto::{MasterKey, NONCE_BYTES, SEAL_OVERHEAD};
pub use error::{Error, Result};
pub use ids::{BlobId, IndexId, KeyId, LockId, NAMED_BYTES, PackId, SnapshotId};
pub use index::{IndexFile, IndexPack, MarkedPack};
pub use key::{KeyFile, KeyOwner, ScryptCost};
pub use lock::LockFile;
pub use manifest::{Chunking, DiskManifest, MANIFEST_NAME, MachineIdentity, MachineManifest};
pub use pack::{
    PackEntry, decode_pack_header, encode_pack_header, is_contiguous, pack_size, pack_tail_bytes,
};
pub use polynomial::is_irreducible;
pub use snapshot::{SnapshotFile, Summary};
pub use time::GoTime;
pub use tree::{DecodedTree, ExtendedAttribute, Node, NodeKind, TREE_DEPTH_MAX, TextPlace, Tree};
pub use unpacked::{decode_unpacked, encode_unpacked};
pub use zero::ZeroIds;
