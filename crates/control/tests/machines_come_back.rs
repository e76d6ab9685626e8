//! A machine comes back with every byte, and a failed recovery leaves things as they were.

use std::collections::BTreeMap;

use lifeboat_control::{
    Recovered, RecoverySettings, RecoverySource, Result, apply_recovery, plan_recovery,
    snapshots_of,
};
use lifeboat_model::ErrorKind;
use lifeboat_platform::{Identity, Occupied, Placement, Platform, VmState};
use lifeboat_testkit::{FakePlatform, PlatformFault};

use crate::world::{ID, Site, disk, job, name, platform};

fn settings() -> RecoverySettings {
    RecoverySettings {
        name: None,
        disks: Vec::new(),
        placement: Placement::Pool("default".to_owned()),
        placements: BTreeMap::new(),
        networks: Vec::new(),
        identity: Identity::default(),
        occupied: Occupied::Refuse,
        is_started: true,
        is_verified: true,
        hooks: Vec::new(),
    }
}

fn recover(site: &Site, to: &FakePlatform, settings: &RecoverySettings) -> Result<Recovered> {
    let index = site.repository.load_index().unwrap();
    let all = snapshots_of(&site.repository, &name("web01")).unwrap();
    let source = RecoverySource {
        repository: &site.repository,
        index: &index,
        snapshot: all.last().unwrap(),
    };
    let plan = plan_recovery(to, source, settings)?;
    apply_recovery(to, to, source, &plan, settings, None)
}

fn stored() -> (FakePlatform, Site) {
    let (platform, site) = (platform(), Site::new(1));
    site.back_up(&platform, &job("")).result.unwrap();
    (platform, site)
}

#[test]
fn a_machine_comes_back_at_another_place_and_runs() {
    let (platform, site) = stored();
    let elsewhere = FakePlatform::new();
    let recovered = recover(&site, &elsewhere, &settings()).unwrap();
    let id = recovered.vm.as_str();
    for one in ["vda", "vdb"] {
        assert!(
            elsewhere.bytes(id, &disk(one)) == platform.bytes(ID, &disk(one)),
            "{one}"
        );
    }
    let vms = elsewhere.inventory().unwrap().vms;
    assert_eq!(
        (vms[0].name.as_str(), vms[0].state),
        ("web01", VmState::Running)
    );
}

#[test]
fn a_name_that_is_taken_is_refused_unless_the_old_one_may_go_aside() {
    let (platform, site) = stored();
    let refused = recover(&site, &platform, &settings()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Exists);
    let other = RecoverySettings {
        name: Some(name("web01-copy")),
        ..settings()
    };
    recover(&site, &platform, &other).unwrap();
    assert_eq!(platform.inventory().unwrap().vms.len(), 2);
    platform.write(ID, &disk("vda"), 0, b"damage");
    let replace = RecoverySettings {
        occupied: Occupied::SetAside,
        ..settings()
    };
    let recovered = recover(&site, &platform, &replace).unwrap();
    let names: Vec<String> = platform
        .inventory()
        .unwrap()
        .vms
        .iter()
        .map(|vm| vm.name.to_string())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(platform.bytes(recovered.vm.as_str(), &disk("vda")) == site.bytes("web01", "vda"));
}

#[test]
fn the_old_machine_is_put_back_when_the_new_one_fails() {
    let (platform, site) = stored();
    platform.set_fault(Some(PlatformFault::Define));
    let replace = RecoverySettings {
        occupied: Occupied::SetAside,
        ..settings()
    };
    assert!(recover(&site, &platform, &replace).is_err());
    let vms = platform.inventory().unwrap().vms;
    assert_eq!(
        (vms.len(), vms[0].name.as_str(), vms[0].id.as_str()),
        (1, "web01", ID)
    );
}

#[test]
fn one_disk_can_come_back_alone() {
    let (_, site) = stored();
    let elsewhere = FakePlatform::new();
    let one = RecoverySettings {
        disks: vec![disk("vdb")],
        ..settings()
    };
    let recovered = recover(&site, &elsewhere, &one).unwrap();
    assert!(
        elsewhere
            .bytes(recovered.vm.as_str(), &disk("vda"))
            .is_empty()
    );
    assert!(elsewhere.bytes(recovered.vm.as_str(), &disk("vdb")) == site.bytes("web01", "vdb"));
    let none = RecoverySettings {
        disks: vec![disk("sdz")],
        ..settings()
    };
    assert_eq!(
        recover(&site, &elsewhere, &none).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}
