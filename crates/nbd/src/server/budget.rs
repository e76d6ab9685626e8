//! Memory that all connections of a server share.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A number of bytes; whoever wants more than is left waits.
#[derive(Debug)]
pub(super) struct Budget {
    all: u64,
    left: Mutex<u64>,
    freed: Condvar,
}

/// A part of the budget, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            all: bytes,
            left: Mutex::new(bytes),
            freed: Condvar::new(),
        })
    }

    /// Waits until `bytes` are left; all there are where there are fewer.
    ///
    /// Ends: holders give back when their peers read, or when these have been too slow.
    pub(super) fn take(self: &Arc<Self>, bytes: u64) -> Share {
        let bytes = bytes.min(self.all);
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        while *left < bytes {
            left = self
                .freed
                .wait(left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        *left -= bytes;
        Share {
            budget: Arc::clone(self),
            bytes,
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut left = self
            .budget
            .left
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *left += self.bytes;
        self.budget.freed.notify_all();
    }
}
