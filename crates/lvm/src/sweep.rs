//! What interrupted runs left.

use std::collections::BTreeSet;
use std::time::Duration;

use lifeboat_platform::{CheckpointId, Finding, Origin, Result};

use crate::FullName;
use crate::pool::Pool;
use crate::report::Volume;
use crate::tags;
use crate::take::lock_name;
use crate::tools::Tools;

/// Removes snapshots of ours, made for `origin`, of the volumes `mine` or of volumes that are
/// gone, except the wanted checkpoints that still hold something.
///
/// A volume that a running capture of this computer uses is left alone.
pub(crate) fn sweep(
    tools: &Tools,
    (mine, all): (&[&Volume], &[Volume]),
    origin: &Origin,
    wanted: &[CheckpointId],
) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for snapshot in all.iter().filter(|it| tags::is_ours(it, origin)) {
        let Some(uuid) = tags::made_of(snapshot) else {
            continue;
        };
        let volume = all.iter().find(|it| it.uuid == uuid);
        let is_mine = mine.iter().any(|it| it.uuid == uuid);
        let is_wanted = wanted.iter().any(|it| tags::is_checkpoint(snapshot, it));
        let keeps = is_wanted && !snapshot.is_lost;
        if volume.is_some() && (!is_mine || keeps) {
            continue;
        }
        let lock = tools
            .system()
            .lock(&lock_name(origin, uuid), Duration::ZERO)?;
        if lock.is_none() {
            let text = "another run captures the volume now; its snapshot";
            findings.push(Finding::note(format!("{text} {} was left", snapshot.name)));
            continue;
        }
        tools.remove(&snapshot.name)?;
        findings.push(said(snapshot, volume.is_none(), is_wanted));
    }
    findings.extend(sweep_pools(tools, mine, all)?);
    Ok(findings)
}

fn said(snapshot: &Volume, is_orphan: bool, is_wanted: bool) -> Finding {
    let name = &snapshot.name;
    if is_orphan {
        let text = format!("removed the snapshot {name}: the volume of which it was made is gone");
        return Finding::note(text);
    }
    if is_wanted {
        return Finding::warning(format!(
            "removed the kept snapshot {name}: it overflowed; the next backup reads the whole \
             volume; choose a larger size for snapshots"
        ));
    }
    Finding::note(format!(
        "removed the snapshot {name} that an earlier run left"
    ))
}

fn sweep_pools(tools: &Tools, mine: &[&Volume], all: &[Volume]) -> Result<Vec<Finding>> {
    let names = mine.iter().filter_map(|it| it.beside(it.pool.as_deref()?));
    let names: BTreeSet<FullName> = names.collect();
    let mut findings = Vec::new();
    for pool in all.iter().filter(|it| names.contains(&it.name)) {
        findings.extend(Pool::new(tools, pool.name.clone()).sweep(pool)?);
    }
    Ok(findings)
}
