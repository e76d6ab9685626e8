//! Everything on the disks: found, mounted, and put together as the system inside sees it.

use std::fs;
use std::io;
use std::path::Path;

use super::devices::{self, Device};
use super::mounts::Mount;
use super::outlet::Outlet;
use super::probe::{Probed, probe};
use super::{lvm, modules, places, system};
use crate::wire::FoundVolume;

/// What was found. Number N of `volumes` is `devices[N]`, mounted at `/volumes/N` if readable.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) volumes: Vec<FoundVolume>,
    pub(super) devices: Vec<Device>,
    /// The system's own tree is at `/system`.
    pub(super) has_system: bool,
    pub(super) has_logical: bool,
    /// Paths at which the system's own table wants something that is not there, and why.
    pub(super) missing: Vec<(String, String)>,
    pub(super) is_writable: bool,
}

/// Looks at all disks. Tells the host that it is alive; an error if that is gone.
pub(super) fn survey(outlet: &mut Outlet, is_writable: bool) -> io::Result<Survey> {
    let mut survey = Survey {
        is_writable,
        ..Survey::default()
    };
    for device in devices::disks() {
        outlet.alive()?;
        survey.add(device);
    }
    survey.add_logical();
    for number in 0..survey.volumes.len() {
        outlet.alive()?;
        survey.mount(number);
    }
    system::assemble(&mut survey);
    outlet.alive()?;
    Ok(survey)
}

impl Survey {
    fn add(&mut self, device: Device) {
        let Probed {
            content,
            label,
            uuid,
        } = probe(&device.node);
        self.volumes.push(FoundVolume {
            place: device.place.clone(),
            size: device.size,
            content: content.into(),
            label,
            uuid,
            is_readable: false,
            mounted_at: None,
            letter: None,
            note: String::new(),
        });
        self.devices.push(device);
    }

    fn add_logical(&mut self) {
        let members: Vec<_> = (0..self.volumes.len())
            .filter(|number| self.volumes[*number].content == "LVM2_member")
            .collect();
        if self.is_writable {
            // A command may want to make some.
            modules::load(&modules::LOGICAL);
        }
        if members.is_empty() {
            return;
        }
        let nodes: Vec<&Path> = members.iter().map(|it| &*self.devices[*it].node).collect();
        let activated = lvm::activate(&nodes);
        if let Err(text) = activated {
            for number in members {
                self.volumes[number].note.clone_from(&text);
            }
        }
        for device in devices::logical_volumes() {
            self.has_logical = true;
            self.add(device);
        }
    }

    fn mount(&mut self, number: usize) {
        let volume = &mut self.volumes[number];
        if volume.content.is_empty() || volume.content == "LVM2_member" {
            return;
        }
        let place = format!("{}/{number}", places::VOLUMES);
        let mount = Mount {
            device: &self.devices[number].node,
            content: &volume.content,
            is_writable: self.is_writable,
            subvolume: None,
        };
        let mounted = fs::create_dir(&place)
            .map_err(|error| error.to_string())
            .and_then(|()| mount.at(&place));
        volume.is_readable = mounted.is_ok();
        volume.note = mounted.unwrap_or_else(|error| error);
    }
}
