//! libvirt's C library behind safe handles; the only place of this crate with unsafe code.
//!
//! The library is loaded when it is first needed, so that one binary runs where libvirt is
//! absent.
//! Does not know backups: one method is one call of libvirt.
//!
//! libvirt's objects count their references and may be used by several threads at once; its last
//! error belongs to the thread that made the call, and is read before anything else is done.
//!
//! Source: libvirt's headers `libvirt-domain.h`, `libvirt-domain-checkpoint.h`,
//! `libvirt-storage.h`, `libvirt-network.h`, `libvirt-event.h`, `libvirt-qemu.h`, `virterror.h`.
#![allow(unsafe_code, reason = "calls into a C library")]

mod checkpoint;
mod connection;
mod domain;
mod failure;
mod library;
mod pool;
mod text;

pub(crate) use checkpoint::{Checkpoint, Deletion};
pub(crate) use connection::Connection;
pub(crate) use domain::{
    CopyRule, Definition as DefinitionKind, Domain, DomainState, JobEnd, Operation, Undefining,
};
pub(crate) use failure::{Called, Code, Failure};
