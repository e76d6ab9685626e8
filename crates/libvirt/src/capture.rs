//! Captures of machines: running ones by a backup job, others by their images.

mod choice;
mod describe;
mod ending;
mod freeze;
mod guard;
mod job;
mod leftovers;
mod marks;
mod offline;
mod running;
mod scratch;
mod still;
mod watch;

use std::sync::Arc;

use lifeboat_model::ErrorKind;
use lifeboat_platform::{Capture, CaptureRequest, Error, Result};

use crate::access::Access;
use crate::binding::DomainState;

pub(crate) use describe::{DEFINITION_FILE, NVRAM_FILE, describe};
pub use guard::{GUARD_ARGUMENT, guard_a_frozen_guest};
pub(crate) use job::escaped;
pub(crate) use leftovers::{sweep, sweep_runs};
pub(crate) use marks::{ours as marks_of_ours, remove_record};
pub(crate) use scratch::usual_base;
pub(crate) use still::around;

/// Begins a capture in the way that the machine's state allows.
pub(crate) fn begin(access: &Arc<Access>, request: &CaptureRequest) -> Result<Box<dyn Capture>> {
    let failed = |kind| Error::new(kind, "capturing", request.vm.as_str());
    // What cannot be reached is told before anything is touched.
    access.host()?.require()?;
    let domain = access.domain(&request.vm)?;
    let state = domain
        .state()
        .map_err(|failure| failure.of("asking the state of", request.vm.as_str()))?;
    match state {
        DomainState::Running | DomainState::Paused { .. } => {
            running::begin(access, request, domain)
        }
        DomainState::Off => offline::begin(access, request, &domain),
        DomainState::ShuttingDown => {
            Err(failed(ErrorKind::Busy).seen("the machine is shutting down; try again later"))
        }
        DomainState::Crashed | DomainState::Other => Err(failed(ErrorKind::Unsupported)
            .seen("the machine is in a state that allows no capture; start it, or switch it off")),
    }
}
