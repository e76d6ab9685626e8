//! Differences of two volumes of a thin pool.
//!
//! The pool's metadata is read from a snapshot that the kernel reserves: one for each pool.
//! It is released in every case; one that a killed run of ours left is known by a tag on the
//! pool and released by the next, while a lock of this computer says that nobody of ours reads.

use std::time::Duration;

use lifeboat_model::ExtentSet;
use lifeboat_platform::{Finding, Result};

use crate::FullName;
use crate::report::Volume;
use crate::system::LockGuard;
use crate::thin_delta::read_delta;
use crate::tools::Tools;

/// Marks a pool whose reserved metadata snapshot is ours.
const RESERVED_TAG: &str = "lifeboat_reserved";
/// How long another run of ours may read the same pool's metadata.
const PATIENCE: Duration = Duration::from_secs(600);

/// The metadata of a pool.
pub(crate) struct Pool<'a> {
    tools: &'a Tools,
    name: FullName,
}

impl<'a> Pool<'a> {
    pub(crate) fn new(tools: &'a Tools, name: FullName) -> Self {
        Self { tools, name }
    }

    fn device(&self) -> String {
        format!("{}-tpool", self.name.mapper_name())
    }

    fn lock(&self, patience: Duration) -> Result<Option<LockGuard>> {
        let name = format!("lifeboat-pool-{}.lock", self.name.mapper_name());
        self.tools.system().lock(&name, patience)
    }

    /// The bytes that the two volumes do not share, on a disk of `size` bytes.
    ///
    /// The inner error says for people why that cannot be known.
    pub(crate) fn differences(
        &self,
        (from, to): (u32, u32),
        size: u64,
    ) -> Result<std::result::Result<ExtentSet, String>> {
        let Some(_lock) = self.lock(PATIENCE)? else {
            return Ok(Err(format!(
                "another run reads the metadata of {}",
                self.name
            )));
        };
        if let Some(root) = self.reserved_root()? {
            if !self.is_marked()? {
                let text = "another program has reserved the metadata snapshot";
                return Ok(Err(format!("{text} of {} (block {root})", self.name)));
            }
            self.tools
                .message(&self.device(), "release_metadata_snap")?;
        }
        let reserved = Reserved::new(self)?;
        let root = self.reserved_root()?;
        let metadata = self.name.device_below("_tmeta");
        let answer = self
            .tools
            .thin_delta(&metadata.display().to_string(), from, to);
        // Whoever released and reserved it meanwhile changed what was read.
        let is_same = root.is_some() && self.reserved_root()? == root;
        reserved.release()?;
        if !is_same {
            let text = "the reserved metadata snapshot was exchanged while it was read";
            return Ok(Err(text.to_owned()));
        }
        Ok(read_delta(&answer?, size).map_err(|seen| format!("thin_delta's answer: {seen}")))
    }

    /// Releases what a killed run of ours left reserved.
    pub(crate) fn sweep(&self, pool: &Volume) -> Result<Option<Finding>> {
        if !pool.has_tag(RESERVED_TAG) {
            return Ok(None);
        }
        let Some(_lock) = self.lock(Duration::ZERO)? else {
            return Ok(None);
        };
        if self.reserved_root()?.is_some() {
            self.tools
                .message(&self.device(), "release_metadata_snap")?;
        }
        self.tools.remove_tag(&self.name, RESERVED_TAG)?;
        let text = "released the metadata snapshot that an interrupted run had reserved";
        Ok(Some(Finding::note(format!("{text} in {}", self.name))))
    }

    fn is_marked(&self) -> Result<bool> {
        Ok(self.tools.volume(&self.name)?.has_tag(RESERVED_TAG))
    }

    fn reserved_root(&self) -> Result<Option<u64>> {
        Ok(reserved_root(&self.tools.status(&self.device())?))
    }
}

/// The block of the reserved metadata snapshot, if there is one.
///
/// `start length thin-pool transaction metadata data root ...`
fn reserved_root(status: &str) -> Option<u64> {
    let words: Vec<&str> = status.split_ascii_whitespace().collect();
    match words.as_slice() {
        [_, _, "thin-pool", _, _, _, root, ..] => root.parse().ok(),
        _ => None,
    }
}

/// A reserved metadata snapshot; released when dropped.
struct Reserved<'a> {
    pool: &'a Pool<'a>,
    is_released: bool,
}

impl<'a> Reserved<'a> {
    /// Order: marked before it is reserved, so that one without a mark is never ours.
    fn new(pool: &'a Pool<'a>) -> Result<Self> {
        pool.tools.add_tag(&pool.name, RESERVED_TAG)?;
        if let Err(error) = pool.tools.message(&pool.device(), "reserve_metadata_snap") {
            // Whoever was faster keeps it.
            pool.tools.remove_tag(&pool.name, RESERVED_TAG)?;
            return Err(error);
        }
        Ok(Self {
            pool,
            is_released: false,
        })
    }

    fn release(mut self) -> Result<()> {
        self.is_released = true;
        self.end()
    }

    fn end(&self) -> Result<()> {
        let (tools, pool) = (self.pool.tools, self.pool);
        let released = tools.message(&pool.device(), "release_metadata_snap");
        let unmarked = tools.remove_tag(&pool.name, RESERVED_TAG);
        released.and(unmarked)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.is_released {
            // What stays is released by the next run or sweep.
            let _ = self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_root_is_read_from_the_pools_state() {
        let free = "0 131072 thin-pool 2 112/1024 0/1024 - rw discard_passdown - 256 \n";
        let held = "0 131072 thin-pool 2 113/1024 0/1024 19 rw discard_passdown - 256 \n";
        assert_eq!(reserved_root(free), None);
        assert_eq!(reserved_root(held), Some(19));
        assert_eq!(reserved_root("0 131072 thin-pool Fail\n"), None);
    }
}
