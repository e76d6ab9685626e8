//! Shows the files inside disks as a read-only file system of the host, by FUSE.
//!
//! Takes whoever answers for files ([`Source`]) and a folder; gives a mount that lives until it
//! is ended. The host's kernel asks for names, descriptions and ranges, never for blocks: it does
//! not mount what the disks hold. Does not start rescue VMs, know machines or repositories.
//!
//! Names, sizes and kinds come from hostile disks. Inode numbers are of our own, so that no two
//! folders are one; device nodes, set-user-id bits and programs have no effect.
//!
//! Memory: what the kernel holds inodes of (it says when it forgets them), the listings of open
//! folders, 200,000 entries of listings kept for lookups, the attributes of one file.
//!
//! Source: the kernel's Documentation/filesystems/fuse.rst.

mod error;
mod kernel;
mod listing;
mod mountpoint;
mod node;
mod session;
mod source;
mod top;
mod tree;

pub use error::{Error, Result};
pub use mountpoint::check;
pub use session::{Audience, Mounted, mount};
pub use source::{Shown, Source};
