//! What a run that died left is removed by the next one; what is not ours, or lives, stays.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_libvirt::{Libvirt, LibvirtOptions};
use lifeboat_model::{ByteCount, SystemClock, SystemEntropy};
use lifeboat_platform::{CaptureOutcome, CaptureRequest, CheckpointId, Platform, Quiesce, VmId};

use crate::session::{Kept, MIB, Machine, Session, disk_name, origin, qcow2, shown};

/// A job as a run that died left it: its folder with a lock that nobody holds.
fn leave_job(machine: &Machine<'_>, owner: char, mark: &str) {
    let session = machine.session;
    let folder = session.path("scratch/lifeboat-0011223344556677");
    fs::create_dir(&folder).unwrap();
    let socket = folder.join("lifeboat-00112233.sock");
    let text = format!("{}\n{}\n{}\n", machine.id, origin(owner), shown(&socket));
    fs::write(folder.join("lock"), text).unwrap();
    crate::session::give_away(&folder);
    let job = format!(
        "<domainbackup mode='pull'><server transport='unix' socket='{}'/><disks>\
         <disk name='vda' type='file'><scratch file='{}'/></disk></disks></domainbackup>",
        shown(&socket),
        shown(&folder.join("disk-0"))
    );
    fs::write(session.path("job.xml"), job).unwrap();
    let checkpoint = format!(
        "<domaincheckpoint><name>{mark}</name><description>lifeboat origin {}</description>\
         <disks><disk name='vda' checkpoint='bitmap'/></disks></domaincheckpoint>",
        origin(owner)
    );
    fs::write(session.path("checkpoint.xml"), checkpoint).unwrap();
    let (job, checkpoint) = (session.path("job.xml"), session.path("checkpoint.xml"));
    session.virsh(&[
        "backup-begin",
        &machine.name,
        &shown(&job),
        &shown(&checkpoint),
    ]);
}

const MARK: &str = "lifeboat-00112233445566778899aabbccddeeff";

#[test]
fn a_dead_run_of_ours_is_ended_and_removed() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4)]);
    leave_job(&web, 'a', MARK);
    web.write("vda", 1, 0, MIB);
    let findings = session.platform.sweep(&web.id, &origin('a'), &[]).unwrap();
    let texts: Vec<_> = findings.iter().map(|it| it.text.as_str()).collect();
    for part in ["backup job", "scratch files", MARK] {
        assert!(
            texts.iter().any(|it| it.contains(part)),
            "{part}: {texts:?}"
        );
    }
    assert!(session.virsh(&["domjobinfo", "web"]).contains("None"));
    assert_eq!(session.scratch(), Vec::<String>::new());
    assert_eq!(session.checkpoints("web"), Vec::<String>::new());
    assert_eq!(
        session.platform.sweep(&web.id, &origin('a'), &[]).unwrap(),
        []
    );
    let mut kept = Kept::default();
    let capture = web.capture(&web.request(&origin('a')));
    kept.take(capture.as_ref());
    kept.assert_equals(&web.truth);
}

pub(crate) const ASKED: &str = "LIFEBOAT_TEST_CAPTURES";
/// The test that does so.
pub(crate) const RUN_TO_KILL: &str = "leftovers_of_dead_runs_are_swept::a_run_that_will_be_killed";

/// Begins a capture and waits to be killed; does so only when it is asked for.
#[test]
fn a_run_that_will_be_killed() {
    let Ok(asked) = std::env::var(ASKED) else {
        return;
    };
    let mut words = asked.split(' ');
    let mut options = LibvirtOptions::new(words.next().unwrap());
    let (vm, scratch) = (words.next().unwrap(), words.next().unwrap());
    options.scratch = Some(scratch.into());
    let platform = Libvirt::new(options, Arc::new(SystemClock), Arc::new(SystemEntropy));
    let request = CaptureRequest {
        vm: VmId::new(vm),
        disks: Vec::new(),
        since: BTreeMap::new(),
        checkpoint: Some(CheckpointId::new(&SystemEntropy)),
        origin: origin('a'),
        quiesce: Quiesce::Never,
        freeze_max: Duration::from_secs(1),
        scratch: None,
        scratch_bytes_min: Some(ByteCount(MIB)),
    };
    let _capture = platform.begin_capture(&request).unwrap();
    println!("begun");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
}

#[test]
fn a_run_that_is_killed_is_swept_by_the_next() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4)]);
    let scratch = shown(&session.path("scratch"));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", RUN_TO_KILL, "--nocapture"])
        .env(ASKED, format!("{} {} {scratch}", session.uri(), web.id))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|it| it.ends_with("begun")));
    // While it lives nothing of it is touched.
    let us = origin('a');
    assert_eq!(session.platform.sweep(&web.id, &us, &[]).unwrap(), []);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(session.virsh(&["domjobinfo", "web"]).contains("Backup"));
    let findings = session.platform.sweep(&web.id, &us, &[]).unwrap();
    assert_eq!(findings.len(), 3, "{findings:?}");
    assert_eq!(session.scratch(), Vec::<String>::new());
    assert_eq!(session.checkpoints("web"), Vec::<String>::new());
    web.write("vda", 1, 0, MIB);
    let mut kept = Kept::default();
    let capture = web.capture(&web.request(&us));
    kept.take(capture.as_ref());
    kept.assert_equals(&web.truth);
    capture.finish(CaptureOutcome::Committed).unwrap();
}

#[test]
fn another_repositorys_dead_run_stays() {
    let Some(session) = Session::begin() else {
        return;
    };
    let web = session.machine("web", &[qcow2("vda", 4)]);
    leave_job(&web, 'b', MARK);
    assert_eq!(
        session.platform.sweep(&web.id, &origin('a'), &[]).unwrap(),
        []
    );
    assert_eq!(session.checkpoints("web"), [MARK]);
    assert_eq!(session.scratch().len(), 1);
    assert!(session.virsh(&["domjobinfo", "web"]).contains("Backup"));
}

#[test]
fn a_run_that_lives_is_left_alone() {
    let Some(session) = Session::begin() else {
        return;
    };
    let web = session.machine("web", &[qcow2("vda", 4)]);
    let mut capture = web.capture(&web.request(&origin('a')));
    assert_eq!(
        session.platform.sweep(&web.id, &origin('a'), &[]).unwrap(),
        []
    );
    capture.confirm().unwrap();
    assert_eq!(session.checkpoints("web").len(), 1);
    capture.finish(CaptureOutcome::Committed).unwrap();
}

#[test]
fn checkpoints_of_other_programs_are_never_touched() {
    let Some(session) = Session::begin() else {
        return;
    };
    let mut web = session.machine("web", &[qcow2("vda", 4)]);
    session.virsh(&["checkpoint-create-as", "web", "virtnbdbackup.0"]);
    session.virsh(&["checkpoint-create-as", "web", "lifeboat-of-somebody"]);
    let mut kept = Kept::default();
    for round in 0..2 {
        session
            .platform
            .sweep(&web.id, &origin('a'), &wanted(&kept))
            .unwrap();
        web.write("vda", 7, round * MIB, MIB);
        let capture = web.capture(&web.request_since(&origin('a'), &kept));
        kept.take(capture.as_ref());
        capture.finish(CaptureOutcome::Committed).unwrap();
        kept.assert_equals(&web.truth);
    }
    assert_eq!(kept.changed[&disk_name("vda")], Some(MIB));
    let names = session.checkpoints("web");
    assert_eq!(names.len(), 3);
    assert!(names.contains(&"virtnbdbackup.0".to_owned()));
    assert!(names.contains(&"lifeboat-of-somebody".to_owned()));
}

fn wanted(kept: &Kept) -> Vec<lifeboat_platform::CheckpointId> {
    kept.marks
        .values()
        .map(|it| it.checkpoint.clone())
        .collect()
}
