//! A machine comes back with every byte, and a failed recovery leaves things as they were.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Mutex;

use lifeboat_control::hook::{Hook, HookEnd, HookRun};
use lifeboat_control::{
    InsideDisks, Quiet, Recovered, RecoverySettings, RecoverySource, Result, Step, Watch,
    WayInside, apply_recovery, plan_recovery, snapshots_of,
};
use lifeboat_model::{DiskName, ErrorKind, VmName};
use lifeboat_platform::{Finding, Identity, LocalDisk, Occupied, Placement, Platform, VmState};
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

/// Says what it was asked, and ends every hook with the code that is its second word.
#[derive(Default)]
struct FakeInside(RefCell<Vec<String>>);

impl WayInside for FakeInside {
    fn enter(&self, disks: &[(DiskName, LocalDisk)]) -> Result<Box<dyn InsideDisks + '_>> {
        let paths = disks
            .iter()
            .map(|(_, disk)| disk.path.display().to_string());
        let paths: Vec<String> = paths.collect();
        self.0
            .borrow_mut()
            .push(format!("enter {}", paths.join(" ")));
        Ok(Box::new(FakeDisks(self)))
    }
}

struct FakeDisks<'a>(&'a FakeInside);

impl InsideDisks for FakeDisks<'_> {
    fn run(&mut self, hook: &Hook, facts: &[(String, String)]) -> HookRun {
        let disks = facts.iter().find(|(name, _)| name == "LIFEBOAT_DISKS");
        let disks = disks.map_or("", |(_, value)| value);
        let words = hook.words.join(" ");
        self.0.0.borrow_mut().push(format!("{words} on {disks}"));
        HookRun {
            when: hook.when,
            words: hook.words.clone(),
            end: HookEnd::Code(hook.words[1].parse().unwrap()),
            seconds: 0.0,
            output: "told\n".to_owned(),
        }
    }

    fn leave(self: Box<Self>) -> Result<()> {
        self.0.0.borrow_mut().push("leave".to_owned());
        Ok(())
    }
}

/// Names the steps.
#[derive(Default)]
struct Steps(Mutex<Vec<String>>);

impl Watch for Steps {
    fn step(&self, vm: &VmName, step: Step) {
        assert_eq!(vm.as_str(), "web01");
        self.0.lock().unwrap().push(step.to_string());
    }

    fn finding(&self, _: &VmName, _: &Finding) {}
}

fn recover(site: &Site, to: &FakePlatform, settings: &RecoverySettings) -> Result<Recovered> {
    recover_by(site, to, settings, &FakeInside::default(), &mut Vec::new())
}

fn recover_by(
    site: &Site,
    to: &FakePlatform,
    settings: &RecoverySettings,
    way: &FakeInside,
    hooks: &mut Vec<HookRun>,
) -> Result<Recovered> {
    recover_told(site, to, settings, (way, hooks, &Quiet))
}

fn recover_told(
    site: &Site,
    to: &FakePlatform,
    settings: &RecoverySettings,
    told: (&dyn WayInside, &mut Vec<HookRun>, &dyn Watch),
) -> Result<Recovered> {
    let index = site.repository.load_index().unwrap();
    let all = snapshots_of(&site.repository, &name("web01")).unwrap();
    let source = RecoverySource {
        repository: &site.repository,
        index: &index,
        snapshot: all.last().unwrap(),
    };
    let plan = plan_recovery(to, source, settings)?;
    apply_recovery(to, to, source, &plan, settings, told)
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
fn steps_of_a_recovery_are_told_in_order_up_to_the_one_that_fails() {
    let (_, site) = stored();
    let (way, steps) = (FakeInside::default(), Steps::default());
    let told = |steps, to: &FakePlatform| {
        let told = (&way as &dyn WayInside, &mut Vec::new(), steps as &dyn Watch);
        recover_told(&site, to, &settings(), told)
    };
    told(&steps, &FakePlatform::new()).unwrap();
    let all = "build restore verify restore verify define start keep";
    assert_eq!(steps.0.lock().unwrap().join(" "), all);
    let (steps, broken) = (Steps::default(), FakePlatform::new());
    broken.set_fault(Some(PlatformFault::Define));
    told(&steps, &broken).unwrap_err();
    let all = "build restore verify restore verify define";
    assert_eq!(steps.0.lock().unwrap().join(" "), all);
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

/// A recovery in place of the machine, with hooks inside its disks.
fn with_hooks(text: &str) -> RecoverySettings {
    RecoverySettings {
        occupied: Occupied::SetAside,
        hooks: job(text).hooks,
        ..settings()
    }
}

#[test]
fn hooks_run_inside_the_restored_disks_before_the_machine_is_there() {
    let (platform, site) = stored();
    let settings = with_hooks(
        "[[end_recovery]]\nrun = ['first', '0']\n\
         [[end_recovery]]\nrun = ['second', '3']\non_failure = 'warn'\n",
    );
    let (way, mut hooks) = (FakeInside::default(), Vec::new());
    let recovered = recover_by(&site, &platform, &settings, &way, &mut hooks).unwrap();
    let seen = way.0.take();
    let wanted = [
        "enter /memory/vda /memory/vdb",
        "first 0 on vda vdb",
        "second 3 on vda vdb",
        "leave",
    ];
    assert_eq!(seen, wanted);
    assert_eq!((hooks.len(), recovered.findings.len()), (2, 1));
    assert!(recovered.findings[0].text.contains("exit code 3: told"));
}

#[test]
fn a_failed_hook_inside_the_disks_brings_the_old_machine_back() {
    let (platform, site) = stored();
    let settings = with_hooks(
        "[[end_recovery]]\nrun = ['first', '1']\n[[end_recovery]]\nrun = ['never', '0']\n",
    );
    let (way, mut hooks) = (FakeInside::default(), Vec::new());
    let error = recover_by(&site, &platform, &settings, &way, &mut hooks).unwrap_err();
    assert!(error.to_string().contains("exit code 1: told"), "{error}");
    assert_eq!((way.0.take().len(), hooks.len()), (2, 1));
    let vms = platform.inventory().unwrap().vms;
    assert_eq!((vms.len(), vms[0].id.as_str()), (1, ID));
}
