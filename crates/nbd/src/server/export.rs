//! What a server gives to clients.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use lifeboat_model::{ErrorKind, Extent};

use crate::{Error, Result};

/// Whether clients may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Every write is refused.
    ReadOnly,
    /// Writes, zeros and trims are served.
    Writable,
}

/// When a write must be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// With the next flush.
    Cached,
    /// Before it returns.
    Forced,
}

/// Whether zeros may give up room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zeroing {
    /// A hole will do.
    MayFreeRoom,
    /// Later writes there must not fail for lack of space.
    KeepsRoom,
}

/// What is known about a range without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Must be read.
    Data,
    /// Takes room, and certainly reads as zeros.
    Zero,
    /// Takes no room, and certainly reads as zeros.
    Hole,
}

/// A range and its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stated {
    /// The range.
    pub extent: Extent,
    /// The state that all of it has.
    pub allocation: Allocation,
}

/// Which sizes of requests an export likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSizes {
    /// Offsets and lengths are multiples of this; a power of two, at most 64 KiB.
    pub least: u32,
    /// A power of two; requests of this size and alignment are not slow.
    pub preferred: u32,
    /// No read and no write is longer; at most 32 MiB.
    pub most: u32,
}

impl Default for BlockSizes {
    /// Any byte; 64 KiB are best; up to 32 MiB.
    fn default() -> Self {
        Self {
            least: 1,
            preferred: 64 << 10,
            most: crate::wire::PAYLOAD_BYTES_MAX,
        }
    }
}

/// A disk that a server gives to clients; used by many threads at once.
///
/// Ranges that reach the methods are inside the disk and not empty. Methods of writing are
/// called only where [`Self::access`] allows it.
///
/// Errors: their kind decides what the client is told: `Denied`, `Full`, `Invalid` and
/// `Unsupported` as such, the rest as an input or output error. Their text goes to the client.
pub trait Export: Send + Sync {
    /// Bytes of the disk; constant.
    fn size(&self) -> u64;

    /// Fills `buffer` with the bytes at `offset`.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// Text for people, without NUL, at most 4096 bytes.
    fn description(&self) -> String {
        String::new()
    }

    /// Which sizes of requests it likes.
    fn block_sizes(&self) -> BlockSizes {
        BlockSizes::default()
    }

    /// Whether clients may write; constant.
    fn access(&self) -> Access {
        Access::ReadOnly
    }

    /// The states of `range`: extents in order that cover it, or a beginning of it.
    fn extents<'a>(&'a self, range: Extent) -> Box<dyn Iterator<Item = Result<Stated>> + 'a> {
        let allocation = Allocation::Data;
        Box::new(std::iter::once(Ok(Stated {
            extent: range,
            allocation,
        })))
    }

    /// Learns that a range will be read soon.
    fn prefetch(&self, range: Extent) -> Result<()> {
        let _ = range;
        Ok(())
    }

    /// Writes `bytes` at `offset`; durable after the next flush.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let _ = (offset, bytes);
        Err(read_only())
    }

    /// Makes a range read as zeros; durable after the next flush.
    fn zero(&self, range: Extent, zeroing: Zeroing) -> Result<()> {
        let _ = (range, zeroing);
        Err(read_only())
    }

    /// Gives up a range: it may read as anything afterwards.
    fn trim(&self, range: Extent) -> Result<()> {
        let _ = range;
        Err(read_only())
    }

    /// Makes everything durable whose write has returned, through whatever connection.
    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

fn read_only() -> Error {
    Error::new(ErrorKind::Denied, "writing to", "the export").seen("it is read-only")
}

/// Exports by name; may change while a server runs.
///
/// A name that is taken away stays with the clients that have it open.
#[derive(Clone, Default)]
pub struct Exports(Arc<RwLock<BTreeMap<String, Arc<dyn Export>>>>);

impl Exports {
    /// No exports yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces an export.
    ///
    /// Errors: `Invalid` for a name with a NUL or of more than 4096 bytes, a size beyond 2^63,
    /// and block sizes that contradict each other.
    pub fn publish(&self, name: &str, export: Arc<dyn Export>) -> Result<()> {
        let refuse = |seen: &'static str| {
            Err(Error::new(ErrorKind::Invalid, "publishing", name.escape_debug()).seen(seen))
        };
        let BlockSizes {
            least,
            preferred,
            most,
        } = export.block_sizes();
        if name.len() > crate::wire::TEXT_BYTES_MAX || name.contains('\0') {
            return refuse("a name has at most 4096 bytes and no NUL");
        }
        if export.size() > i64::MAX.cast_unsigned() {
            return refuse("it is larger than disks can be");
        }
        let is_sound = least.is_power_of_two()
            && least <= 64 << 10
            && preferred.is_power_of_two()
            && (least..=crate::wire::PAYLOAD_BYTES_MAX).contains(&preferred)
            && (preferred..=crate::wire::PAYLOAD_BYTES_MAX).contains(&most)
            && most.is_multiple_of(least)
            && export.size().is_multiple_of(least.into());
        if !is_sound {
            return refuse("its block sizes contradict each other or its size");
        }
        let mut exports = self.0.write().unwrap_or_else(PoisonError::into_inner);
        exports.insert(name.to_owned(), export);
        Ok(())
    }

    /// Takes a name away; says whether it was there.
    pub fn withdraw(&self, name: &str) -> bool {
        let mut exports = self.0.write().unwrap_or_else(PoisonError::into_inner);
        exports.remove(name).is_some()
    }

    /// The export of this name; the only one there is for the empty name.
    pub(crate) fn find(&self, name: &str) -> Option<(String, Arc<dyn Export>)> {
        let exports = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry = exports.get_key_value(name);
        let is_default = name.is_empty() && exports.len() == 1;
        let found = entry.or_else(|| exports.first_key_value().filter(|_| is_default));
        found.map(|(name, export)| (name.clone(), Arc::clone(export)))
    }

    /// Names and descriptions.
    pub(crate) fn list(&self) -> Vec<(String, String)> {
        let exports = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let listed = exports.iter();
        listed
            .map(|(name, export)| (name.clone(), text_of(&**export)))
            .collect()
    }
}

/// The description as the protocol allows it.
pub(crate) fn text_of(export: &dyn Export) -> String {
    let text = export.description().replace('\0', "");
    let end = text.floor_char_boundary(crate::wire::TEXT_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

impl fmt::Debug for Exports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exports = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(exports.keys()).finish()
    }
}
