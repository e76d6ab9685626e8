//! Where a bitmap cannot be relied upon the disk is read as a whole, with the reason, by itself.

use lifeboat_platform::{CaptureOutcome, Platform, Severity};

use crate::session::{Kept, MIB, Machine, Session, disk_name, origin, qcow2, qemu_img, raw, shown};

/// One backup as the engine drives it: sweep, capture, read, confirm, finish.
fn back_up(machine: &Machine<'_>, kept: &mut Kept) -> Vec<String> {
    let us = origin('a');
    let wanted: Vec<_> = kept
        .marks
        .values()
        .map(|it| it.checkpoint.clone())
        .collect();
    let platform = &machine.session.platform;
    let mut findings = platform.sweep(&machine.id, &us, &wanted).unwrap();
    let mut capture = machine.capture(&machine.request_since(&us, kept));
    kept.take(capture.as_ref());
    capture.confirm().unwrap();
    findings.extend(capture.finish(CaptureOutcome::Committed).unwrap());
    kept.assert_equals(&machine.truth);
    assert!(
        findings.iter().all(|it| it.severity == Severity::Note),
        "{findings:?}"
    );
    findings.into_iter().map(|it| it.text).collect()
}

fn reason(kept: &Kept, disk: &str) -> String {
    kept.reasons
        .get(&disk_name(disk))
        .cloned()
        .unwrap_or_default()
}

#[test]
fn after_qemu_was_killed_the_next_run_recovers_by_itself() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 8), qcow2("vdb", 4)]);
    let mut kept = Kept::default();
    web.write("vda", 1, 0, MIB);
    back_up(&web, &mut kept);
    web.write("vda", 2, MIB, MIB);
    back_up(&web, &mut kept);
    assert_eq!(kept.reasons.len(), 0);
    web.write("vda", 3, 2 * MIB, MIB);
    session.kill_emulator("web");
    // Disks of a machine that was killed are what QEMU's tools say, not what was sent.
    web.read_truth();
    web.start();
    web.write("vda", 4, 3 * MIB, MIB);
    let findings = back_up(&web, &mut kept);
    assert!(
        reason(&kept, "vda").contains("bitmap"),
        "{:?}",
        kept.reasons
    );
    assert!(
        reason(&kept, "vdb").contains("bitmap"),
        "{:?}",
        kept.reasons
    );
    assert!(
        findings.iter().any(|it| it.contains("gone already")),
        "{findings:?}"
    );
    assert_eq!(session.checkpoints("web").len(), 1);
    web.write("vdb", 5, 0, MIB);
    back_up(&web, &mut kept);
    assert_eq!(kept.changed[&disk_name("vdb")], Some(MIB));
    assert_eq!(kept.changed[&disk_name("vda")], Some(0));
}

#[test]
fn one_missing_bitmap_does_not_spoil_the_other_disks() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4), qcow2("vdb", 4)]);
    let mut kept = Kept::default();
    back_up(&web, &mut kept);
    web.stop();
    let mark = session.checkpoints("web").remove(0);
    qemu_img(&["bitmap", "--remove", &shown(&web.image("vdb")), &mark]);
    web.start();
    web.write("vda", 1, 0, MIB);
    web.write("vdb", 2, 0, MIB);
    back_up(&web, &mut kept);
    assert_eq!(kept.changed[&disk_name("vda")], Some(MIB));
    assert!(
        reason(&kept, "vdb").contains("missing or broken"),
        "{:?}",
        kept.reasons
    );
}

#[test]
fn new_and_resized_disks_are_read_as_a_whole() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4), qcow2("vdb", 4), raw("vdc", 2)]);
    let mut kept = Kept::default();
    back_up(&web, &mut kept);
    session.virsh(&["blockresize", "web", "vdb", "6144"]);
    web.truth.get_mut("vdb").unwrap().resize(6 << 20, 0);
    web.write("vdb", 9, 5 * MIB, MIB);
    back_up(&web, &mut kept);
    assert_eq!(kept.changed[&disk_name("vda")], Some(0));
    assert!(
        reason(&kept, "vdb").contains("4194304"),
        "{:?}",
        kept.reasons
    );
    // Disks come and go only while the machine is off: nobody in it would answer.
    web.stop();
    web.add(&qcow2("vdd", 4));
    web.start();
    web.write("vdd", 3, MIB, MIB);
    back_up(&web, &mut kept);
    assert!(
        reason(&kept, "vdd").contains("no earlier snapshot"),
        "{:?}",
        kept.reasons
    );
    assert_eq!(kept.changed[&disk_name("vdb")], Some(0));
    back_up(&web, &mut kept);
    assert_eq!(kept.changed[&disk_name("vdd")], Some(0));
}

#[test]
fn a_checkpoint_that_libvirt_lost_leads_to_a_full_capture() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4)]);
    let mut kept = Kept::default();
    back_up(&web, &mut kept);
    let mark = session.checkpoints("web").remove(0);
    session.virsh(&["checkpoint-delete", "web", &mark, "--metadata"]);
    web.write("vda", 1, 0, MIB);
    back_up(&web, &mut kept);
    assert!(
        reason(&kept, "vda").contains("has lost"),
        "{:?}",
        kept.reasons
    );
}

#[test]
fn a_machine_that_dies_during_its_capture_spoils_it_clearly() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4)]);
    let mut kept = Kept::default();
    back_up(&web, &mut kept);
    let mut capture = web.capture(&web.request_since(&origin('a'), &kept));
    session.kill_emulator("web");
    let mut buffer = vec![0; 4096];
    let error = capture.disks()[0]
        .reader
        .read_at(0, &mut buffer)
        .unwrap_err();
    assert!(
        error.to_string().contains("its machine still runs"),
        "{error}"
    );
    let error = capture.confirm().unwrap_err();
    assert!(error.to_string().contains("died meanwhile"), "{error}");
    drop(capture);
    // Started anew, it is backed up anew, and nothing of the first try stays.
    web.read_truth();
    web.start();
    back_up(&web, &mut kept);
    assert_eq!(session.checkpoints("web").len(), 1);
    assert_eq!(session.scratch(), Vec::<String>::new());
}
