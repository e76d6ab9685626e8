//! Reads and writes a disk's bytes by extent.
//!
//! Takes a path and the format that the caller states; gives the guest's bytes, which ranges
//! hold data, which ranges changed since a checkpoint, and writers that restore them.
//! Does not probe formats, follow names inside images unless allowed, speak NBD, or know
//! what is done with the bytes.
//!
//! Images come from machines that may be hostile: every number in them is checked against a
//! cap before memory or time is spent on it.
//!
//! Source: DESIGN, row 1; QEMU docs/interop/qcow2.txt for the qcow2 format.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod block_device;
mod changed_extents;
mod direct;
mod error;
mod host_file;
mod lifecycle;
mod open;
mod port;
mod qcow2;
mod raw_disk;
mod raw_writer;
mod work_file;
mod zeros;

pub use block_device::BlockDeviceWriter;
pub use changed_extents::{ChangedExtents, DataExtents};
pub use error::{Error, Result};
pub use host_file::is_block_device;
pub use open::{BackingPolicy, DataFilePolicy, InUsePolicy, OpenOptions, open_reader};
pub use port::{DiskReader, DiskWriter, ExtentState, ImageFormat, MappedExtent};
pub use qcow2::{
    BackingFile, BitmapFitness, ClusterCompression, InternalSnapshot, Qcow2Bitmap, Qcow2Disk,
    Qcow2Image, Qcow2Writer, Qcow2WriterOptions, StatedFile,
};
pub use raw_disk::{HolePolicy, RawDisk};
pub use raw_writer::{RawWriter, RawWriterOptions};
pub use work_file::{Leftover, TargetMode, is_being_restored};

/// What may be followed when a qcow2 image is opened.
pub type Qcow2OpenOptions = OpenOptions;
