//! What a capture gives is every disk at one instant, whole or by its changes.

use std::time::{Duration, Instant};

use lifeboat_model::ErrorKind;
use lifeboat_platform::{CaptureOutcome, CaptureRequest, Consistency, Platform, Quiesce};
use lifeboat_testkit::{Effort, SeededEntropy, figure};

use crate::session::{Kept, MIB, Session, disk_name, origin, qcow2, raw, shown};

#[test]
fn a_full_capture_and_increments_equal_the_disks_at_their_instants() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 16), raw("vdb", 4), qcow2("vdc", 3)]);
    let (us, dice) = (origin('a'), SeededEntropy::new(3));
    let mut kept = Kept::default();
    let rounds = Effort::current().pick(4, 60);
    for round in 0..rounds {
        for _ in 0..3 {
            let target = ["vda", "vdb", "vdc"][dice.below(3) as usize];
            let length = 512 * (1 + dice.below(300));
            let offset = 512 * dice.below((2 * MIB) / 512);
            web.write(target, 1 + dice.below(255) as u8, offset, length);
        }
        let request = web.request_since(&us, &kept);
        let mut capture = web.capture(&request);
        assert_eq!(capture.name().as_str(), "web");
        assert_eq!(capture.consistency(), Consistency::Crash);
        // Belongs to the next round: written when the instant has passed.
        let truth = web.truth.clone();
        web.write("vda", 0xee, dice.below(8) * MIB, MIB);
        web.write("vdb", 0xdd, 0, MIB);
        kept.take(capture.as_ref());
        capture.confirm().unwrap();
        kept.assert_equals(&truth);
        let is_increment = |name: &str| kept.changed[&disk_name(name)].is_some();
        let expected = [round > 0, false, round > 0];
        assert_eq!(["vda", "vdb", "vdc"].map(is_increment), expected);
        assert!(
            kept.reasons[&disk_name("vdb")].contains("raw"),
            "{:?}",
            kept.reasons
        );
        let findings = capture.finish(CaptureOutcome::Committed).unwrap();
        assert_eq!(findings, []);
        // One mark stays: the newest; nothing else does.
        let mark = request.checkpoint.unwrap();
        assert_eq!(session.checkpoints("web"), [mark.as_str()]);
        assert_eq!(session.scratch(), Vec::<String>::new());
    }
    let job = session.virsh(&["domjobinfo", "web"]);
    assert!(job.contains("None"), "{job}");
    figure(
        "libvirt",
        "captures equal to the disks at their instant",
        rounds,
    );
}

#[test]
fn an_increment_reads_only_what_changed() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 16)]);
    let (us, mut kept) = (origin('a'), Kept::default());
    web.write("vda", 1, 0, 8 * MIB);
    let first = web.capture(&web.request(&us));
    kept.take(first.as_ref());
    first.finish(CaptureOutcome::Committed).unwrap();
    web.write("vda", 2, 5 * MIB, 65536);
    let second = web.capture(&web.request_since(&us, &kept));
    kept.take(second.as_ref());
    kept.assert_equals(&web.truth);
    assert_eq!(kept.changed[&disk_name("vda")], Some(65536));
    // Without a commit the mark of the first stays the one to build upon.
    let first_mark = session.checkpoints("web");
    assert_eq!(first_mark.len(), 2);
    drop(second);
    assert_eq!(session.checkpoints("web").len(), 1);
    assert_eq!(session.scratch(), Vec::<String>::new());
}

#[test]
fn two_repositories_never_take_each_others_marks() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 8)]);
    let (a, b) = (origin('a'), origin('b'));
    let (mut kept_a, mut kept_b) = (Kept::default(), Kept::default());
    let back_up = |web: &crate::session::Machine<'_>, us, kept: &mut Kept| {
        session.platform.sweep(&web.id, us, &wanted(kept)).unwrap();
        let mut capture = web.capture(&web.request_since(us, kept));
        kept.take(capture.as_ref());
        capture.confirm().unwrap();
        capture.finish(CaptureOutcome::Committed).unwrap();
        kept.assert_equals(&web.truth);
    };
    web.write("vda", 1, 0, MIB);
    back_up(&web, &a, &mut kept_a);
    web.write("vda", 2, 2 * MIB, MIB);
    back_up(&web, &b, &mut kept_b);
    web.write("vda", 3, 4 * MIB, MIB);
    back_up(&web, &a, &mut kept_a);
    assert_eq!(kept_a.changed[&disk_name("vda")], Some(2 * MIB));
    back_up(&web, &b, &mut kept_b);
    assert_eq!(kept_b.changed[&disk_name("vda")], Some(MIB));
    assert_eq!(session.checkpoints("web").len(), 2);
    // A mark of the other one is not ours to build upon.
    let stolen = web.capture(&web.request_since(&a, &kept_b));
    kept_a.take(stolen.as_ref());
    assert!(kept_a.reasons[&disk_name("vda")].contains("another repository"));
    kept_a.assert_equals(&web.truth);
}

fn wanted(kept: &Kept) -> Vec<lifeboat_platform::CheckpointId> {
    kept.marks
        .values()
        .map(|since| since.checkpoint.clone())
        .collect()
}

#[test]
fn a_second_capture_is_refused_at_once() {
    let Some(session) = Session::begin() else {
        return;
    };
    let web = session.machine("web", &[qcow2("vda", 4)]);
    let first = web.capture(&web.request(&origin('a')));
    let began = Instant::now();
    let second = session.platform.begin_capture(&web.request(&origin('b')));
    let error = second.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("another lifeboat"), "{error}");
    // libvirt itself would wait for 30 s.
    assert!(began.elapsed() < Duration::from_secs(25));
    first.finish(CaptureOutcome::Abandoned).unwrap();
    assert_eq!(session.checkpoints("web"), Vec::<String>::new());
    let third = web.capture(&web.request(&origin('b')));
    third.finish(CaptureOutcome::Committed).unwrap();
}

#[test]
fn the_daemon_may_be_restarted_meanwhile() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4)]);
    web.write("vda", 1, MIB, MIB);
    let mut capture = web.capture(&web.request(&origin('a')));
    session.restart();
    let mut kept = Kept::default();
    kept.take(capture.as_ref());
    kept.assert_equals(&web.truth);
    capture.confirm().unwrap();
    capture.finish(CaptureOutcome::Committed).unwrap();
    assert_eq!(session.checkpoints("web").len(), 1);
    assert!(session.virsh(&["domjobinfo", "web"]).contains("None"));
    assert_eq!(session.scratch(), Vec::<String>::new());
}

#[test]
fn another_programs_job_is_named_and_left_alone() {
    let Some(session) = Session::begin() else {
        return;
    };
    let web = session.machine("web", &[qcow2("vda", 4)]);
    let socket = shown(&session.path("scratch/other.sock"));
    let scratch = shown(&session.path("scratch/other"));
    let job = format!(
        "<domainbackup mode='pull'><server transport='unix' socket='{socket}'/><disks>\
         <disk name='vda' type='file'><scratch file='{scratch}'/></disk></disks></domainbackup>"
    );
    std::fs::write(session.path("job.xml"), job).unwrap();
    session.virsh(&["backup-begin", "web", &shown(&session.path("job.xml"))]);
    let us = origin('a');
    session.platform.sweep(&web.id, &us, &[]).unwrap();
    let error = session
        .platform
        .begin_capture(&web.request(&us))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("other.sock"), "{error}");
    assert!(session.virsh(&["domjobinfo", "web"]).contains("Backup"));
}

#[test]
fn what_cannot_be_is_refused_and_leaves_nothing() {
    let Some(session) = Session::begin() else {
        return;
    };
    let web = session.machine("web", &[qcow2("vda", 4)]);
    let refused = |request: &CaptureRequest| {
        let error = session.platform.begin_capture(request).err().unwrap();
        assert_eq!(session.checkpoints("web"), Vec::<String>::new());
        assert_eq!(session.scratch(), Vec::<String>::new());
        error.kind()
    };
    let request = web.request(&origin('a'));
    let absent = CaptureRequest {
        disks: vec![disk_name("vdz")],
        ..request.clone()
    };
    assert_eq!(refused(&absent), ErrorKind::NotFound);
    let large = CaptureRequest {
        scratch_bytes_min: Some(lifeboat_model::ByteCount(1 << 60)),
        ..request.clone()
    };
    assert_eq!(refused(&large), ErrorKind::Full);
    let frozen = CaptureRequest {
        quiesce: Quiesce::Required,
        ..request.clone()
    };
    assert_eq!(refused(&frozen), ErrorKind::Unsupported);
    let gone = CaptureRequest {
        vm: lifeboat_platform::VmId::new("11111111-2222-3333-4444-555555555555"),
        ..request
    };
    assert_eq!(refused(&gone), ErrorKind::NotFound);
}
