//! Platforms by their URIs.
//!
//! | URI | machines |
//! |---|---|
//! | `qemu:///system`, `qemu:///session`, `qemu+ssh://...`, `test:///...` | those of that libvirt |
//! | `lvm+qemu:///system` | those of that libvirt, captured by snapshots of their volumes |
//! | `lvm:GROUP/VOLUME,...` | this computer, of which those volumes are the disks |
//! | `plain:/path,...` | this computer, of which those devices or files are the disks |

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use lifeboat_libvirt::{Libvirt, LibvirtOptions};
use lifeboat_lvm::{Doors, LocalSystem, Lvm, Machine, Options, Sort};
use lifeboat_model::{DiskName, ErrorKind, ParseError, SystemClock, SystemEntropy, VmName};
use lifeboat_platform::{Error, Platform, Result, Vm, VmDisk, VmId, VmState};

/// Beginnings of libvirt's own URIs.
const LIBVIRT: [&str; 4] = ["qemu:", "qemu+", "test:", "test+"];

/// Opens the platform that a URI names; nothing is reached yet.
///
/// Errors: `Invalid` for another beginning; what listing the machines for `lvm+` gives.
pub(crate) fn open(uri: &str) -> Result<Arc<dyn Platform>> {
    if LIBVIRT.iter().any(|start| uri.starts_with(start)) {
        return Ok(Arc::new(libvirt(uri)));
    }
    if let Some(inner) = uri.strip_prefix("lvm+") {
        let libvirt = libvirt(inner);
        if !libvirt.is_here() {
            // Volumes of the same names are here, and are others.
            let error = Error::new(ErrorKind::Unsupported, "opening the platform", uri);
            return Err(error.seen(
                "snapshots of logical volumes are made on this host only: leave out lvm+, or run \
                 lifeboat on that host",
            ));
        }
        let machines = machines_of(&libvirt)?;
        return Ok(Arc::new(on_volumes(Sort::LvmLibvirt, machines)));
    }
    let (sort, list) = match uri.split_once(':') {
        Some(("lvm", list)) => (Sort::LvmHost, list),
        Some(("plain", list)) => (Sort::Plain, list),
        _ => {
            let error = Error::new(ErrorKind::Invalid, "opening the platform", uri);
            return Err(error.seen(
                "write a libvirt URI as in qemu:///system, lvm+URI, lvm:GROUP/VOLUME,... or \
                 plain:/path,...",
            ));
        }
    };
    let machine = this_computer(sort, list).map_err(|cause| {
        let error = Error::new(ErrorKind::Invalid, "opening the platform", uri);
        error.because(cause)
    })?;
    Ok(Arc::new(on_volumes(sort, vec![machine])))
}

fn libvirt(uri: &str) -> Libvirt {
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    Libvirt::new(LibvirtOptions::new(uri), clock, entropy)
}

fn on_volumes(sort: Sort, machines: Vec<Machine>) -> Lvm {
    let doors = Doors {
        system: Arc::new(LocalSystem::default()),
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SystemEntropy),
    };
    Lvm::new(sort, machines, Options::default(), doors)
}

/// The machines of a libvirt with what describes them.
fn machines_of(libvirt: &Libvirt) -> Result<Vec<Machine>> {
    let inventory = libvirt.inventory()?;
    let machines = inventory.vms.into_iter().map(|vm| {
        let files = libvirt.describe(&vm.id)?;
        Ok(Machine { vm, files })
    });
    machines.collect()
}

/// This computer, with the disks that a list names: devices under `/dev/GROUP/VOLUME`, or paths.
fn this_computer(sort: Sort, list: &str) -> std::result::Result<Machine, ParseError> {
    let mut disks = Vec::new();
    for text in list.split(',') {
        let path = match sort {
            Sort::LvmHost => format!("/dev/{}", text.trim_start_matches("/dev/")),
            _ => text.to_owned(),
        };
        let name = Path::new(&path).file_name().unwrap_or_default();
        let name: DiskName = name.to_string_lossy().parse()?;
        if !path.starts_with('/') || disks.iter().any(|disk: &VmDisk| disk.name == name) {
            let rule = "write paths that begin with / and whose last names differ";
            return Err(ParseError::new("list of disks", list, rule));
        }
        disks.push(VmDisk {
            name,
            size: None,
            format: None,
            place: path,
            passed_over: None,
        });
    }
    let host = rustix::system::uname();
    let name: VmName = host.nodename().to_string_lossy().parse()?;
    Ok(Machine {
        vm: Vm {
            id: VmId::new(format!("{}:{name}", sort.as_str())),
            name,
            state: VmState::Running,
            title: None,
            tags: BTreeMap::new(),
            disks,
        },
        files: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris_lead_to_their_platforms() {
        assert_eq!(open("qemu:///system").unwrap().kind(), "libvirt");
        assert_eq!(open("lvm:vg0/root,vg0/home").unwrap().kind(), "lvm_host");
        assert_eq!(open("plain:/dev/sdb").unwrap().kind(), "plain");
        let same = open("lvm:vg0/root,vg1/root").err().unwrap();
        assert_eq!(same.kind(), ErrorKind::Invalid);
        let elsewhere = open("lvm+qemu+ssh://host/system").err().unwrap();
        assert_eq!(elsewhere.kind(), ErrorKind::Unsupported);
        let other = open("vbox:///session").err().unwrap().to_string();
        assert!(other.contains("qemu:///system"), "{other}");
    }
}
