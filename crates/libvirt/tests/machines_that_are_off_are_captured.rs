//! A machine that is off is captured by its images, and may be started at any time.

use std::fs;

use lifeboat_model::ErrorKind;
use lifeboat_platform::{CaptureOutcome, Consistency, Platform, VmId};

use crate::session::{Kept, MIB, Machine, Session, disk_name, origin, qcow2, qemu_img, raw, shown};

#[test]
fn what_changed_is_read_from_the_bitmap_in_the_image() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 8), raw("vdb", 4)]);
    let (us, mut kept) = (origin('a'), Kept::default());
    web.write("vda", 1, 0, MIB);
    let capture = web.capture(&web.request(&us));
    kept.take(capture.as_ref());
    capture.finish(CaptureOutcome::Committed).unwrap();
    web.write("vda", 2, 4 * MIB, 2 * MIB);
    web.write("vdb", 3, MIB, MIB);
    web.stop();
    let mut off = web.capture(&web.request_since(&us, &kept));
    kept.take(off.as_ref());
    off.confirm().unwrap();
    assert_eq!(off.consistency(), Consistency::Offline);
    assert_eq!(off.finish(CaptureOutcome::Committed).unwrap(), []);
    kept.assert_equals(&web.truth);
    assert_eq!(kept.changed[&disk_name("vda")], Some(2 * MIB));
    // No mark is left: the old one stands for an instant before this capture.
    assert!(kept.marks.is_empty());
    web.start();
    web.write("vda", 4, 7 * MIB, MIB);
    session.platform.sweep(&web.id, &us, &[]).unwrap();
    let running = web.capture(&web.request_since(&us, &kept));
    kept.take(running.as_ref());
    running.finish(CaptureOutcome::Committed).unwrap();
    kept.assert_equals(&web.truth);
    assert_eq!(session.checkpoints("web").len(), 1);
}

/// As after a rollback of the file system that holds the images.
#[test]
fn an_image_put_back_from_an_older_copy_never_leads_to_a_wrong_increment() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4)]);
    let (us, mut kept) = (origin('a'), Kept::default());
    let back_up = |web: &Machine<'_>, kept: &mut Kept| {
        let capture = web.capture(&web.request_since(&us, kept));
        kept.take(capture.as_ref());
        capture.finish(CaptureOutcome::Committed).unwrap();
        kept.assert_equals(&web.truth);
    };
    web.write("vda", 1, 0, MIB);
    back_up(&web, &mut kept);
    web.stop();
    let (image, copy) = (web.image("vda"), session.path("copy"));
    fs::copy(&image, &copy).unwrap();
    let before = web.truth.clone();
    for off in [false, true] {
        web.start();
        web.write("vda", 2, 2 * MIB, MIB);
        if off {
            web.stop();
        }
        back_up(&web, &mut kept);
        if !off {
            web.stop();
        }
        fs::copy(&copy, &image).unwrap();
        web.truth = before.clone();
        web.start();
        back_up(&web, &mut kept);
        assert_eq!(kept.reasons.len(), 1, "it was read as a whole");
        web.stop();
        fs::copy(&image, &copy).unwrap();
    }
}

#[test]
fn a_start_meanwhile_is_allowed_and_spoils_the_capture() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4), raw("vdb", 2)]);
    web.stop();
    let mut capture = web.capture(&web.request(&origin('a')));
    web.start();
    let error = capture.confirm().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("was started"), "{error}");
    web.write("vdb", 1, 0, 65536);
    web.stop();
    let error = capture.confirm().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("wrote to it"), "{error}");
}

#[test]
fn backing_files_are_read_with_their_overlays() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4)]);
    let (us, mut kept) = (origin('a'), Kept::default());
    web.write("vda", 1, 0, MIB);
    let first = web.capture(&web.request(&us));
    kept.take(first.as_ref());
    first.finish(CaptureOutcome::Committed).unwrap();
    let overlay = format!("vda,file={}", shown(&session.path("images/overlay")));
    session.virsh(&[
        "snapshot-create-as",
        "web",
        "--disk-only",
        "--no-metadata",
        "--diskspec",
        &overlay,
    ]);
    web.write("vda", 2, 2 * MIB, MIB);
    let second = web.capture(&web.request_since(&us, &kept));
    kept.take(second.as_ref());
    second.finish(CaptureOutcome::Committed).unwrap();
    kept.assert_equals(&web.truth);
    assert_eq!(kept.changed[&disk_name("vda")], Some(MIB));
    web.stop();
    let off = web.capture(&web.request_since(&us, &kept));
    kept.take(off.as_ref());
    kept.assert_equals(&web.truth);
    assert!(kept.reasons[&disk_name("vda")].contains("on top of each other"));
}

#[test]
fn disks_elsewhere_are_named_when_they_cannot_be_read() {
    let Some(session) = Session::begin() else {
        return;
    };
    let devices = "<disk type='network'><driver name='qemu' type='raw'/>\
                   <source protocol='rbd' name='pool/image'/>\
                   <target dev='vdb' bus='virtio'/></disk>";
    let web = session.defined("web", &[qcow2("vda", 4)], devices);
    let request = web.request(&origin('a'));
    let error = session.platform.begin_capture(&request).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    assert!(error.to_string().contains("rbd:pool/image"), "{error}");
    let mut some = request;
    some.disks = vec![disk_name("vda")];
    let mut kept = Kept::default();
    kept.take(web.capture(&some).as_ref());
    kept.assert_equals(&web.truth);
}

#[test]
fn an_image_that_qemu_writes_without_libvirt_is_busy() {
    let Some(session) = Session::begin() else {
        return;
    };
    let web = session.defined("web", &[qcow2("vda", 4)], "");
    let image = shown(&web.image("vda"));
    // Another machine of the same image, which this libvirt does not connect with the first.
    let other = session.defined("other", &[], "");
    let xml = web.xml("").replace("<name>web<", "<name>other<");
    let xml = xml.replace(
        "<domain type='qemu'>",
        &format!("<domain type='qemu'><uuid>{}</uuid>", other.id),
    );
    fs::write(session.path("other.xml"), xml).unwrap();
    session.virsh(&["define", &shown(&session.path("other.xml"))]);
    other.start();
    let error = session
        .platform
        .begin_capture(&web.request(&origin('a')))
        .err()
        .unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    other.stop();
    assert!(qemu_img(&["check", &image]).contains("No errors"));
    let absent = VmId::new("11111111-2222-3333-4444-555555555555");
    assert!(session.platform.sweep(&absent, &origin('a'), &[]).is_err());
}
