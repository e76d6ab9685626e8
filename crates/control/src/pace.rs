//! Holds reading from disks below a rate, so that the machines keep theirs.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_disk::{DiskReader, MappedExtent};
use lifeboat_model::{CancelToken, Clock};

/// Longest wait between two looks at the cancel token.
const WAIT_SLICE: Duration = Duration::from_millis(200);

/// One rate for all readers that share it, in bytes per second.
#[derive(Debug)]
pub struct Pacer {
    rate: NonZeroU64,
    clock: Arc<dyn Clock>,
    cancel: CancelToken,
    free_from: Mutex<Duration>,
}

/// A disk whose reads wait for their turn.
pub struct Paced {
    inner: Arc<dyn DiskReader>,
    pacer: Arc<Pacer>,
}

impl Pacer {
    /// Allows `rate` bytes per second on the mean.
    pub fn new(rate: NonZeroU64, clock: Arc<dyn Clock>, cancel: CancelToken) -> Self {
        Self {
            rate,
            clock,
            cancel,
            free_from: Mutex::default(),
        }
    }

    /// Books a read and waits until what was booked before is paid for.
    fn wait(&self, bytes: u64) {
        let cost = Duration::from_secs_f64(bytes as f64 / self.rate.get() as f64);
        let start = {
            let mut free_from = self.free_from.lock().unwrap_or_else(|p| p.into_inner());
            let start = self.clock.monotonic().max(*free_from);
            *free_from = start + cost;
            start
        };
        loop {
            let left = start.saturating_sub(self.clock.monotonic());
            if left.is_zero() || self.cancel.is_cancelled() {
                return;
            }
            self.clock.sleep(left.min(WAIT_SLICE));
        }
    }
}

impl Paced {
    /// Reads from `inner` at the pacer's rate.
    pub fn new(inner: Arc<dyn DiskReader>, pacer: Arc<Pacer>) -> Self {
        Self { inner, pacer }
    }
}

impl DiskReader for Paced {
    fn size(&self) -> u64 {
        self.inner.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> lifeboat_disk::Result<()> {
        self.pacer.wait(buffer.len() as u64);
        self.inner.read_at(offset, buffer)
    }

    fn next_extent(&self, offset: u64) -> lifeboat_disk::Result<MappedExtent> {
        self.inner.next_extent(offset)
    }
}
