//! qcow2 images: reading versions 2 and 3, writing version 3.
//!
//! Takes a path and what may be followed from inside the image; gives the guest's bytes, the
//! internal snapshots and the persistent dirty bitmaps.
//! Does not decrypt, repair, or follow a name inside an image unless that was allowed.
//!
//! Own parser instead of a library: none reads every variant, and two return the ciphertext of
//! encrypted images without an error.
//!
//! Source: QEMU docs/interop/qcow2.txt; where it is silent, what QEMU 7.2 does.

mod bitmap;
mod cache;
mod chain;
mod compressed;
mod disk;
mod entry;
mod fault;
mod field;
mod geometry;
mod header;
mod image;
mod mapping;
mod snapshot;
mod writer;

pub use bitmap::{BitmapFitness, Qcow2Bitmap};
pub use disk::Qcow2Disk;
pub use image::{Qcow2Image, StatedFile};
pub use snapshot::InternalSnapshot;
pub use writer::{BackingFile, ClusterCompression, Qcow2Writer, Qcow2WriterOptions};
