//! The adapter to libvirt: machines of QEMU found, captured by pull backups, and built anew.
//!
//! Takes a libvirt URI and gives the port's `Platform`.
//! Does not run virsh, know repositories, or move bytes by itself; runs ssh for machines of
//! another host, and no other program here.
//!
//! A capture of a running machine is one pull-mode backup job with one checkpoint: all disks at
//! one instant, read over a unix socket.
//! Checkpoints of several origins stand side by side; whatever does not carry our prefix, or
//! carries another origin, is left alone.
//!
//! Source: DESIGN, row 2; libvirt's documentation, "Backup XML format", "Checkpoint XML format".
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod access;
mod ahead;
mod binding;
mod build;
mod capture;
mod definition;
mod execute;
mod exported;
mod host;
mod inventory;
mod options;
mod platform;

pub use build::{Promoted, Promotion};
pub use capture::{GUARD_ARGUMENT, guard_a_frozen_guest};
pub use definition::TAGS_NAMESPACE;
pub use options::LibvirtOptions;
pub use platform::Libvirt;
