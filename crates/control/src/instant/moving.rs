//! Moving the disks of a machine that runs from the repository into storage.
//!
//! Order: where a disk goes is written into the state before the copy is begun, so that a
//! process that comes after one that was killed goes on with the copy, or removes what is left
//! of it and begins anew. What the machine wrote is in the overlays until every disk is known to
//! be moved.

use std::path::PathBuf;
use std::time::Duration;

use lifeboat_model::{CancelToken, Clock, DiskName, ErrorKind, VmName};
use lifeboat_platform::{
    BuildDisk, LiveMachines, Placement, PlannedDisk, Platform, Promotion, Vm, VmId,
};
use serde::{Deserialize, Serialize};

use super::{InstantView, live, machine, of_name};
use crate::error::Doing;
use crate::{Error, Result};

const POLL: Duration = Duration::from_millis(200);

/// A disk that was, or is being, moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovingDisk {
    name: String,
    size: u64,
    format: String,
    to: Target,
    place: String,
}

/// Where it goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Target {
    Pool(String),
    Folder(PathBuf),
    File(PathBuf),
}

impl MovingDisk {
    /// Errors: `Invalid` for a place elsewhere, to which nothing is moved.
    fn of(disk: &PlannedDisk) -> Result<Self> {
        let to = match &disk.placement {
            Placement::Pool(name) => Target::Pool(name.clone()),
            Placement::Folder(path) => Target::Folder(path.clone()),
            Placement::Exact(path) => Target::File(path.clone()),
            Placement::Remote(place) => {
                let message = format!("cannot move the disk {} to {place}", disk.name);
                return Err(Error::new(ErrorKind::Invalid, message));
            }
        };
        Ok(Self {
            name: disk.name.to_string(),
            size: disk.size,
            format: disk.format.to_string(),
            to,
            place: disk.place.clone(),
        })
    }

    fn planned(&self) -> Result<PlannedDisk> {
        Ok(PlannedDisk {
            name: self.name.parse().map_err(|error| of_name(&error))?,
            size: self.size,
            format: self.format.parse().map_err(|error| of_name(&error))?,
            placement: match &self.to {
                Target::Pool(name) => Placement::Pool(name.clone()),
                Target::Folder(path) => Placement::Folder(path.clone()),
                Target::File(path) => Placement::Exact(path.clone()),
            },
            place: self.place.clone(),
        })
    }
}

/// Moves every disk of the machine to `placement` while it runs; then nothing of the repository
/// is needed any more. A disk that is on its way already goes on to where that way leads.
///
/// `told` hears of every step: disk, bytes done, bytes in all.
///
/// Errors: those of the platform; disks that were moved stay moved, the others stay where they
/// were, and the same call goes on.
pub fn promote(
    platform: &dyn Platform,
    view: &mut InstantView,
    placement: &Placement,
    (clock, cancel): (&dyn Clock, &CancelToken),
    told: &mut dyn FnMut(&DiskName, u64, u64),
) -> Result<()> {
    let vm = machine(platform, view)?.ok_or_else(|| gone(platform, view))?;
    let side = live(platform)?;
    for (disk, size) in view.state.disks.clone() {
        let disk: DiskName = disk.parse().map_err(|error| of_name(&error))?;
        if !is_remote(&vm, &disk, view)? {
            continue;
        }
        let moving = match go_on(side, &vm.id, &disk, view)? {
            Some(moving) => moving,
            None => begin(side, &vm.id, (&disk, size), placement, view)?,
        };
        if !follow(&*moving, &disk, (clock, cancel), told)? {
            forget(view, &disk)?;
            return Err(Error::new(ErrorKind::Cancelled, "stopped on request"));
        }
    }
    require_moved(platform, view)
}

/// The copy that an earlier process began; the rest of one that has ended is removed.
fn go_on(
    side: &dyn LiveMachines,
    vm: &VmId,
    disk: &DiskName,
    view: &mut InstantView,
) -> Result<Option<Box<dyn Promotion>>> {
    let mut all = view.state.moving.iter();
    let Some(begun) = all.find(|it| it.name == disk.as_str()) else {
        return Ok(None);
    };
    let planned = begun.planned()?;
    let found = side.find_promotion(vm, &planned);
    let found = found.doing(|| format!("cannot go on moving the disk {disk}"))?;
    if found.is_none() {
        let removed = side.remove_copy(&name_of(view)?, &planned);
        removed.doing(|| format!("cannot remove what is left of moving the disk {disk}"))?;
        forget(view, disk)?;
    }
    Ok(found)
}

/// Begins the copy of a disk, after where it goes was written.
fn begin(
    side: &dyn LiveMachines,
    vm: &VmId,
    (disk, size): (&DiskName, u64),
    placement: &Placement,
    view: &mut InstantView,
) -> Result<Box<dyn Promotion>> {
    let wish = BuildDisk {
        name: disk.clone(),
        size,
        format: None,
        placement: placement.clone(),
    };
    let planned = side.plan_disk(&name_of(view)?, &wish);
    let planned = planned.doing(|| format!("cannot find room for the disk {disk}"))?;
    view.state.moving.push(MovingDisk::of(&planned)?);
    view.folder.save(&view.state)?;
    let begun = side.begin_promotion(vm, &planned);
    if begun
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::Exists)
    {
        // What is there is not ours.
        forget(view, disk)?;
    }
    begun.doing(|| format!("cannot move the disk {disk}"))
}

fn forget(view: &mut InstantView, disk: &DiskName) -> Result<()> {
    view.state.moving.retain(|it| it.name != disk.as_str());
    view.folder.save(&view.state)
}

/// Waits until a disk is at its new place, and goes over; false if that was given up on request.
fn follow(
    moving: &dyn Promotion,
    disk: &DiskName,
    (clock, cancel): (&dyn Clock, &CancelToken),
    told: &mut dyn FnMut(&DiskName, u64, u64),
) -> Result<bool> {
    loop {
        let moved = moving.progress();
        let moved = moved.doing(|| format!("cannot move the disk {disk}"))?;
        told(disk, moved.done, moved.end);
        if moved.is_ready() {
            break;
        }
        if cancel.is_cancelled() {
            let stopped = moving.give_up();
            stopped.doing(|| format!("cannot stop moving the disk {disk}"))?;
            return Ok(false);
        }
        clock.sleep(POLL);
    }
    let gone_over = moving.finish();
    gone_over.doing(|| format!("cannot go over to the new disk {disk}"))?;
    Ok(true)
}

/// Removes every disk of a machine that is gone from where it was moved to.
pub(super) fn remove_copies(platform: &dyn Platform, view: &InstantView) -> Result<()> {
    for disk in &view.state.moving {
        let removed = live(platform)?.remove_copy(&name_of(view)?, &disk.planned()?);
        removed.doing(|| format!("cannot remove {}", disk.place))?;
    }
    Ok(())
}

/// Whether a disk of the machine is still the folder's; one whose place is not known is an error,
/// for what is taken for moved is removed.
fn is_remote(vm: &Vm, disk: &DiskName, view: &InstantView) -> Result<bool> {
    let socket = view.folder.socket().display().to_string();
    let found = vm.disks.iter().find(|it| it.name == *disk);
    let place = found.map(|it| it.place.as_str()).unwrap_or_default();
    if place.contains(&socket) {
        return Ok(true);
    }
    if place.starts_with('/') {
        return Ok(false);
    }
    let message = format!(
        "it is not clear where the disk {disk} of {} is: \"{place}\"",
        vm.name
    );
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// Looks again: every disk must be at a place of its own.
fn require_moved(platform: &dyn Platform, view: &InstantView) -> Result<()> {
    let vm = machine(platform, view)?.ok_or_else(|| gone(platform, view))?;
    for (disk, _) in &view.state.disks {
        let disk: DiskName = disk.parse().map_err(|error| of_name(&error))?;
        if is_remote(&vm, &disk, view)? {
            let message = format!("the disk {disk} of {} was not moved", vm.name);
            return Err(Error::new(ErrorKind::Busy, message));
        }
    }
    Ok(())
}

fn name_of(view: &InstantView) -> Result<VmName> {
    view.state.name.parse().map_err(|error| of_name(&error))
}

fn gone(platform: &dyn Platform, view: &InstantView) -> Error {
    let message = format!("{} is gone from {}", view.state.name, platform.place());
    Error::new(ErrorKind::NotFound, message)
}
