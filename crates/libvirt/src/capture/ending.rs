//! The end of a backup job.

use std::path::Path;
use std::time::Duration;

use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Result, VmId};

use crate::access::Access;
use crate::binding::{Domain, Failure};

use super::job::JobRecord;

/// Limit: for a job that was told to end.
const END_LIMIT: Duration = Duration::from_secs(30);
const END_PAUSE: Duration = Duration::from_millis(20);

/// Whether the job with this socket runs.
pub(super) fn is_there(domain: &Domain, vm: &VmId, socket: &Path) -> Result<bool> {
    let failed = |failure: Failure| failure.of("asking for the jobs of", vm.as_str());
    let Some(xml) = domain.backup().map_err(failed)? else {
        return Ok(false);
    };
    Ok(JobRecord::parse(&xml)?.socket.as_deref() == Some(socket))
}

/// Ends the job with this socket, and waits: libvirt only asks QEMU to end it, and until that is
/// done no other can begin.
pub(super) fn end(access: &Access, domain: &Domain, vm: &VmId, socket: &Path) -> Result<()> {
    const DOING: &str = "ending the backup job of";
    let aborted = domain.abort_job();
    aborted.map_err(|failure| failure.of(DOING, vm.as_str()))?;
    let mut waited = Duration::ZERO;
    while is_there(domain, vm, socket)? {
        if waited > END_LIMIT {
            return Err(Error::new(ErrorKind::Busy, DOING, vm.as_str()).seen("it does not end"));
        }
        access.clock.sleep(END_PAUSE);
        waited += END_PAUSE;
    }
    Ok(())
}
