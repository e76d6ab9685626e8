//! Everything a repository takes from outside besides its files.

use std::sync::Arc;

use lifeboat_model::{CancelToken, Clock, Entropy, Progress};

/// The doors for time and randomness, and who we are.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for keys and nonces.
    pub entropy: Arc<dyn Entropy>,
    /// Asks running work to stop at its next consistent point.
    pub cancel: CancelToken,
    /// Where running work counts.
    pub progress: Arc<Progress>,
    /// Who works here; written into locks and keys.
    pub owner: Owner,
    /// Threads that compute; at least one.
    pub threads: usize,
}

/// The process that works on a repository.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Host name as the system knows it.
    pub hostname: String,
    /// Login name.
    pub username: String,
    /// Process id.
    pub pid: u32,
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// Names the one process-id space this process lives in (machine, boot, namespace), in
    /// hexadecimal. Two processes with equal `instance` can see each other's process ids.
    pub instance: String,
    /// Says whether a process of our instance still runs.
    pub is_alive: fn(u32) -> bool,
}

impl Environment {
    pub(crate) fn check_cancelled(&self) -> crate::Result<()> {
        if self.cancel.is_cancelled() {
            Err(crate::Error::cancelled())
        } else {
            Ok(())
        }
    }

    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }
}
