//! The volumes that this computer itself lives on.

use std::sync::Arc;

use lifeboat_model::ErrorKind;
use lifeboat_platform::{CHECKPOINT_PREFIX, Error, Result, VmDisk};

use crate::report::{Volume, VolumeKind};
use crate::system::System;
use crate::tools::Tools;

/// The volumes on which file systems of this computer are mounted, be it through encryption or
/// other layers, as disks by the names `GROUP-VOLUME`, in the order of names.
///
/// A name does not depend on which other volumes there are: increments find their parent by it.
///
/// Errors: those of asking LVM; `Invalid` for two volumes of one such name.
pub fn own_disks(system: &Arc<dyn System>) -> Result<Vec<VmDisk>> {
    let mounted = system.mounted_devices()?;
    let all = Tools::new(Arc::clone(system)).volumes()?;
    let is_own = |volume: &&Volume| {
        matches!(volume.kind, VolumeKind::Classic | VolumeKind::Thin)
            && !volume.name.volume.as_str().starts_with(CHECKPOINT_PREFIX)
            && volume.device.is_some_and(|it| mounted.contains(&it))
    };
    let disks = all.iter().filter(is_own).map(disk);
    let mut disks = disks.collect::<Result<Vec<VmDisk>>>()?;
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    let pairs = disks.iter().zip(disks.iter().skip(1));
    match pairs
        .map(|(one, next)| (one, one.name == next.name))
        .find(|it| it.1)
    {
        None => Ok(disks),
        Some((disk, _)) => {
            let seen = "two volumes give this name; list the volumes, as in self:vg0/root";
            let object = disk.name.to_string();
            Err(Error::new(ErrorKind::Invalid, "naming the disk", object).seen(seen))
        }
    }
}

fn disk(volume: &Volume) -> Result<VmDisk> {
    let name = format!("{}-{}", volume.name.group, volume.name.volume);
    let name = name.parse().map_err(|cause| {
        let object = volume.name.to_string();
        Error::new(ErrorKind::Invalid, "naming the disk of", object).because(cause)
    })?;
    Ok(VmDisk {
        name,
        size: Some(volume.size),
        format: None,
        place: volume.path.display().to_string(),
        passed_over: None,
    })
}
