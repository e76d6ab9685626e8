//! The side of the host: finds a kernel, packs the initramfs, starts QEMU, asks and listens.

mod channel;
mod cpio;
mod elf;
mod initramfs;
mod kernel;
mod libraries;
mod modules;
mod path;
mod qemu;
mod run;
mod session;
mod settings;
mod socket_folder;
mod unpack;
mod volume;
mod walk;

pub use path::{GuestPath, LastLink};
pub use run::{Command, Ran};
pub use session::{Listed, Rescue};
pub use settings::{Accelerator, Access, Disk, DiskFormat, DiskPlace, Patience, Settings};
pub use socket_folder::SocketFolder;
pub use unpack::{Unpacked, unpack};
pub use volume::Volume;
pub use walk::{Content, Step, Walk};
