//! What every place that keeps files promises.

use std::fmt;
use std::sync::Arc;

use lifeboat_model::Clock;

use crate::{FileHandle, FileKind, Listed, Result};

/// A place that keeps the files of one repository.
///
/// **Atomicity**: under a file's name there is either nothing or the complete content of one
/// `save`, at every moment and after every crash.
///
/// **Durability**: when `save`, `remove` or `create` returned Ok, its effect survives the loss
/// of power. Callers order their calls by it: packs, then the index, then the snapshot.
///
/// **After an error** of `save` or `remove` the effect may have happened or not (an answer can
/// get lost), never half. Repeating the call is always safe.
///
/// **Names**: a file named by its content never changes. The config alone is replaced.
///
/// **Threads**: all methods may be called at the same time; a file is visible to every caller
/// as soon as its `save` has returned.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Where this is, for people; never holds a secret.
    fn location(&self) -> String;

    /// Makes the empty layout; what is there already stays.
    ///
    /// Errors: `Exists` if a config is there.
    fn create(&self) -> Result<()>;

    /// All files of a kind in no particular order.
    ///
    /// Complete or an error: a list is what prune trusts. Files that are being saved or
    /// removed at the same time may be in it or not; names that are not 64 digits are not.
    ///
    /// Errors: `NotFound` if there is no repository (a place that is not mounted is not empty).
    fn list(&self, kind: FileKind) -> Result<Vec<Listed>>;

    /// The size of a file in bytes.
    ///
    /// Errors: `NotFound`.
    fn size(&self, file: FileHandle) -> Result<u64>;

    /// The whole content of a file, unchecked.
    ///
    /// Errors: `NotFound`; `Corrupt` if it is larger than [`FileKind::bytes_max`].
    fn load(&self, file: FileHandle) -> Result<Vec<u8>>;

    /// Fills `buffer` with the bytes from `offset` on, unchecked.
    ///
    /// Errors: `NotFound`; `Corrupt` if the file ends before the buffer is full.
    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()>;

    /// Stores a file.
    ///
    /// A file of that name and size stays as it is (and is durable then); one of another size
    /// is damaged and is replaced. The config is always replaced.
    ///
    /// Errors: `Full`; `NotFound` if there is no repository.
    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()>;

    /// Removes a file.
    ///
    /// Errors: `NotFound`.
    fn remove(&self, file: FileHandle) -> Result<()>;

    /// What the place can do beside its six kinds of file, if anything.
    fn upkeep(&self) -> Option<&dyn Upkeep> {
        None
    }
}

/// What a place that is a file system does for its own order and for the day it is full.
pub trait Upkeep: Send + Sync {
    /// Removes unfinished files whose writers are certainly gone, and those that are older than
    /// any save takes; everywhere, or only beside files of `kind`. Gives how many.
    fn sweep(&self, kind: Option<FileKind>, clock: &dyn Clock) -> Result<usize>;

    /// Holds at least so many bytes ready for [`Upkeep::give_up_reserve`]; durable on return.
    ///
    /// Errors: `Full`; what was held before is still held then.
    fn hold_reserve(&self, bytes: u64) -> Result<()>;

    /// Frees what is held; says whether there was something.
    fn give_up_reserve(&self) -> Result<bool>;

    /// Says whether a list that begins when a save has returned shows it to everybody, at once.
    ///
    /// True for file systems of this very machine; false where in doubt, as over a network.
    fn is_coherent(&self) -> bool;
}

impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn location(&self) -> String {
        (**self).location()
    }

    fn create(&self) -> Result<()> {
        (**self).create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        (**self).list(kind)
    }

    fn size(&self, file: FileHandle) -> Result<u64> {
        (**self).size(file)
    }

    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        (**self).load(file)
    }

    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        (**self).read(file, offset, buffer)
    }

    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        (**self).save(file, content)
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        (**self).remove(file)
    }

    fn upkeep(&self) -> Option<&dyn Upkeep> {
        (**self).upkeep()
    }
}

/// The methods of [`Backend`] that reach the place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// [`Backend::create`].
    Create,
    /// [`Backend::list`].
    List,
    /// [`Backend::size`].
    Size,
    /// [`Backend::load`].
    Load,
    /// [`Backend::read`].
    Read,
    /// [`Backend::save`].
    Save,
    /// [`Backend::remove`].
    Remove,
}

impl Call {
    /// All calls, in the order of their declaration.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::List,
        Self::Size,
        Self::Load,
        Self::Read,
        Self::Save,
        Self::Remove,
    ];
}
