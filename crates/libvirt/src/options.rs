//! Where libvirt is, and the places on its host that a capture uses.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach libvirt and what to use beside it.
#[derive(Clone, Debug)]
pub struct LibvirtOptions {
    /// As in `qemu:///system`.
    pub uri: String,
    /// Where scratch files go when a request names no place; nothing stands for
    /// `/var/lib/libvirt/lifeboat`, of an ordinary user `libvirt/lifeboat` in their data.
    pub scratch: Option<PathBuf>,
    /// Where sockets go; nothing stands for the folder that libvirt keeps for each running
    /// machine, in which QEMU may write under every security driver, and else the scratch.
    pub sockets: Option<PathBuf>,
    /// Files that images name as their backing are opened only below this folder; nothing
    /// stands for the folder of the image.
    pub backing: Option<PathBuf>,
    /// The command that watches over a frozen guest: it must come to
    /// [`crate::guard_a_frozen_guest`]. Nothing stands for this program with
    /// [`crate::GUARD_ARGUMENT`].
    pub guard: Option<Vec<OsString>>,
    /// How long a machine that is set aside may take to shut down before it is switched off.
    pub stop_limit: Duration,
}

impl LibvirtOptions {
    /// The usual places.
    pub fn new(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            scratch: None,
            sockets: None,
            backing: None,
            guard: None,
            stop_limit: Duration::from_secs(60),
        }
    }
}
