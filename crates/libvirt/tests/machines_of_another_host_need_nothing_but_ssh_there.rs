//! Machines of another host are captured, swept and built through ssh, and nothing stays there.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

use lifeboat_libvirt::{Libvirt, LibvirtOptions};
use lifeboat_model::{ErrorKind, SystemClock, SystemEntropy};
use lifeboat_platform::{
    BuildDisk, BuildRequest, Builder, Capture, CaptureOutcome, Consistency, DescribingFile,
    Identity, Occupied, Placement, Platform,
};

use crate::another_host::AnotherHost;
use crate::leftovers_of_dead_runs_are_swept::{ASKED, RUN_TO_KILL};
use crate::session::{
    Kept, MIB, Machine, Session, disk_name, origin, qcow2, qemu_img, raw, shown, wait_for,
};

fn back_up(platform: &Libvirt, machine: &Machine<'_>, kept: &mut Kept) -> Vec<DescribingFile> {
    let us = origin('a');
    let wanted: Vec<_> = kept
        .marks
        .values()
        .map(|it| it.checkpoint.clone())
        .collect();
    platform.sweep(&machine.id, &us, &wanted).unwrap();
    let request = machine.request_since(&us, kept);
    let mut capture = platform.begin_capture(&request).unwrap();
    kept.take(capture.as_ref());
    capture.confirm().unwrap();
    let files = capture.files().to_vec();
    assert_eq!(capture.finish(CaptureOutcome::Committed).unwrap(), []);
    kept.assert_equals(&machine.truth);
    files
}

fn read_somewhere(capture: &dyn Capture) -> lifeboat_disk::Result<()> {
    let mut buffer = vec![0; 1 << 20];
    capture.disks()[0].reader.read_at(0, &mut buffer)
}

#[test]
fn a_machine_is_captured_by_its_changes_and_built_again() {
    let (Some(session), Some(host)) = (Session::begin(), AnotherHost::begin()) else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 8), raw("vdb", 4)]);
    let platform = host.platform(&session);
    let mut kept = Kept::default();
    web.write("vda", 1, 0, 3 * MIB);
    back_up(&platform, &web, &mut kept);
    web.write("vda", 2, 5 * MIB, 65536);
    web.write("vdb", 3, MIB, MIB);
    back_up(&platform, &web, &mut kept);
    assert_eq!(kept.changed[&disk_name("vda")], Some(65536));
    assert_eq!(session.checkpoints("web").len(), 1);
    // The connection dies in the middle: it is told, and the machine is left as it was.
    let mut capture = platform
        .begin_capture(&web.request_since(&origin('a'), &kept))
        .unwrap();
    host.cut();
    let error = read_somewhere(capture.as_ref()).unwrap_err();
    assert!(
        error.to_string().contains("connection to the other host"),
        "{error}"
    );
    let error = capture.confirm().unwrap_err();
    assert!(
        error.to_string().contains("run the backup again"),
        "{error}"
    );
    drop(capture);
    assert_eq!(session.checkpoints("web").len(), 1);
    assert_eq!(session.scratch(), Vec::<String>::new());
    web.write("vda", 4, 7 * MIB, MIB);
    web.stop();
    // One that is off is read from its images, by the same mark.
    let request = web.request_since(&origin('a'), &kept);
    let mut off = platform.begin_capture(&request).unwrap();
    assert_eq!(off.consistency(), Consistency::Offline);
    kept.take(off.as_ref());
    off.confirm().unwrap();
    let files = off.files().to_vec();
    off.finish(CaptureOutcome::Committed).unwrap();
    kept.assert_equals(&web.truth);
    assert_eq!(kept.changed[&disk_name("vda")], Some(MIB));
    build_again(&session, &platform, &web, files);
    let folders = host.folders_here();
    assert!(!folders.is_empty());
    drop(platform);
    assert_eq!(host.leftovers(&folders), Vec::<std::path::PathBuf>::new());
    assert_eq!(session.scratch(), Vec::<String>::new());
}

/// Builds the machine a second time from its disks, beside the first.
fn build_again(
    session: &Session,
    platform: &Libvirt,
    web: &Machine<'_>,
    files: Vec<DescribingFile>,
) {
    let disks = web.disks.iter().map(|disk| BuildDisk {
        name: disk_name(disk.target),
        size: disk.size,
        format: Some(disk.format.parse().unwrap()),
        placement: Placement::Folder(session.path("images")),
    });
    let request = BuildRequest {
        // No letter of a name has a meaning on the way.
        name: "it's: $(a) \"copy\", 100%".parse().unwrap(),
        files,
        disks: disks.collect(),
        networks: Vec::new(),
        identity: Identity::KeepIfFree,
        occupied: Occupied::Refuse,
    };
    let builder: &dyn Builder = platform.builder().unwrap();
    let plan = builder.plan(&request).unwrap();
    // Undone first: nothing stays.
    let before = fs::read_dir(session.path("images")).unwrap().count();
    drop(builder.begin(&plan).unwrap());
    assert_eq!(
        fs::read_dir(session.path("images")).unwrap().count(),
        before
    );
    let mut build = builder.begin(&plan).unwrap();
    for disk in &plan.disks {
        let truth = &web.truth[disk.name.as_str()];
        let writer = build.disk(&disk.name).unwrap().unwrap();
        assert!(writer.is_blank());
        for (index, part) in truth.chunks(MIB as usize).enumerate() {
            let offset = index as u64 * MIB;
            match part.iter().all(|byte| *byte == 0) {
                true => writer.zero_at(offset, part.len() as u64).unwrap(),
                false => writer.write_at(offset, part).unwrap(),
            }
        }
        writer.finish().unwrap();
        let reader = build.read_back(&disk.name).unwrap().unwrap();
        let mut content = vec![0; truth.len()];
        reader.read_at(0, &mut content).unwrap();
        assert!(content == *truth, "{}", disk.name);
    }
    build.define().unwrap();
    build.start().unwrap();
    build.keep().unwrap();
    session.virsh(&["destroy", request.name.as_str()]);
    for disk in &plan.disks {
        let copy = session.path("images/copy");
        let format = disk.format.to_string();
        let words = [
            "convert",
            "-f",
            &format,
            "-O",
            "raw",
            &disk.place,
            &shown(&copy),
        ];
        qemu_img(&words);
        assert!(fs::read(&copy).unwrap() == web.truth[disk.name.as_str()]);
        fs::remove_file(copy).unwrap();
    }
}

#[test]
fn a_run_that_is_killed_is_swept_by_the_next() {
    let (Some(session), Some(host)) = (Session::begin(), AnotherHost::begin()) else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4)]);
    let scratch = shown(&session.path("scratch"));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", RUN_TO_KILL, "--nocapture"])
        .env(
            ASKED,
            format!("{} {} {scratch}", host.uri(&session), web.id),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Held: it ends when nobody hears it any more.
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = lines.by_ref().map_while(Result::ok);
    assert!(said.any(|it| it.ends_with("begun")));
    let (us, platform) = (origin('a'), host.platform(&session));
    // While it lives nothing of it is touched.
    assert_eq!(platform.sweep(&web.id, &us, &[]).unwrap(), []);
    let folders = host.folders_here();
    child.kill().unwrap();
    child.wait().unwrap();
    drop(lines);
    let mut findings = Vec::new();
    wait_for(|| {
        findings = platform.sweep(&web.id, &us, &[]).unwrap();
        !findings.is_empty()
    });
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert_eq!(session.scratch(), Vec::<String>::new());
    assert_eq!(session.checkpoints("web"), Vec::<String>::new());
    web.write("vda", 1, 0, MIB);
    back_up(&platform, &web, &mut Kept::default());
    drop(platform);
    // The folder of the run that was killed goes with the next connection.
    host.platform(&session).inventory().unwrap();
    let again = host.platform(&session);
    again.sweep(&web.id, &us, &[]).unwrap();
    drop(again);
    assert_eq!(host.leftovers(&folders), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_stands_in_the_way_is_told_with_what_to_do() {
    let (Some(session), Some(host)) = (Session::begin(), AnotherHost::begin()) else {
        return;
    };
    let refused = |uri: String| {
        let options = LibvirtOptions::new(uri);
        let platform = Libvirt::new(options, Arc::new(SystemClock), Arc::new(SystemEntropy));
        platform.inventory().unwrap_err()
    };
    host.other_ssh("stranger", "-o UserKnownHostsFile=/dev/null");
    let error = refused(host.uri_with(&session, "stranger"));
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("compare the key"), "{error}");
    host.other_ssh(
        "keyless",
        "-o IdentityAgent=none -o IdentityFile=/dev/null -o PubkeyAuthentication=no",
    );
    let error = refused(host.uri_with(&session, "keyless"));
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("keyfile"), "{error}");
    let error = refused("qemu+ssh://host.invalid/session".into());
    assert_eq!(error.kind(), ErrorKind::Unreachable, "{error}");
    let error = refused(host.uri_with(&session, "absent"));
    assert!(error.to_string().contains("openssh-client"), "{error}");
}
