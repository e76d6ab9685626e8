//! Reads the files inside disks, in a rescue VM.
//!
//! Takes disks as NBD sockets, files or devices; starts a small VM of QEMU, the host's kernel and
//! this program as its only process; gives the volumes found inside (partitions, logical
//! volumes), their files with everything a restic node holds, and the output of commands run
//! inside a restored system.
//! Does not open disks, talk NBD, know machines or repositories, and needs no root rights.
//!
//! File systems of protected machines are hostile: a broken one may take the kernel that mounts
//! it. So the host's kernel never sees them, and the rescue VM, once it has them mounted, is
//! not trusted either: it has no network and no host files, its disks are read-only or
//! throwaway, and what it says is bounded and checked ([`wire`]).
//!
//! Reading works on a throwaway layer above the disk, not on the bare read-only disk: a captured
//! disk is as after a power cut, and only replaying the journal makes its files what they were.
//!
//! Source: DESIGN, recovery of one file and hooks inside restored disks; reference
//! virtualization 3 and 4.

mod error;
mod host;
mod inside;
pub mod wire;

pub use error::{Error, Result};
pub use host::{
    Accelerator, Access, Command, Content, Disk, DiskFormat, DiskPlace, GuestPath, LastLink,
    Listed, Patience, Ran, Rescue, Settings, SocketFolder, Step, Unpacked, Volume, Walk, unpack,
};
pub use inside::enter;
