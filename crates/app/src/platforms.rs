//! Platforms by their URIs.
//!
//! | URI | machines |
//! |---|---|
//! | `qemu:///system`, `qemu:///session`, `qemu+ssh://...`, `test:///...` | those of that libvirt |
//! | `lvm+qemu:///system` | those of that libvirt, captured by snapshots of their volumes |
//! | `lvm:GROUP/VOLUME,...` | this computer, of which those volumes are the disks |
//! | `self:` | this computer, of which the volumes are the disks that it lives on |
//! | `self:GROUP/VOLUME,/path,...` | this computer with these: volumes, others as they are |
//! | `plain:/path,...` | this computer, of which those devices or files are the disks |

mod volumes_of_libvirt;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use lifeboat_libvirt::{Libvirt, LibvirtOptions};
use lifeboat_lvm::{Doors, LocalSystem, Lvm, Machine, Sort, own_disks};
use lifeboat_model::{DiskName, ErrorKind, ParseError, SystemClock, SystemEntropy, VmName};
use lifeboat_platform::{Error, Platform, Result, SnapshotRules, Vm, VmDisk, VmId, VmState};

use volumes_of_libvirt::VolumesOfLibvirt;

/// Beginnings of libvirt's own URIs.
const LIBVIRT: [&str; 4] = ["qemu:", "qemu+", "test:", "test+"];
const FORMS: &str = "write a libvirt URI as in qemu:///system, lvm+URI, \
    lvm:GROUP/VOLUME,..., self:, self:GROUP/VOLUME,/path,... or plain:/path,...";

/// Opens the platform that a URI names; only `self:` looks at this computer already.
///
/// Errors: `Invalid` for another beginning, and for rules about snapshots where none are taken;
/// what asking LVM gives.
pub(crate) fn open(uri: &str, rules: Option<SnapshotRules>) -> Result<Arc<dyn Platform>> {
    let invalid = || Error::new(ErrorKind::Invalid, "opening the platform", uri);
    let takes_snapshots = ["lvm+", "lvm:", "self:"]
        .iter()
        .any(|it| uri.starts_with(it));
    if rules.is_some() && !takes_snapshots {
        return Err(invalid().seen(
            "the job has rules for snapshots of LVM volumes, [lvm], and this platform takes none; \
             remove them, or name a platform that begins with lvm+, lvm: or self:",
        ));
    }
    let rules = rules.unwrap_or_default();
    if LIBVIRT.iter().any(|start| uri.starts_with(start)) {
        return Ok(Arc::new(libvirt(uri)));
    }
    if let Some(inner) = uri.strip_prefix("lvm+") {
        if !LIBVIRT.iter().any(|start| inner.starts_with(start)) {
            return Err(invalid().seen(FORMS));
        }
        let libvirt = Arc::new(libvirt(inner));
        if !libvirt.is_here() {
            // Volumes of the same names are here, and are others.
            let error = Error::new(ErrorKind::Unsupported, "opening the platform", uri);
            return Err(error.seen(
                "snapshots of logical volumes are made on this host only: leave out lvm+, or run \
                 lifeboat on that host",
            ));
        }
        return Ok(Arc::new(VolumesOfLibvirt { libvirt, rules }));
    }
    let (sort, list) = match uri.split_once(':') {
        Some(("lvm", list)) => (Sort::LvmHost, list),
        Some(("self", list)) => (Sort::SelfHost, list),
        Some(("plain", list)) => (Sort::Plain, list),
        _ => return Err(invalid().seen(FORMS)),
    };
    let disks = match (sort, list) {
        (Sort::SelfHost, "") => own_disks(&doors().system)?,
        _ => listed(sort, list).map_err(|cause| invalid().because(cause))?,
    };
    let machine = this_computer(sort, disks).map_err(|cause| invalid().because(cause))?;
    Ok(Arc::new(on_volumes(sort, vec![machine], rules)))
}

/// Whether a URI can be opened, without looking at anything.
///
/// Errors: those of [`open`] that the text alone gives.
pub(crate) fn check(uri: &str) -> Result<()> {
    match uri {
        // What it stands for is asked when it is opened.
        "self:" => Ok(()),
        uri => open(uri, None).map(drop),
    }
}

fn libvirt(uri: &str) -> Libvirt {
    let (clock, entropy) = (Arc::new(SystemClock::new()), Arc::new(SystemEntropy));
    Libvirt::new(LibvirtOptions::new(uri), clock, entropy)
}

fn doors() -> Doors {
    Doors {
        system: Arc::new(LocalSystem::default()),
        clock: Arc::new(SystemClock::new()),
        entropy: Arc::new(SystemEntropy),
    }
}

fn on_volumes(sort: Sort, machines: Vec<Machine>, rules: SnapshotRules) -> Lvm {
    Lvm::new(sort, machines, rules, doors())
}

/// The disks that a list names: devices under `/dev/GROUP/VOLUME`, or paths.
fn listed(sort: Sort, list: &str) -> std::result::Result<Vec<VmDisk>, ParseError> {
    let mut disks = Vec::new();
    for text in list.split(',') {
        let is_volume = match sort {
            Sort::LvmHost => true,
            Sort::SelfHost => !text.starts_with('/'),
            Sort::Plain | Sort::LvmLibvirt => false,
        };
        let below = text.trim_start_matches("/dev/");
        if is_volume && !is_volume_name(below) {
            let rule = "write volumes as GROUP/VOLUME, as in vg0/root,vg0/home";
            return Err(ParseError::new("list of volumes", list, rule));
        }
        let path = match is_volume {
            true => format!("/dev/{below}"),
            false => text.to_owned(),
        };
        let name = disk_name(sort, is_volume, &path)?;
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
    Ok(disks)
}

/// Whether it is `GROUP/VOLUME`.
fn is_volume_name(text: &str) -> bool {
    let is_one = |name: &str| !name.is_empty() && !name.contains('/');
    let parts = text.split_once('/');
    parts.is_some_and(|(group, volume)| is_one(group) && is_one(volume))
}

/// The last name of the path; for volumes of `self:` what finding them by itself gives.
fn disk_name(sort: Sort, is_volume: bool, path: &str) -> std::result::Result<DiskName, ParseError> {
    if sort == Sort::SelfHost && is_volume {
        let below = path.trim_start_matches("/dev/");
        return below.replace('/', "-").parse();
    }
    let name = Path::new(path).file_name().unwrap_or_default();
    name.to_string_lossy().parse()
}

fn this_computer(sort: Sort, disks: Vec<VmDisk>) -> std::result::Result<Machine, ParseError> {
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
        let kind = |uri: &str| open(uri, None).unwrap().kind();
        assert_eq!(kind("qemu:///system"), "libvirt");
        assert_eq!(kind("lvm+qemu:///system"), "lvm_libvirt");
        assert_eq!(kind("lvm:vg0/root,vg0/home"), "lvm_host");
        assert_eq!(kind("self:vg0/root,/dev/sda1"), "self");
        assert_eq!(kind("plain:/dev/sdb"), "plain");
        let refused = |uri: &str| open(uri, None).err().unwrap();
        let elsewhere = refused("lvm+qemu+ssh://host/system");
        assert_eq!(elsewhere.kind(), ErrorKind::Unsupported);
        assert_eq!(refused("lvm:vg0/root,vg1/root").kind(), ErrorKind::Invalid);
        for uri in [
            "vbox:///session",
            "lvm+vbox:///session",
            "/dev/sda",
            "",
            "qemuu:///system",
        ] {
            let told = refused(uri).to_string();
            assert!(told.contains("qemu:///system"), "{told}");
        }
        for uri in [
            "plain:",
            "plain:rel.img",
            "plain:/a,/a",
            "lvm:",
            "lvm:vg0",
            "self:vg0/",
        ] {
            assert_eq!(
                check(uri).err().map(|it| it.kind()),
                Some(ErrorKind::Invalid),
                "{uri}"
            );
        }
        assert!(check("self:").is_ok() && check("lvm:vg0/root").is_ok());
    }

    #[test]
    fn rules_for_snapshots_are_refused_where_none_are_taken() {
        let rules = Some(SnapshotRules::default());
        assert!(open("lvm+qemu:///system", rules).is_ok());
        for uri in ["qemu:///system", "plain:/dev/sdb"] {
            let told = open(uri, rules).err().unwrap().to_string();
            assert!(told.contains("[lvm]"), "{told}");
        }
    }

    #[test]
    fn volumes_of_this_computer_have_one_name_however_they_are_found() {
        let disks = listed(Sort::SelfHost, "vg0/root,/dev/sda1").unwrap();
        let names: Vec<&str> = disks.iter().map(|disk| disk.name.as_str()).collect();
        assert_eq!(names, ["vg0-root", "sda1"]);
        assert_eq!(disks[0].place, "/dev/vg0/root");
    }
}
