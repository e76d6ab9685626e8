//! Holds transfers below a rate, so that a backup leaves room for others.

use std::num::NonZeroU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifeboat_model::{CancelToken, Clock, ErrorKind};

use crate::{Backend, Call, Doing, Error, FileHandle, FileKind, Listed, Result, Upkeep};

/// Longest wait between two looks at the cancel token.
const WAIT_SLICE: Duration = Duration::from_secs(1);

/// Rates in bytes per second; none means unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// Towards the place.
    pub up: Option<NonZeroU64>,
    /// From the place.
    pub down: Option<NonZeroU64>,
}

/// Delays transfers until their rate allows them.
///
/// A transfer goes as one piece; what it took is paid by waiting before the next one. The mean
/// rate is kept whatever the number of threads; a single transfer is not slowed down.
/// Lists, sizes, removals and lock files are free: a lock must not wait behind packs.
#[derive(Debug)]
pub struct Limited {
    inner: Arc<dyn Backend>,
    clock: Arc<dyn Clock>,
    cancel: CancelToken,
    up: Meter,
    down: Meter,
}

/// One direction: since when it is idle, or until when it is paid for.
#[derive(Debug)]
struct Meter {
    rate: Option<NonZeroU64>,
    free_from: Mutex<Duration>,
}

impl Meter {
    fn new(rate: Option<NonZeroU64>) -> Self {
        Self {
            rate,
            free_from: Mutex::default(),
        }
    }

    /// Books a transfer; gives how long to wait before it may start.
    fn book(&self, now: Duration, bytes: u64) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate.get());
        let cost = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        let mut free_from = self.free_from.lock().unwrap_or_else(|p| p.into_inner());
        let start = now.max(*free_from);
        *free_from = start.saturating_add(cost);
        start - now
    }
}

impl Limited {
    /// Keeps transfers with `inner` below `rates`; a cancelled run stops waiting within a second.
    pub fn new(
        inner: Arc<dyn Backend>,
        rates: Rates,
        clock: Arc<dyn Clock>,
        cancel: CancelToken,
    ) -> Self {
        Self {
            inner,
            clock,
            cancel,
            up: Meter::new(rates.up),
            down: Meter::new(rates.down),
        }
    }

    fn wait(&self, call: Call, file: FileHandle, bytes: u64) -> Result<()> {
        let meter = match call {
            _ if file.kind == FileKind::Lock => return Ok(()),
            Call::Save => &self.up,
            _ => &self.down,
        };
        let mut left = meter.book(self.clock.monotonic(), bytes);
        while !left.is_zero() {
            if self.cancel.is_cancelled() {
                let cancelled = ErrorKind::Cancelled;
                return Err(Error::new(cancelled, Doing::Call(call), self.location()).on(file));
            }
            let slice = left.min(WAIT_SLICE);
            self.clock.sleep(slice);
            left -= slice;
        }
        Ok(())
    }
}

impl Backend for Limited {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn upkeep(&self) -> Option<&dyn Upkeep> {
        self.inner.upkeep()
    }

    fn create(&self) -> Result<()> {
        self.inner.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.inner.list(kind)
    }

    fn size(&self, file: FileHandle) -> Result<u64> {
        self.inner.size(file)
    }

    /// Its size is known only afterwards: it is booked then.
    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        self.wait(Call::Load, file, 0)?;
        let content = self.inner.load(file)?;
        if file.kind != FileKind::Lock {
            self.down.book(self.clock.monotonic(), content.len() as u64);
        }
        Ok(content)
    }

    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.wait(Call::Read, file, buffer.len() as u64)?;
        self.inner.read(file, offset, buffer)
    }

    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        self.wait(Call::Save, file, content.len() as u64)?;
        self.inner.save(file, content)
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        self.inner.remove(file)
    }
}
