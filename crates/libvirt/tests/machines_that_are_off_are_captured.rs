//! A machine that is off is captured by its images, and may be started at any time.

use lifeboat_model::ErrorKind;
use lifeboat_platform::{CaptureOutcome, Consistency, Platform, VmId};

use crate::session::{Kept, MIB, Session, disk_name, origin, qcow2, qemu_img, raw, shown};

#[test]
fn the_bitmap_goes_on_while_the_machine_is_off() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 8), raw("vdb", 4)]);
    let (us, mut kept) = (origin('a'), Kept::default());
    web.write("vda", 1, 0, MIB);
    let capture = web.capture(&web.request(&us));
    kept.take(capture.as_ref());
    capture.finish(CaptureOutcome::Committed).unwrap();
    let marks = kept.marks.clone();
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
    assert_eq!(kept.marks, marks);
    let wanted: Vec<_> = marks.values().map(|it| it.checkpoint.clone()).collect();
    assert_eq!(session.platform.sweep(&web.id, &us, &wanted).unwrap(), []);
    web.start();
    web.write("vda", 4, 7 * MIB, MIB);
    let running = web.capture(&web.request_since(&us, &kept));
    kept.take(running.as_ref());
    running.finish(CaptureOutcome::Committed).unwrap();
    kept.assert_equals(&web.truth);
    assert_eq!(kept.changed[&disk_name("vda")], Some(3 * MIB));
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
    std::fs::write(session.path("other.xml"), xml).unwrap();
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
