//! Machines are listed with what people said of them; what cannot be protected is said.

use std::sync::Arc;

use lifeboat_disk::ImageFormat;
use lifeboat_libvirt::{Libvirt, LibvirtOptions};
use lifeboat_model::{ErrorKind, SystemClock};
use lifeboat_platform::{Platform, VmState};
use lifeboat_testkit::{SeededEntropy, tool};

use crate::session::{MIB, Session, qcow2, raw};

fn platform(uri: &str) -> Libvirt {
    let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SeededEntropy::new(1)));
    Libvirt::new(LibvirtOptions::new(uri), clock, entropy)
}

#[test]
fn the_test_driver_has_one_running_machine() {
    if tool("virsh").is_none() {
        return;
    }
    let inventory = platform("test:///default").inventory().unwrap();
    assert_eq!(inventory.vms.len(), 1);
    let vm = &inventory.vms[0];
    assert_eq!((vm.name.as_str(), vm.state), ("test", VmState::Running));
    assert_eq!(vm.id.as_str().len(), 36);
}

#[test]
fn a_daemon_that_is_not_there_is_unreachable() {
    if tool("virsh").is_none() {
        return;
    }
    let nowhere = platform("qemu:///system?socket=/nowhere/libvirt-sock");
    let error = nowhere.inventory().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    assert!(error.to_string().contains("libvirtd runs"), "{error}");
}

#[test]
fn machines_come_with_title_tags_and_disks() {
    let Some(session) = Session::begin() else {
        return;
    };
    let devices =
        "<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>";
    let web = session.defined("web", &[qcow2("vda", 8), raw("vdb", 4)], devices);
    let tags = "<tags><tag key='class' value='gold'/></tags>";
    let set = [
        "metadata",
        "web",
        "--config",
        "--uri",
        "urn:lifeboat:tags",
        "--key",
        "lb",
        "--set",
    ];
    session.virsh(&[&set[..], &[tags]].concat());
    session.virsh(&["desc", "web", "--config", "--title", "The shop"]);
    let db = session.machine("db", &[]);
    session.defined(".hidden", &[], "");
    let inventory = session.platform.inventory().unwrap();
    let names: Vec<_> = inventory.vms.iter().map(|vm| vm.name.as_str()).collect();
    assert_eq!(names, ["db", "web"]);
    assert_eq!(inventory.vms[0].id, db.id);
    assert_eq!(inventory.vms[0].state, VmState::Running);
    let vm = &inventory.vms[1];
    assert_eq!((&vm.id, vm.state), (&web.id, VmState::Off));
    assert_eq!(vm.title.as_deref(), Some("The shop"));
    assert_eq!(vm.tags["class"], "gold");
    let disks: Vec<_> = vm
        .disks
        .iter()
        .map(|it| {
            (
                it.name.as_str(),
                it.size,
                it.format,
                it.passed_over.is_some(),
            )
        })
        .collect();
    let (vda, vdb) = (Some(ImageFormat::Qcow2), Some(ImageFormat::Raw));
    assert_eq!(disks[0], ("vda", Some(8 * MIB), vda, false));
    assert_eq!(disks[1], ("vdb", Some(4 * MIB), vdb, false));
    assert_eq!((disks[2].0, disks[2].3), ("sda", true));
    assert_eq!(inventory.findings.len(), 1);
    assert!(
        inventory.findings[0].text.contains(".hidden"),
        "{:?}",
        inventory.findings
    );
}
