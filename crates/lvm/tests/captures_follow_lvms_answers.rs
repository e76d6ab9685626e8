//! Whatever LVM answers, a capture is whole, or fails with the reason and leaves nothing.
//!
//! The answers are recorded: real ones of a guest, some of them twisted here.

use std::path::Path;
use std::sync::Arc;

use lifeboat_lvm::{Answer, Doors, Lvm, Machine, Sort};
use lifeboat_model::ErrorKind;
use lifeboat_platform::{
    BuildDisk, BuildRequest, Builder, Capture, CaptureOutcome, CaptureRequest, CapturedChange,
    Consistency, Identity, KeptSnapshots, Occupied, Placement, Platform, Quiesce, Quiescer, Result,
    SnapshotRules, Stillness,
};
use lifeboat_testkit::{ManualClock, SeededEntropy};

use crate::inside::{ACTS, machine, options, request};
use crate::recording::Replay;

const CLASSIC: &str = "a snapshot stands still while the volume goes on";
const OVERFLOW: &str = "an overflow is told and nothing stays";
const THIN: &str = "thin metadata names every change";
const SEVERAL: &str = "several volumes of a running machine are told";

/// What of a recording is kept: `LIFEBOAT_LVM_RECORDING=FILE` has the guest's test write it.
pub(crate) const REPLAYED: [&str; 4] = [CLASSIC, OVERFLOW, THIN, SEVERAL];

/// An adapter upon a recording, with the names that were recorded.
fn adapter(act: &str, paths: &[&str], options: SnapshotRules, replay: &Arc<Replay>) -> Lvm {
    let number = ACTS
        .iter()
        .position(|(sentence, _)| *sentence == act)
        .unwrap();
    let doors = Doors {
        system: Arc::clone(replay) as _,
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(number as u64)),
    };
    let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
    Lvm::new(Sort::LvmLibvirt, vec![machine(&paths)], options, doors)
}

fn faithful(act: &str) -> Arc<Replay> {
    Replay::of(act, Box::new(|_, answer| answer))
}

/// Twists the answers to commands that begin so.
fn twisted(act: &str, start: &'static str, twist: fn(Answer) -> Answer) -> Arc<Replay> {
    let twist = move |command: &str, answer| match command.starts_with(start) {
        true => twist(answer),
        false => answer,
    };
    Replay::of(act, Box::new(twist))
}

fn replaced(answer: Answer, old: &str, new: &str) -> Answer {
    let text = String::from_utf8(answer.output).unwrap();
    assert!(text.contains(old), "{text}");
    Answer {
        output: text.replace(old, new).into_bytes(),
        ..answer
    }
}

fn failed(errors: &str) -> Answer {
    Answer {
        code: Some(5),
        output: Vec::new(),
        errors: errors.to_owned(),
    }
}

fn asked(replay: &Replay, start: &str) -> Vec<String> {
    let asked = replay.asked().into_iter();
    asked.filter(|it| it.starts_with(start)).collect()
}

fn begun(lvm: &Lvm, request: &CaptureRequest) -> Box<dyn Capture> {
    lvm.begin_capture(request).unwrap_or_else(|e| panic!("{e}"))
}

fn refused(lvm: &Lvm, request: &CaptureRequest) -> (ErrorKind, String) {
    match lvm.begin_capture(request) {
        Ok(_) => panic!("it began"),
        Err(error) => (error.kind(), error.to_string()),
    }
}

fn classic(replay: &Arc<Replay>) -> Lvm {
    let rules = SnapshotRules {
        kept: KeptSnapshots::Thin,
        ..options(8 << 20)
    };
    adapter(CLASSIC, &["/dev/vg-0/web-1"], rules, replay)
}

#[test]
fn a_capture_makes_one_marked_snapshot_and_removes_it() {
    let replay = faithful(CLASSIC);
    let lvm = classic(&replay);
    let mut capture = begun(&lvm, &request(&[], None, None));
    assert_eq!(capture.consistency(), Consistency::Crash);
    assert_eq!(capture.disks()[0].reader.size(), 16 << 20);
    capture.confirm().unwrap();
    capture.finish(CaptureOutcome::Committed).unwrap();
    let made = asked(&replay, "lvm lvcreate");
    assert_eq!(made.len(), 1);
    for part in [
        "-s -pr -L 8388608b vg-0/web-1",
        "--addtag lifeboat_origin_1111111111111111",
    ] {
        assert!(made[0].contains(part), "{made:?}");
    }
    let removed = asked(&replay, "lvm lvremove");
    let name = made[0]
        .split("-n ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    assert_eq!(removed, [format!("lvm lvremove -qq -y vg-0/{name}")]);
}

#[test]
fn a_dropped_capture_is_removed() {
    let replay = faithful(CLASSIC);
    let lvm = classic(&replay);
    drop(begun(&lvm, &request(&[], None, None)));
    assert_eq!(asked(&replay, "lvm lvremove").len(), 1);
}

#[test]
fn an_invalid_snapshot_is_not_confirmed() {
    let replay = twisted(CLASSIC, "lvm lvs", |answer| {
        let (old, new) = (
            "\"lv_snapshot_invalid\":\"\"",
            "\"lv_snapshot_invalid\":\"yes\"",
        );
        match String::from_utf8_lossy(&answer.output).contains(old) {
            true => replaced(answer, old, new),
            false => answer,
        }
    });
    let lvm = classic(&replay);
    let mut capture = begun(&lvm, &request(&[], None, None));
    let error = capture.confirm().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full);
    assert!(error.to_string().contains("size it bigger"), "{error}");
}

#[test]
fn a_read_error_of_an_overflowed_snapshot_says_so() {
    let replay = faithful(OVERFLOW);
    let lvm = adapter(OVERFLOW, &["/dev/vg-0/full"], options(4 << 20), &replay);
    let mut capture = begun(&lvm, &request(&[], None, Some(1)));
    let error = capture.disks()[0]
        .reader
        .read_at(0, &mut [0; 512])
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert_eq!(capture.confirm().unwrap_err().kind(), ErrorKind::Full);
    capture.finish(CaptureOutcome::Abandoned).unwrap();
    assert_eq!(asked(&replay, "lvm lvremove").len(), 1);
}

fn several(replay: &Arc<Replay>) -> Lvm {
    adapter(
        SEVERAL,
        &["/dev/vg-0/one", "/dev/vg-0/two"],
        options(4 << 20),
        replay,
    )
}

#[test]
fn the_first_snapshot_goes_when_the_second_fails() {
    let replay = Replay::of(
        SEVERAL,
        Box::new(|command, answer| match command.contains("-ky") {
            true => failed("  Insufficient free space: 1 extents needed, but only 0 available\n"),
            false => answer,
        }),
    );
    let lvm = several(&replay);
    let (kind, text) = refused(&lvm, &request(&[], None, None));
    assert!(
        kind == ErrorKind::Full && text.contains("1 extents needed"),
        "{text}"
    );
    assert_eq!(asked(&replay, "lvm lvremove").len(), 1);
}

#[test]
fn a_pool_without_room_is_left_alone() {
    let replay = twisted(SEVERAL, "lvm lvs", |answer| {
        let text = String::from_utf8(answer.output).unwrap();
        let full = |line: &str| match line.contains("\"lv_name\":\"po-ol\"") {
            true => line.replace("\"data_percent\":\"", "\"data_percent\":\"99"),
            false => line.to_owned(),
        };
        let lines: Vec<String> = text.lines().map(full).collect();
        Answer {
            output: lines.join("\n").into_bytes(),
            ..answer
        }
    });
    let lvm = several(&replay);
    let (kind, text) = refused(&lvm, &request(&[], None, None));
    assert!(
        kind == ErrorKind::Full && text.contains("thin pool vg-0/po-ol"),
        "{text}"
    );
    assert_eq!(asked(&replay, "lvm lvcreate"), [""; 0]);
}

struct Freezer(bool);

impl Quiescer for Freezer {
    fn around(
        &self,
        _: &CaptureRequest,
        instant: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Stillness> {
        instant()?;
        Ok(Stillness {
            consistency: Consistency::Filesystem,
            is_still: self.0,
            findings: Vec::new(),
        })
    }
}

#[test]
fn several_volumes_are_of_one_instant_only_while_the_machine_is_still() {
    let wish = CaptureRequest {
        quiesce: Quiesce::IfPossible,
        ..request(&[], None, None)
    };
    for (is_still, findings) in [(true, 0), (false, 1)] {
        let lvm = several(&faithful(SEVERAL)).quiesced_by(Arc::new(Freezer(is_still)));
        let capture = begun(&lvm, &wish);
        assert_eq!(capture.findings().len(), findings);
        assert_eq!(capture.consistency(), Consistency::Filesystem);
    }
    let replay = faithful(SEVERAL);
    let wish = CaptureRequest {
        quiesce: Quiesce::Required,
        ..wish
    };
    let (kind, text) = refused(&several(&replay), &wish);
    assert!(
        kind == ErrorKind::Unsupported && text.contains("freezing"),
        "{text}"
    );
    assert_eq!(asked(&replay, "lvm lvcreate"), [""; 0]);
}

#[test]
fn what_lvm_refuses_or_mumbles_is_told() {
    let lvm = classic(&twisted(CLASSIC, "lvm lvs", |_| {
        failed(
            "  WARNING: Running as a non-root user. Functionality may be unavailable.\n  \
             /run/lock/lvm/P_global:aux: open failed: Permission denied\n",
        )
    }));
    let (kind, text) = refused(&lvm, &request(&[], None, None));
    assert!(
        kind == ErrorKind::Denied && text.contains("run it as root"),
        "{text}"
    );
    let lvm = classic(&twisted(CLASSIC, "lvm lvs", |answer| {
        replaced(answer, "\"lv_size\":\"", "\"lv_size\":\"many ")
    }));
    let (kind, text) = refused(&lvm, &request(&[], None, None));
    assert!(
        kind == ErrorKind::Unsupported && text.contains("understanding"),
        "{text}"
    );
}

#[test]
fn disks_and_machines_that_are_not_there_are_refused() {
    let lvm = classic(&faithful(CLASSIC));
    let mut wish = request(&[], None, None);
    wish.disks = vec!["vdz".parse().unwrap()];
    assert_eq!(refused(&lvm, &wish).0, ErrorKind::NotFound);
    wish.vm = lifeboat_platform::VmId::new("nobody");
    assert_eq!(refused(&lvm, &wish).0, ErrorKind::NotFound);
    let elsewhere = adapter(CLASSIC, &["/dev/sdz"], options(0), &faithful(CLASSIC));
    let (kind, text) = refused(&elsewhere, &request(&[], None, None));
    assert!(
        kind == ErrorKind::NotFound && text.contains("no logical volume"),
        "{text}"
    );
}

/// A full run and an increment of the recorded thin volume: what the increment names.
fn thin_change(replay: &Arc<Replay>) -> CapturedChange {
    let lvm = adapter(THIN, &["/dev/vg-0/thin-1"], options(20 << 20), replay);
    let mut capture = begun(&lvm, &request(&[], None, Some(1)));
    capture.confirm().unwrap();
    capture.finish(CaptureOutcome::Committed).unwrap();
    assert_eq!(asked(replay, "lvm lvremove"), [""; 0]);
    let capture = begun(&lvm, &request(&["vda"], Some(1), Some(2)));
    let change = capture.disks()[0].change.clone();
    capture.finish(CaptureOutcome::Abandoned).unwrap();
    assert_eq!(asked(replay, "lvm lvremove").len(), 1);
    change
}

#[test]
fn thin_metadata_is_read_and_given_back_even_if_that_fails() {
    let replay = faithful(THIN);
    let CapturedChange::Since { changed } = thin_change(&replay) else {
        panic!("everything");
    };
    assert!(changed.byte_count() > 0 && changed.byte_count() < 4 << 20);
    type Twist = fn(Answer) -> Answer;
    let twists: [(&str, Twist, &str); 3] = [
        (
            "thin_delta",
            |_| failed("metadata is broken"),
            "metadata is broken",
        ),
        (
            "thin_delta",
            |it| replaced(it, "</superblock>", ""),
            "thin_delta's answer",
        ),
        (
            "dmsetup status",
            |it| replaced(it, " - rw ", " 77 rw "),
            "another program",
        ),
    ];
    for (start, twist, said) in twists {
        let start: &'static str = start;
        let first = std::sync::atomic::AtomicBool::new(true);
        let twist = move |command: &str, answer| {
            let is_first = || first.swap(false, std::sync::atomic::Ordering::SeqCst);
            match command.starts_with(start) && is_first() {
                true => twist(answer),
                false => answer,
            }
        };
        let replay = Replay::of(THIN, Box::new(twist));
        let CapturedChange::Everything { reason } = thin_change(&replay) else {
            panic!("a change by a broken answer");
        };
        assert!(reason.contains(said), "{reason}");
        let messages = asked(&replay, "dmsetup message");
        let of = |word: &str| messages.iter().filter(|it| it.contains(word)).count();
        assert_eq!(
            of("reserve_metadata_snap"),
            of("release_metadata_snap"),
            "{messages:?}"
        );
    }
}

#[test]
fn plain_files_are_read_as_they_are_with_a_warning() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("disk");
    std::fs::write(&path, [7; 4096]).unwrap();
    let doors = Doors {
        system: Arc::new(lifeboat_lvm::LocalSystem::new(place.path())),
        clock: Arc::new(ManualClock::default()),
        entropy: Arc::new(SeededEntropy::new(1)),
    };
    let machines: Vec<Machine> = vec![machine(&[&path])];
    let lvm = Lvm::new(Sort::Plain, machines, SnapshotRules::default(), doors);
    let mut capture = begun(&lvm, &request(&[], None, Some(1)));
    assert!(capture.findings()[0].text.contains("without a snapshot"));
    let mut read = [0; 4096];
    capture.disks()[0].reader.read_at(0, &mut read).unwrap();
    assert!(read == [7; 4096] && capture.disks()[0].checkpoint.is_none());
    capture.confirm().unwrap();
    capture.finish(CaptureOutcome::Committed).unwrap();
    let error = lvm.plan(&overwriting(&path)).unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::NotFound,
        "a file is no device: {error}"
    );
}

fn overwriting(path: &Path) -> BuildRequest {
    BuildRequest {
        name: "web".parse().unwrap(),
        files: Vec::new(),
        disks: vec![BuildDisk {
            name: "vda".parse().unwrap(),
            size: 1,
            format: None,
            placement: Placement::Exact(path.to_owned()),
        }],
        networks: Vec::new(),
        identity: Identity::default(),
        occupied: Occupied::default(),
    }
}
