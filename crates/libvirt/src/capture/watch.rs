//! Watches the room for scratch files, so that a full disk ends the backup and not the guest.
//!
//! What the guest overwrites must be copied first; where there is no room for that, QEMU fails
//! the guest's own write. Ending the job in time costs a backup, not a machine.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Once};
use std::thread;

use lifeboat_platform::VmId;

use crate::access::Access;

/// Limit: bytes that are always left free, if the run needs as much.
const FLOOR_MAX: u64 = 1 << 30;

/// A watch that ends when it is dropped.
pub(crate) struct ScratchWatch {
    /// Held: the thread ends when it closes.
    _stop: Sender<()>,
    fired: Arc<AtomicBool>,
}

impl ScratchWatch {
    /// `needed`: the bytes that had to be free at the beginning.
    pub(crate) fn begin(access: &Arc<Access>, vm: &VmId, folder: &Path, needed: u64) -> Self {
        let (stop, stopped) = channel();
        let fired = Arc::new(AtomicBool::new(false));
        let (access, vm) = (Arc::clone(access), vm.clone());
        let (folder, signal) = (PathBuf::from(folder), Arc::clone(&fired));
        let floor = (needed / 4).min(FLOOR_MAX);
        let once = Once::new();
        let watch = move || {
            let Ok(host) = access.host() else { return };
            while stopped.recv_timeout(host.pause()) == Err(RecvTimeoutError::Timeout) {
                let is_low = host.free_bytes(&folder).is_ok_and(|free| free < floor);
                if is_low {
                    signal.store(true, Ordering::Release);
                    once.call_once(|| {
                        // Whether it worked shows when the capture is confirmed.
                        let _ = access.domain(&vm).map(|domain| domain.abort_job());
                    });
                }
            }
        };
        // Without the thread there is no watch, and the room was checked at the beginning.
        let _ = thread::Builder::new().name("scratch".into()).spawn(watch);
        Self { _stop: stop, fired }
    }

    /// Whether the job was ended for want of room.
    pub(crate) fn has_fired(&self) -> bool {
        self.fired.load(Ordering::Acquire)
    }
}
