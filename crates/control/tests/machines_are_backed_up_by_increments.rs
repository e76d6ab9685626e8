//! Increments hold what the machine held, whatever happened between them.

use std::time::Duration;

use lifeboat_platform::VmState;
use lifeboat_testkit::{FakePlatform, SeededEntropy};

use crate::world::{DISK_BYTES, ID, Site, disk, job, name, platform};

/// Snapshots of two machines are told apart by their time.
const SECOND: Duration = Duration::from_secs(1);

fn require_equal(site: &Site, machine: &str, platform: &FakePlatform) {
    for one in ["vda", "vdb"] {
        assert!(
            site.bytes(machine, one) == platform.bytes(ID, &disk(one)),
            "{one}"
        );
    }
}

fn modes(site: &Site, machine: &str) -> Vec<(String, String)> {
    let manifest = site.manifest(machine);
    let disks = manifest.disks.into_iter();
    disks.map(|disk| (disk.mode, disk.reason)).collect()
}

#[test]
fn an_increment_reads_what_was_written_and_holds_everything() {
    let (platform, site, job) = (platform(), Site::new(1), job("tags = [\"daily\"]"));
    let first = site.back_up(&platform, &job).result.unwrap().unwrap();
    assert_eq!(first.disks[0].mode(), "full");
    platform.write(
        ID,
        &disk("vda"),
        100_000,
        &SeededEntropy::new(2).bytes(5000),
    );
    let second = site.back_up(&platform, &job).result.unwrap().unwrap();
    assert_eq!(
        second.disks[0].mode(),
        "incremental",
        "{}",
        second.disks[0].reason
    );
    assert_eq!(second.disks[0].changed_bytes, Some(5000));
    assert!(second.result.disks[0].read_bytes < 200_000);
    require_equal(&site, "web01", &platform);
    assert_eq!(platform.marks(ID, &disk("vda")).len(), 1);
    assert_eq!(platform.open_captures(), 0);
}

#[test]
fn two_repositories_never_lose_a_write() {
    let (platform, job) = (platform(), job(""));
    let (a, b) = (Site::new(1), Site::new(2));
    a.back_up(&platform, &job).result.unwrap();
    platform.write(ID, &disk("vda"), 0, b"written between A and B");
    b.back_up(&platform, &job).result.unwrap();
    platform.write(ID, &disk("vda"), 700_000, b"written between B and A");
    a.back_up(&platform, &job).result.unwrap();
    assert_eq!(
        modes(&a, "web01")[0].0,
        "incremental",
        "{:?}",
        modes(&a, "web01")
    );
    require_equal(&a, "web01", &platform);
    b.back_up(&platform, &job).result.unwrap();
    assert_eq!(modes(&b, "web01")[0].0, "incremental");
    require_equal(&b, "web01", &platform);
}

#[test]
fn a_renamed_machine_goes_on_with_increments() {
    let (platform, site, job) = (platform(), Site::new(1), job(""));
    site.back_up(&platform, &job).result.unwrap();
    platform.rename(ID, &name("web02"));
    platform.write(ID, &disk("vda"), 0, b"after the new name");
    site.back_up(&platform, &job).result.unwrap();
    assert_eq!(modes(&site, "web02")[0].0, "incremental");
    require_equal(&site, "web02", &platform);
}

#[test]
fn machines_of_one_name_go_on_with_increments_of_their_own() {
    let (here, site, job) = (platform(), Site::new(1), job(""));
    let (far, other) = (FakePlatform::new(), "0e1d");
    far.add(other, &name("web01"), &[(&disk("vda"), DISK_BYTES)]);
    for wanted in ["full", "incremental", "incremental"] {
        for (platform, id) in [(&far, other), (&here, ID)] {
            platform.write(id, &disk("vda"), 9000, wanted.as_bytes());
            site.repository.environment().clock.sleep(SECOND);
            let done = site.back_up(platform, &job).result.unwrap().unwrap();
            assert_eq!(done.disks[0].mode(), wanted, "{}", done.disks[0].reason);
        }
    }
    require_equal(&site, "web01", &here);
}

#[test]
fn a_machine_that_was_off_goes_on_with_increments() {
    let (platform, site, job) = (platform(), Site::new(1), job(""));
    site.back_up(&platform, &job).result.unwrap();
    platform.write(ID, &disk("vda"), 0, b"before it went off");
    platform.set_state(ID, VmState::Off);
    site.back_up(&platform, &job).result.unwrap();
    assert_eq!(modes(&site, "web01")[0].0, "incremental");
    platform.set_state(ID, VmState::Running);
    platform.write(ID, &disk("vda"), 9000, b"after it came back");
    site.back_up(&platform, &job).result.unwrap();
    assert_eq!(
        modes(&site, "web01")[0].0,
        "incremental",
        "{:?}",
        modes(&site, "web01")
    );
    require_equal(&site, "web01", &platform);
    assert_eq!(platform.marks(ID, &disk("vda")).len(), 1);
}

#[test]
fn disks_can_be_left_out_and_come_back_as_full() {
    let (platform, site) = (platform(), Site::new(1));
    site.back_up(&platform, &job("all_disks_but = [\"vdb\"]"))
        .result
        .unwrap();
    assert_eq!(modes(&site, "web01").len(), 1);
    site.back_up(&platform, &job("")).result.unwrap();
    let modes = modes(&site, "web01");
    assert_eq!(
        (modes[0].0.as_str(), modes[1].0.as_str()),
        ("incremental", "full")
    );
    require_equal(&site, "web01", &platform);
    let wrong = site
        .back_up(&platform, &job("disks = [\"sdz\"]"))
        .result
        .err()
        .unwrap();
    assert_eq!(wrong.to_string(), "web01 has no disk sdz: it has vda, vdb");
}
