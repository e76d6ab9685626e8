//! Repeats calls that may succeed later.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lifeboat_model::{CancelToken, Clock, Entropy, ErrorKind};

use crate::{Backend, Call, Doing, Error, FileHandle, FileKind, Listed, Result, Upkeep};

/// How often and after which pauses a call is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryRule {
    /// Attempts in all, the first included; at least 1.
    pub attempts_max: u32,
    /// Pause before the second attempt; each further one is twice as long.
    pub pause_first: Duration,
    /// No pause is longer.
    pub pause_max: Duration,
}

impl Default for RetryRule {
    /// Pauses of 1, 2, 4 … 60 seconds: about five minutes in all.
    fn default() -> Self {
        Self {
            attempts_max: 11,
            pause_first: Duration::from_secs(1),
            pause_max: Duration::from_secs(60),
        }
    }
}

/// Longest wait between two looks at the cancel token.
const SLICE: Duration = Duration::from_secs(1);

/// Repeats what fails with a kind that [`ErrorKind::is_repeatable`], and nothing else.
///
/// Pauses are shortened by up to half at random, so that many clients do not come back at once.
/// When an earlier attempt to remove a file may have succeeded, its absence is success.
#[derive(Debug)]
pub struct Retrying {
    inner: Arc<dyn Backend>,
    rule: RetryRule,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    cancel: CancelToken,
    repeats: AtomicU64,
}

impl Retrying {
    /// Repeats calls to `inner`; a cancelled run stops waiting within a second.
    pub fn new(
        inner: Arc<dyn Backend>,
        rule: RetryRule,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        cancel: CancelToken,
    ) -> Self {
        assert!(rule.attempts_max > 0, "at least one attempt is made");
        Self {
            inner,
            rule,
            clock,
            entropy,
            cancel,
            repeats: AtomicU64::new(0),
        }
    }

    /// Attempts beyond the first ones so far; a place that needs many is about to fail.
    pub fn repeats(&self) -> u64 {
        self.repeats.load(Relaxed)
    }

    /// Makes attempts until one succeeds, fails for good, or was the last.
    ///
    /// `make` is told whether an earlier attempt may have had its effect.
    fn repeat<T>(&self, call: Call, mut make: impl FnMut(bool) -> Result<T>) -> Result<T> {
        let mut pause = self.rule.pause_first.min(self.rule.pause_max);
        let mut attempt = 1;
        loop {
            let error = match make(attempt > 1) {
                Err(error) if error.kind().is_repeatable() => error,
                settled => return settled,
            };
            if attempt >= self.rule.attempts_max {
                return Err(error);
            }
            if !self.pause(pause) {
                let cancelled = ErrorKind::Cancelled;
                let stopped = Error::new(cancelled, Doing::Call(call), self.location());
                return Err(stopped.caused_by(error));
            }
            self.repeats.fetch_add(1, Relaxed);
            attempt += 1;
            pause = (pause * 2).min(self.rule.pause_max);
        }
    }

    /// Waits between half and all of `pause`; says whether to go on.
    fn pause(&self, pause: Duration) -> bool {
        let mut random = [0; 4];
        self.entropy.fill(&mut random);
        let part = f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX);
        let mut left = pause.mul_f64(0.5 + part / 2.0);
        while !left.is_zero() && !self.cancel.is_cancelled() {
            let slice = left.min(SLICE);
            self.clock.sleep(slice);
            left -= slice;
        }
        !self.cancel.is_cancelled()
    }
}

impl Backend for Retrying {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn upkeep(&self) -> Option<&dyn Upkeep> {
        self.inner.upkeep()
    }

    fn create(&self) -> Result<()> {
        self.repeat(Call::Create, |_| self.inner.create())
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        self.repeat(Call::List, |_| self.inner.list(kind))
    }

    fn size(&self, file: FileHandle) -> Result<u64> {
        self.repeat(Call::Size, |_| self.inner.size(file))
    }

    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        self.repeat(Call::Load, |_| self.inner.load(file))
    }

    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.repeat(Call::Read, |_| self.inner.read(file, offset, buffer))
    }

    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        self.repeat(Call::Save, |_| self.inner.save(file, content))
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        self.repeat(Call::Remove, |is_again| match self.inner.remove(file) {
            Err(error) if is_again && error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed,
        })
    }
}
