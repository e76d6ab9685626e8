//! A fresh thin volume: what is not written stays unmapped.

use std::sync::Arc;

use lifeboat_disk::{DiskWriter, Result};

/// A target of which the unwritten part certainly reads as zeros.
///
/// Only for fresh volumes of pools that zero blocks before use.
pub(super) struct Blank(pub(super) Arc<dyn DiskWriter>);

impl DiskWriter for Blank {
    fn size(&self) -> u64 {
        self.0.size()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.0.write_at(offset, bytes)
    }

    fn zero_at(&self, offset: u64, length: u64) -> Result<()> {
        self.0.zero_at(offset, length)
    }

    fn finish(&self) -> Result<()> {
        self.0.finish()
    }

    fn give_up(&self) -> Result<()> {
        self.0.give_up()
    }

    fn is_blank(&self) -> bool {
        true
    }

    fn is_direct(&self) -> bool {
        self.0.is_direct()
    }

    fn read_back(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.0.read_back(offset, buffer)
    }
}
