//! What a machine wrote while it ran from the repository is removed only when it is elsewhere.

use std::time::Duration;

use lifeboat_control::instant::{self, InstantFolder, InstantState, InstantView};
use lifeboat_control::{RecoverySource, snapshots_of};
use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_platform::{Placement, Platform};
use lifeboat_testkit::{FakePlatform, ManualClock, PlatformFault};
use tempfile::TempDir;

use crate::world::{DISK_BYTES, Site, disk, job, name, platform};

/// A machine that runs from the repository, without a server.
fn started(base: &TempDir) -> (FakePlatform, InstantFolder) {
    let (platform, site) = (platform(), Site::new(1));
    site.back_up(&platform, &job("")).result.unwrap();
    let elsewhere = FakePlatform::new();
    let folder = InstantFolder::of(base.path(), &name("web01-instant"));
    let mut state = InstantState {
        version: 1,
        name: "web01-instant".to_owned(),
        platform: "memory".to_owned(),
        repository: "memory".to_owned(),
        snapshot: "00".to_owned(),
        machine: "web01".to_owned(),
        disks: vec![
            ("vda".to_owned(), DISK_BYTES as u64),
            ("vdb".to_owned(), DISK_BYTES as u64 / 2),
        ],
        vm: None,
        begun: "2026-11-21T00:00:00Z".to_owned(),
        moving: Vec::new(),
    };
    folder.create(&state).unwrap();
    let again = folder.create(&state).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Exists);
    let index = site.repository.load_index().unwrap();
    let all = snapshots_of(&site.repository, &name("web01")).unwrap();
    let source = RecoverySource {
        repository: &site.repository,
        index: &index,
        snapshot: all.last().unwrap(),
    };
    instant::start(&elsewhere, source, &folder, &mut state, &[]).unwrap();
    (elsewhere, folder)
}

fn view(base: &TempDir) -> InstantView {
    instant::list(base.path()).unwrap().remove(0)
}

fn promote(platform: &FakePlatform, base: &TempDir) -> lifeboat_control::Result<()> {
    let (clock, cancel) = (ManualClock::default(), CancelToken::new());
    let place = Placement::Pool("default".to_owned());
    instant::promote(
        platform,
        &mut view(base),
        &place,
        (&clock, &cancel),
        &mut |_, _, _| {},
    )
}

#[test]
fn every_disk_is_moved_and_then_none_again() {
    let base = TempDir::new().unwrap();
    let (platform, _) = started(&base);
    platform.take_events();
    promote(&platform, &base).unwrap();
    assert_eq!(platform.take_events(), ["promote vda", "promote vdb"]);
    promote(&platform, &base).unwrap();
    assert!(platform.take_events().is_empty());
}

#[test]
fn a_disk_that_was_not_moved_or_is_nowhere_to_be_found_is_an_error() {
    let base = TempDir::new().unwrap();
    let (platform, folder) = started(&base);
    platform.set_fault(Some(PlatformFault::Promote));
    let error = promote(&platform, &base).unwrap_err();
    assert!(error.to_string().contains("was not moved"), "{error}");
    let id = folder.load().unwrap().vm.unwrap();
    platform.set_place(&id, &disk("vda"), "nbd:vda");
    let error = promote(&platform, &base).unwrap_err();
    assert!(error.to_string().contains("not clear where"), "{error}");
    assert!(folder.path().exists());
}

#[test]
fn a_move_that_ended_without_its_machine_is_begun_anew() {
    let base = TempDir::new().unwrap();
    let (platform, _) = started(&base);
    platform.set_fault(Some(PlatformFault::Promote));
    promote(&platform, &base).unwrap_err();
    platform.set_fault(None);
    platform.take_events();
    promote(&platform, &base).unwrap();
    let [vda, vdb] = ["vda", "vdb"].map(|disk| format!("/moved/web01-instant/{disk}"));
    let expected = [
        format!("remove the copy {vda}"),
        "promote vda".to_owned(),
        format!("remove the copy {vdb}"),
        "promote vdb".to_owned(),
    ];
    assert_eq!(platform.take_events(), expected);
    // What was moved is a part of what the machine wrote.
    instant::discard(&platform, &view(&base), Duration::from_secs(1)).unwrap();
    let expected = [
        "remove",
        &format!("remove the copy {vda}"),
        &format!("remove the copy {vdb}"),
    ];
    assert_eq!(platform.take_events(), expected);
}

#[test]
fn discarding_leaves_nothing() {
    let base = TempDir::new().unwrap();
    let (platform, folder) = started(&base);
    instant::discard(&platform, &view(&base), Duration::from_secs(1)).unwrap();
    assert!(platform.inventory().unwrap().vms.is_empty());
    assert!(!folder.path().exists());
    assert!(instant::list(base.path()).unwrap().is_empty());
}
