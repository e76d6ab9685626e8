//! How a machine is written into a snapshot, and read back.
//!
//! The one writer and its inverse: host = the machine's name, path = `/` and the name, tag
//! `lifeboat`. Stock restic filters and groups by them.

use lifeboat_model::VmName;

use crate::{GoTime, SnapshotFile};

/// Tag of every snapshot of a machine.
pub const MACHINE_TAG: &str = "lifeboat";

/// Tag of every snapshot of files inside a machine.
pub const FILES_TAG: &str = "lifeboat-files";

/// The snapshot record of a machine, without its tree.
pub fn of(machine: &VmName, time: GoTime, tags: &[String]) -> SnapshotFile {
    let mut tags: Vec<String> = std::iter::once(MACHINE_TAG.to_owned())
        .chain(tags.iter().cloned())
        .collect();
    tags.dedup();
    SnapshotFile {
        paths: vec![format!("/{machine}")],
        hostname: machine.as_str().to_owned(),
        tags,
        program_version: concat!("lifeboat ", env!("CARGO_PKG_VERSION")).to_owned(),
        ..SnapshotFile::new(time)
    }
}

/// The machine a snapshot holds; nothing for file snapshots.
pub fn read(snapshot: &SnapshotFile) -> Option<VmName> {
    let is_ours = snapshot.tags.iter().any(|tag| tag == MACHINE_TAG);
    let name: VmName = snapshot.hostname.parse().ok()?;
    (is_ours && snapshot.paths == [format!("/{name}")]).then_some(name)
}
