//! A guest is frozen while the instant is fixed, and never stays frozen, whoever dies.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use lifeboat_libvirt::guard_a_frozen_guest;
use lifeboat_model::ErrorKind;
use lifeboat_platform::{
    CaptureOutcome, CaptureRequest, Consistency, Error, Platform, Quiesce, Quiescer,
};

use crate::another_host::AnotherHost;
use crate::guest::{boot, run};
use crate::session::{Kept, Machine, Session, disk_name, origin, wait_for};

const ASKED: &str = "LIFEBOAT_TEST_IS_GUARD";

/// This program as the guard: the test below does its work only when it is asked for.
fn guard() -> Vec<OsString> {
    let name = "guests_are_frozen_for_a_moment::the_guard_itself";
    let this = std::env::current_exe().unwrap();
    let words = [
        "env".into(),
        format!("{ASKED}=1").into(),
        this.into_os_string(),
    ];
    let options = ["--exact", name, "--nocapture"].map(OsString::from);
    words.into_iter().chain(options).collect()
}

#[test]
fn the_guard_itself() {
    if std::env::var_os(ASKED).is_some() {
        guard_a_frozen_guest();
    }
}

fn status(session: &Session) -> String {
    let question = r#"{"execute":"guest-fsfreeze-status"}"#;
    session.virsh(&["qemu-agent-command", "guest", question])
}

/// Whether the journal was in use: what distinguishes a frozen file system from a pulled plug.
fn needs_recovery(disk: &[u8]) -> bool {
    disk[1024 + 0x60] & 4 != 0
}

fn captured(machine: &Machine<'_>, quiesce: Quiesce) -> (Consistency, Vec<u8>) {
    captured_by(&machine.session.platform, machine, quiesce)
}

fn captured_by(
    platform: &dyn Platform,
    machine: &Machine<'_>,
    quiesce: Quiesce,
) -> (Consistency, Vec<u8>) {
    let request = CaptureRequest {
        quiesce,
        ..machine.request(&origin('a'))
    };
    let mut capture = platform.begin_capture(&request).unwrap();
    let mut kept = Kept::default();
    kept.take(capture.as_ref());
    capture.confirm().unwrap();
    let consistency = capture.consistency();
    capture.finish(CaptureOutcome::Abandoned).unwrap();
    (consistency, kept.content.remove(&disk_name("vda")).unwrap())
}

#[test]
fn a_frozen_capture_needs_no_recovery_and_nobody_leaves_the_guest_frozen() {
    let Some(session) = Session::begin_with(|options| options.guard = Some(guard())) else {
        return;
    };
    let Some(machine) = boot(&session) else {
        return;
    };
    let (consistency, disk) = captured(&machine, Quiesce::Required);
    assert_eq!(consistency, Consistency::Filesystem);
    assert!(!needs_recovery(&disk));
    assert!(status(&session).contains("thawed"));
    let (consistency, disk) = captured(&machine, Quiesce::Never);
    assert_eq!(consistency, Consistency::Crash);
    assert!(needs_recovery(&disk));
    assert!(
        run(&session, &machine, "tail -n 1 /mnt/log")
            .unwrap()
            .contains(':')
    );
    if let Some(host) = AnotherHost::begin() {
        let platform = host.platform_with(&session, |options| options.guard = Some(guard()));
        let (consistency, disk) = captured_by(&platform, &machine, Quiesce::Required);
        assert_eq!(consistency, Consistency::Filesystem);
        assert!(!needs_recovery(&disk));
        the_guard_thaws_when_its_pipe_closes(&session, &machine, &host.uri(&session));
    }
    snapshots_of_others_are_taken_while_the_guest_is_frozen(&session, &machine);
    whoever_takes_too_long_is_not_believed(&session, &machine);
    the_guard_thaws_when_its_pipe_closes(&session, &machine, &session.uri());
    the_guard_thaws_when_time_passes(&session, &machine);
    a_guest_frozen_by_others_is_left_to_them(&session, &machine);
    a_sweep_thaws_what_a_dead_run_froze(&session, &machine);
    machine.stop();
    let still = session.platform.around(&wish(&machine, 5), &mut || Ok(()));
    let still = still.unwrap();
    assert_eq!(
        (still.consistency, still.is_still),
        (Consistency::Offline, true)
    );
}

fn wish(machine: &Machine<'_>, seconds: u64) -> CaptureRequest {
    CaptureRequest {
        quiesce: Quiesce::Required,
        freeze_max: Duration::from_secs(seconds),
        ..machine.request(&origin('a'))
    }
}

fn snapshots_of_others_are_taken_while_the_guest_is_frozen(
    session: &Session,
    machine: &Machine<'_>,
) {
    let mut then = String::new();
    let mut instant = || {
        then = status(session);
        Ok(())
    };
    let still = session.platform.around(&wish(machine, 10), &mut instant);
    let still = still.unwrap();
    assert!(then.contains("frozen"), "{then}");
    assert_eq!(
        (still.consistency, still.is_still),
        (Consistency::Filesystem, true)
    );
    let mut failing = || Err(Error::new(ErrorKind::Full, "taking", "a snapshot"));
    let error = session.platform.around(&wish(machine, 10), &mut failing);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Full);
    assert!(status(session).contains("thawed"));
    assert_eq!(session.scratch(), [""; 0]);
}

/// The guard thaws under the hands of one who takes too long.
fn whoever_takes_too_long_is_not_believed(session: &Session, machine: &Machine<'_>) {
    let mut slow = || {
        wait_for(|| status(session).contains("thawed"));
        Ok(())
    };
    let error = session.platform.around(&wish(machine, 5), &mut slow);
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Unsupported);
    let lenient = CaptureRequest {
        quiesce: Quiesce::IfPossible,
        ..wish(machine, 5)
    };
    let still = session.platform.around(&lenient, &mut slow).unwrap();
    assert_eq!(
        (still.consistency, still.is_still),
        (Consistency::Crash, false)
    );
    assert_eq!(still.findings.len(), 1, "{:?}", still.findings);
}

/// A guard that was told that the guest will be frozen.
fn begun(
    session: &Session,
    machine: &Machine<'_>,
    uri: &str,
    limit: Duration,
) -> (Child, ChildStdin) {
    let words = guard();
    let (program, arguments) = words.split_first().unwrap();
    let mut command = Command::new(program);
    let command = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut orders = child.stdin.take().unwrap();
    writeln!(orders, "{uri}\n{}", machine.id).unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ready = lines
        .map_while(Result::ok)
        .any(|it| it.ends_with("guard: ready"));
    assert!(ready);
    writeln!(orders, "freeze {}", limit.as_millis()).unwrap();
    session.virsh(&["domfsfreeze", "guest"]);
    assert!(status(session).contains("frozen"));
    (child, orders)
}

/// As when the process that froze is killed: its pipes close, nothing else happens.
fn the_guard_thaws_when_its_pipe_closes(session: &Session, machine: &Machine<'_>, uri: &str) {
    let (mut child, orders) = begun(session, machine, uri, Duration::from_secs(3600));
    drop(orders);
    wait_for(|| status(session).contains("thawed"));
    child.wait().unwrap();
}

/// As when the process that froze stands still.
fn the_guard_thaws_when_time_passes(session: &Session, machine: &Machine<'_>) {
    let (mut child, orders) = begun(session, machine, &session.uri(), Duration::from_secs(8));
    wait_for(|| status(session).contains("thawed"));
    drop(orders);
    child.wait().unwrap();
}

fn a_guest_frozen_by_others_is_left_to_them(session: &Session, machine: &Machine<'_>) {
    session.virsh(&["domfsfreeze", "guest"]);
    let request = CaptureRequest {
        quiesce: Quiesce::IfPossible,
        ..machine.request(&origin('a'))
    };
    let capture = machine.capture(&request);
    assert_eq!(capture.consistency(), Consistency::Crash);
    let texts: Vec<_> = capture.findings().iter().map(|it| &it.text).collect();
    assert!(texts.iter().any(|it| it.contains("already")), "{texts:?}");
    drop(capture);
    assert!(status(session).contains("frozen"));
    session.virsh(&["domfsthaw", "guest"]);
}

fn a_sweep_thaws_what_a_dead_run_froze(session: &Session, machine: &Machine<'_>) {
    let folder = session.path("scratch/lifeboat-0011223344556677");
    std::fs::create_dir(&folder).unwrap();
    let record = format!("{}\n{}\n/nowhere\n", machine.id, origin('a'));
    std::fs::write(folder.join("lock"), record).unwrap();
    std::fs::write(folder.join("frozen"), "").unwrap();
    session.virsh(&["domfsfreeze", "guest"]);
    let other = session
        .platform
        .sweep(&machine.id, &origin('b'), &[])
        .unwrap();
    assert_eq!(other, []);
    assert!(status(session).contains("frozen"));
    let findings = session
        .platform
        .sweep(&machine.id, &origin('a'), &[])
        .unwrap();
    assert!(
        findings.iter().any(|it| it.text.contains("thawed")),
        "{findings:?}"
    );
    assert!(status(session).contains("thawed"));
}
