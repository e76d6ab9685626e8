//! A writer's life: open, then finished or failed.

use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use lifeboat_model::ErrorKind;

use crate::{Error, Result};

const OPEN: u8 = 0;
const FINISHED: u8 = 1;
const FAILED: u8 = 2;

/// A failed flush or rename ends a writer for good: what reached the disk is unknown then.
#[derive(Debug, Default)]
pub(crate) struct Lifecycle(AtomicU8);

impl Lifecycle {
    /// Errors: `Invalid` once the writer is finished or has failed.
    pub(crate) fn refuse_closed(&self, target: &Path) -> Result<()> {
        let seen = match self.0.load(Ordering::Acquire) {
            OPEN => return Ok(()),
            FINISHED => "the target is finished already",
            _ => "an earlier finish or abort ended this writer; begin anew",
        };
        Err(Error::new(ErrorKind::Invalid, "writing", target).seen(seen))
    }

    /// Forbids further writes. Counts as failed until `succeed`.
    pub(crate) fn close(&self, target: &Path) -> Result<()> {
        match self
            .0
            .compare_exchange(OPEN, FAILED, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Ok(()),
            Err(_) => self.refuse_closed(target),
        }
    }

    pub(crate) fn succeed(&self) {
        self.0.store(FINISHED, Ordering::Release);
    }
}
