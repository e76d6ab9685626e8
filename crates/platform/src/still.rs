//! Who keeps a machine still around the instant of its capture.
//!
//! For adapters that take snapshots of a machine's disks and do not know the machine itself.

use crate::{CaptureRequest, Consistency, Finding, Origin, Result, VmId};

/// What a machine was like at the instant of its snapshots.
#[derive(Clone, Debug)]
pub struct Stillness {
    /// What the bytes are worth.
    pub consistency: Consistency,
    /// Whether nothing was written from the first snapshot to the last: frozen, paused or off.
    pub is_still: bool,
    /// What was noticed.
    pub findings: Vec<Finding>,
}

/// Who keeps machines still, and knows whether they run.
pub trait Quiescer: Send + Sync {
    /// Makes the machine as still as the request wants, calls `instant` exactly once, and lets
    /// the machine go on in every case, at the latest after `request.freeze_max`.
    ///
    /// Errors: what `instant` gave; if the machine must be frozen and cannot be, mostly without
    /// having called it; for a state that allows no capture. A machine that went on by itself
    /// before `instant` returned was not still.
    fn around(
        &self,
        request: &CaptureRequest,
        instant: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Stillness>;

    /// Lets go what a dead run for `origin` kept still, and says so.
    fn let_go(&self, vm: &VmId, origin: &Origin) -> Result<Vec<Finding>> {
        let _ = (vm, origin);
        Ok(Vec::new())
    }
}
