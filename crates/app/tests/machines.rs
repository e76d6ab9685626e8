//! The program beside a real libvirt daemon and QEMU.

pub(crate) mod host;
pub(crate) mod wire;
