//! Room for the work that makes room, and order beside the six kinds of file.
//!
//! Takes places that are file systems; for all others there is nothing to do.
//! Does not decide when: commands hold the reserve when they end well, prune gives it up.

use lifeboat_backend::FileKind;

use crate::error::Doing;
use crate::{Repository, Result};

/// Even an empty repository needs room for locks and its first index files.
const BYTES_MIN: u64 = 1 << 20;

/// Holds room for a lock and for the whole index once more, a quarter added for marks.
///
/// Errors: `Full` when there is no room for it now.
pub fn hold(repository: &Repository) -> Result<()> {
    let Some(upkeep) = repository.backend().upkeep() else {
        return Ok(());
    };
    let index = repository.list(FileKind::Index)?;
    let index: u64 = index.iter().map(|file| file.size).sum();
    // Powers of two: it is written anew only when the index has doubled.
    let bytes = (BYTES_MIN / 2 + index + index / 4).next_power_of_two();
    upkeep
        .hold_reserve(bytes.max(BYTES_MIN))
        .doing(|| "cannot hold room for the day the place is full".to_owned())
}

/// Frees that room; says whether there was some.
pub fn give_up(repository: &Repository) -> Result<bool> {
    let Some(upkeep) = repository.backend().upkeep() else {
        return Ok(false);
    };
    upkeep
        .give_up_reserve()
        .doing(|| "cannot free the room that is held for this".to_owned())
}

/// Removes unfinished files of dead writers, everywhere or only beside files of `kind`.
///
/// What cannot be removed now is left for a later run: nobody takes it for anything.
pub(crate) fn sweep(repository: &Repository, kind: Option<FileKind>) {
    if let Some(upkeep) = repository.backend().upkeep() {
        let _ = upkeep.sweep(kind, &*repository.environment().clock);
    }
}
