//! The side inside: this program as the first and only process of the rescue VM.
//!
//! Loads modules, looks at the disks, mounts what it finds, and answers requests until the host
//! says `Finish` or is gone. A failure here may end the rescue VM, never more.

mod attributes;
mod command;
mod describe;
mod devices;
mod fstab;
mod init;
mod lvm;
pub(crate) mod modules;
mod mounts;
mod outlet;
mod partition;
mod patience;
pub(crate) mod places;
mod probe;
mod serve;
mod survey;
mod system;
mod tree;

use std::process::ExitCode;

use crate::wire;

/// Runs what only runs inside a rescue VM, if the arguments of this process ask for it.
///
/// The program that is packed ([`crate::Settings::program`]) calls this before anything else.
pub fn enter() -> Option<ExitCode> {
    let is_first = rustix::process::getpid().is_init();
    if let Some(access) = std::env::var_os(wire::INIT_VARIABLE).filter(|_| is_first) {
        return Some(init::run(access == wire::WRITE_WORD));
    }
    let mut arguments = std::env::args_os().skip(1);
    let enters = arguments.next()? == wire::ENTER_WORD;
    enters.then(|| command::enter(arguments))
}
