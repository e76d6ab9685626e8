//! What changed since a kept snapshot.
//!
//! Whatever stands in the way of an answer is the reason for reading everything, never an error:
//! the capture is good without.

use std::time::Duration;

use lifeboat_model::ExtentSet;
use lifeboat_platform::{CapturedChange, CheckpointId, Origin, Since};

use crate::adapter::Lvm;
use crate::cow_store::{Overwritten, chunk_bytes, counted_entries, read_store};
use crate::pool::Pool;
use crate::report::{Volume, VolumeKind};
use crate::tags;

/// How often a store is read again while chunks that the kernel counts are on their way into its
/// tables, and how long to wait between.
const LOOKS_MAX: usize = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// A capture's snapshot of a volume, beside those that were kept.
pub(crate) struct Kept<'a> {
    pub(crate) adapter: &'a Lvm,
    pub(crate) origin: &'a Origin,
    pub(crate) volume: &'a Volume,
    /// The new snapshot.
    pub(crate) snapshot: &'a Volume,
    pub(crate) all: &'a [Volume],
}

pub(crate) fn everything(reason: impl Into<String>) -> CapturedChange {
    CapturedChange::Everything {
        reason: reason.into(),
    }
}

impl Kept<'_> {
    /// The kept snapshot that a checkpoint names, made by us of this volume.
    pub(crate) fn find(&self, checkpoint: &CheckpointId) -> Option<&Volume> {
        let is_it = |it: &&Volume| {
            tags::is_ours(it, self.origin)
                && tags::is_checkpoint(it, checkpoint)
                && tags::made_of(it) == Some(self.volume.uuid.as_str())
        };
        self.all.iter().find(is_it)
    }

    pub(crate) fn changes(&self, since: &Since) -> CapturedChange {
        match self.try_changes(since) {
            Ok(changed) => CapturedChange::Since { changed },
            Err(reason) => everything(reason),
        }
    }

    fn try_changes(&self, since: &Since) -> Result<ExtentSet, String> {
        let kept = self
            .find(&since.checkpoint)
            .ok_or_else(|| self.missing(since))?;
        if since.size != self.volume.size {
            let (old, new) = (since.size, self.volume.size);
            return Err(format!("the volume had {old} bytes then and has {new} now"));
        }
        match self.volume.kind {
            VolumeKind::Thin => self.unshared(kept),
            _ => self.overwritten(kept),
        }
    }

    /// Why there is no kept snapshot.
    fn missing(&self, since: &Since) -> String {
        let named = |it: &&Volume| tags::is_checkpoint(it, &since.checkpoint);
        let mut others = self.all.iter().filter(named);
        if others.any(|it| !tags::is_ours(it, self.origin)) {
            return "the kept snapshot belongs to another repository".to_owned();
        }
        let name = &self.volume.name;
        format!("the kept snapshot is gone, or was made of another volume that was called {name}")
    }

    fn unshared(&self, kept: &Volume) -> Result<ExtentSet, String> {
        let numbers = kept.thin_id.zip(self.snapshot.thin_id);
        let numbers = numbers.ok_or("a thin snapshot has no number")?;
        if kept.pool != self.snapshot.pool || kept.size != self.snapshot.size {
            return Err("the kept snapshot has another pool or size".to_owned());
        }
        let pool = self
            .volume
            .pool
            .as_deref()
            .and_then(|name| self.volume.beside(name));
        let pool = Pool::new(&self.adapter.tools, pool.ok_or("the volume has no pool")?);
        pool.differences(numbers, self.volume.size)
            .map_err(|e| told(&e))?
    }

    fn overwritten(&self, kept: &Volume) -> Result<ExtentSet, String> {
        const LOST: &str = "the kept snapshot overflowed; choose a larger size for snapshots";
        if kept.is_lost {
            return Err(LOST.to_owned());
        }
        let (tools, clock) = (&self.adapter.tools, &self.adapter.doors.clock);
        let store = kept.name.device_below("-cow");
        let read = |offset: u64, length: usize| {
            tools
                .system()
                .read_uncached(&store, offset, length)
                .map_err(|e| told(&e))
        };
        let chunk = chunk_bytes(&read)?;
        let counted = || {
            let status = tools
                .status(&kept.name.mapper_name())
                .map_err(|e| told(&e))?;
            counted_entries(&status, chunk).ok_or(LOST.to_owned())
        };
        // Counted after the instant: whatever was overwritten before it is in this number.
        let expected = counted()?;
        let mut found = Overwritten::default();
        for _ in 0..LOOKS_MAX {
            found = read_store(&read, self.volume.size)?;
            if found.entries >= expected {
                counted()?;
                return Ok(found.changed);
            }
            clock.sleep(PAUSE);
        }
        let named = found.entries;
        Err(format!(
            "the kept snapshot's tables name {named} chunks, the kernel counts {expected}"
        ))
    }
}

/// An error with what is below it, in one line.
fn told(error: &lifeboat_platform::Error) -> String {
    let mut text = error.to_string();
    let mut below = std::error::Error::source(error);
    while let Some(cause) = below {
        text = format!("{text}: {cause}");
        below = cause.source();
    }
    text
}
