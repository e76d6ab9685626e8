//! The pack that is being filled.

use std::sync::Mutex;

use lifeboat_format::{BlobKind, PackEntry};

use super::outbox::Outbox;

/// A pack is closed at this many blobs: its header stays far below restic's 16 MiB.
const BLOBS_MAX: usize = 65_536;

/// A pack without its header, on its way to the backend.
pub(super) struct FilledPack {
    pub(super) kind: BlobKind,
    pub(super) bytes: Vec<u8>,
    pub(super) entries: Vec<PackEntry>,
}

/// One open pack for one kind of blob.
pub(super) struct Packer {
    kind: BlobKind,
    open: Mutex<Option<FilledPack>>,
}

impl Packer {
    pub(super) fn new(kind: BlobKind) -> Self {
        Self {
            kind,
            open: Mutex::new(None),
        }
    }

    /// Appends a sealed blob; gives the pack when it is full.
    pub(super) fn add(
        &self,
        entry: PackEntry,
        sealed: &[u8],
        pack_bytes: usize,
        outbox: &Outbox<'_>,
    ) -> Option<FilledPack> {
        let mut open = self
            .open
            .lock()
            .unwrap_or_else(|poison| poison.into_inner());
        let pack = open.get_or_insert_with(|| FilledPack {
            kind: self.kind,
            bytes: outbox.buffer(pack_bytes),
            entries: Vec::new(),
        });
        let offset = pack.bytes.len() as u32;
        pack.entries.push(PackEntry { offset, ..entry });
        pack.bytes.extend_from_slice(sealed);
        let is_full = pack.bytes.len() >= pack_bytes || pack.entries.len() >= BLOBS_MAX;
        if is_full { open.take() } else { None }
    }

    /// Takes the pack as far as it is filled.
    pub(super) fn take(&self) -> Option<FilledPack> {
        self.open
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .take()
    }
}
