//! A capture that fails at any point leaves the repository and the machine as they were.

use lifeboat_control::chain;
use lifeboat_model::ErrorKind;
use lifeboat_platform::VmState;
use lifeboat_testkit::PlatformFault;

use crate::world::{ID, Site, disk, job, platform};

#[test]
fn a_view_that_was_lost_gives_no_snapshot_and_keeps_the_old_mark() {
    let (platform, site, job) = (platform(), Site::new(1), job(""));
    site.back_up(&platform, &job).result.unwrap();
    let marks = platform.marks(ID, &disk("vda"));
    platform.write(ID, &disk("vda"), 0, b"written before the failed run");
    platform.take_events();
    platform.set_fault(Some(PlatformFault::Confirm));
    let error = site.back_up(&platform, &job).result.err().unwrap();
    assert!(chain(&error).contains("it overflowed"), "{}", chain(&error));
    assert_eq!(site.snapshot_count("web01"), 1);
    assert_eq!(platform.marks(ID, &disk("vda")), marks);
    // Asked once more for what is told: reads that fail may be only how a loss shows.
    let events = ["sweep", "capture", "confirm", "confirm", "finish abandoned"];
    assert_eq!(platform.take_events(), events);
    platform.set_fault(None);
    let again = site.back_up(&platform, &job).result.unwrap().unwrap();
    assert_eq!(again.disks[0].mode(), "incremental");
    assert!(site.bytes("web01", "vda") == platform.bytes(ID, &disk("vda")));
}

#[test]
fn what_cannot_be_removed_is_told_and_the_snapshot_stays() {
    let (platform, site, job) = (platform(), Site::new(1), job(""));
    platform.set_fault(Some(PlatformFault::Finish));
    let outcome = site.back_up(&platform, &job);
    assert!(outcome.result.unwrap().is_some());
    assert!(outcome.findings[0].text.contains("the next run clears it"));
}

#[test]
fn machines_that_do_not_run_follow_the_job() {
    let (platform, site) = (platform(), Site::new(1));
    platform.set_state(ID, VmState::Off);
    let skipped = site.back_up(&platform, &job("offline = \"skip\""));
    assert!(skipped.result.unwrap().is_none());
    let failed = site.back_up(&platform, &job("offline_ok = false"));
    assert_eq!(failed.result.err().unwrap().kind(), ErrorKind::Unsupported);
    let stored = site.back_up(&platform, &job("offline_ok = true"));
    assert_eq!(
        stored.result.unwrap().unwrap().consistency.as_str(),
        "offline"
    );
    platform.set_state(ID, VmState::Unsettled);
    let busy = site.back_up(&platform, &job(""));
    assert_eq!(busy.result.err().unwrap().kind(), ErrorKind::Busy);
}
