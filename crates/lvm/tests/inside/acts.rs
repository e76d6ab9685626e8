//! One act for each sentence.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lifeboat_model::{ByteCount, ErrorKind};
use lifeboat_platform::{
    BuildDisk, BuildRequest, Builder, CaptureOutcome, Identity, KeptSnapshots, Occupied, Placement,
    Platform, SnapshotRules, StoreSize, VmId,
};

use super::lab::{
    GROUP, Lab, SIZE, changed, checkpoint, image, leftovers, lvm, machine, options, origin,
    read_all, reason, rebuilt, remove, request, run, volumes, write,
};
use crate::guest::INSIDE;

use CaptureOutcome::{Abandoned, Committed};

pub(crate) fn classic(lab: &Lab) {
    let path = lab.classic("web-1");
    lab.keep_image("classic-then", &image(&path));
    let rules = SnapshotRules {
        kept: KeptSnapshots::Thin,
        ..options(8 << 20)
    };
    let adapter = lab.adapter(machine(&[&path]), rules);
    let mut capture = adapter.begin_capture(&request(&[], None, Some(1))).unwrap();
    assert!(capture.disks()[0].checkpoint.is_none() && capture.findings().is_empty());
    lab.scribble(&path, 40, 64 << 10);
    let captured = read_all(capture.disks()[0].reader.as_ref()).unwrap();
    lab.keep_image("classic-captured", &captured);
    lab.keep_image("classic-now", &image(&path));
    capture.confirm().unwrap();
    capture.finish(Committed).unwrap();
    assert_eq!(leftovers(), [""; 0]);
    remove(&["web-1"]);
}

pub(crate) fn overflow(lab: &Lab) {
    let path = lab.classic("full");
    let adapter = lab.adapter(machine(&[&path]), options(4 << 20));
    let mut capture = adapter.begin_capture(&request(&[], None, Some(1))).unwrap();
    write(&path, 0, &lab.chance.bytes(8 << 20));
    let error = read_all(capture.disks()[0].reader.as_ref()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert!(error.to_string().contains("size it bigger"), "{error}");
    let error = capture.confirm().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    capture.finish(Abandoned).unwrap();
    assert_eq!(leftovers(), [""; 0]);
    lab.scribble(&path, 1, 4096);
    remove(&["full"]);
}

/// Between two writes: the guest has little power, and the capture needs most of it.
const PAUSE: Duration = Duration::from_millis(10);

/// Ends the writing to a volume when it is dropped.
struct Load<'a>(&'a AtomicBool);

impl Drop for Load<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Lets `act` run while a volume is written to.
fn under_load(path: &Path, act: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let chance = lifeboat_testkit::SeededEntropy::new(11);
            while !is_over.load(Ordering::SeqCst) {
                let bytes = chance.bytes(4096);
                write(path, chance.below(SIZE / 4096) * 4096, &bytes);
                thread::park_timeout(PAUSE);
            }
        });
        let _load = Load(&is_over);
        act();
    });
}

/// Full, an abandoned increment, an increment under load: each as good as a full read.
fn increments(lab: &Lab, name: &str, path: &Path) {
    let adapter = lab.adapter(machine(&[path]), options(20 << 20));
    let mut capture = adapter.begin_capture(&request(&[], None, Some(1))).unwrap();
    assert!(reason(&capture.disks()[0]).contains("no earlier backup"));
    assert_eq!(capture.disks()[0].checkpoint, Some(checkpoint(1)));
    let base = read_all(capture.disks()[0].reader.as_ref()).unwrap();
    capture.confirm().unwrap();
    capture.finish(Committed).unwrap();
    assert_eq!(leftovers().len(), 1);
    lab.keep_image(&format!("{name}-base"), &base);

    lab.scribble(path, 12, 20 << 10);
    let then = image(path);
    let capture = adapter
        .begin_capture(&request(&["vda"], Some(1), Some(2)))
        .unwrap();
    lab.keep_change(name, &capture.disks()[0]);
    lab.keep_image(&format!("{name}-then"), &then);
    lab.keep_image(
        &format!("{name}-rebuilt"),
        &rebuilt(base.clone(), &capture.disks()[0]),
    );
    capture.finish(Abandoned).unwrap();
    assert_eq!(leftovers().len(), 1);

    under_load(path, || {
        let mut capture = adapter
            .begin_capture(&request(&["vda"], Some(1), Some(3)))
            .unwrap();
        let full = read_all(capture.disks()[0].reader.as_ref()).unwrap();
        lab.keep_image(&format!("{name}-loaded"), &full);
        lab.keep_image(
            &format!("{name}-loaded-rebuilt"),
            &rebuilt(base, &capture.disks()[0]),
        );
        capture.confirm().unwrap();
        capture.finish(Committed).unwrap();
    });
    assert_eq!(
        volumes(&format!("lv_tags=lifeboat_checkpoint_{:032x}", 3)),
        leftovers()
    );
    let findings = adapter.sweep(&VmId::new("web"), &origin('1'), &[]).unwrap();
    assert!(
        findings.len() == 1 && leftovers().is_empty(),
        "{findings:?}"
    );
}

pub(crate) fn thin(lab: &Lab) {
    let path = lab.thin("thin-1");
    // A part that is given back must read as zeros afterwards.
    write(&path, 12 << 20, &lab.chance.bytes(1 << 20));
    increments(lab, "thin", &path);
    discards(lab, &path);
    remove(&["thin-1"]);
}

fn discards(lab: &Lab, path: &Path) {
    let adapter = lab.adapter(machine(&[path]), options(0));
    let capture = adapter.begin_capture(&request(&[], None, Some(4))).unwrap();
    let base = read_all(capture.disks()[0].reader.as_ref()).unwrap();
    capture.finish(Committed).unwrap();
    run(
        "blkdiscard",
        &format!("-o {} -l {} {}", 12 << 20, 1 << 20, path.display()),
    );
    let capture = adapter
        .begin_capture(&request(&["vda"], Some(4), None))
        .unwrap();
    assert_eq!(changed(&capture.disks()[0]).byte_count(), 1 << 20);
    lab.keep_image(
        "discarded-then",
        &read_all(capture.disks()[0].reader.as_ref()).unwrap(),
    );
    lab.keep_image("discarded-rebuilt", &rebuilt(base, &capture.disks()[0]));
    capture.finish(Committed).unwrap();
    assert_eq!(
        leftovers().len(),
        1,
        "a run without a new mark keeps the old one"
    );
    adapter.sweep(&VmId::new("web"), &origin('1'), &[]).unwrap();
}

pub(crate) fn kept(lab: &Lab) {
    let path = lab.classic("kept-1");
    increments(lab, "kept", &path);
    remove(&["kept-1"]);
}

pub(crate) fn doubts(lab: &Lab) {
    let paths = [lab.thin("grown"), lab.thin("again"), lab.classic("small")];
    let paths = paths.each_ref().map(|path| path.as_path());
    let adapter = lab.adapter(machine(&paths), options(4 << 20));
    let sweep = |wanted: &[_]| {
        adapter
            .sweep(&VmId::new("web"), &origin('1'), wanted)
            .unwrap()
    };
    let capture = adapter.begin_capture(&request(&[], None, Some(1))).unwrap();
    capture.finish(Committed).unwrap();
    remove(&["again"]);
    lab.thin("again");
    write(paths[2], 0, &lab.chance.bytes(8 << 20));
    let mut wanted = request(&["vda", "vdb", "vdc"], Some(1), Some(2));
    wanted.since.get_mut(&"vda".parse().unwrap()).unwrap().size = SIZE / 2;
    let capture = adapter.begin_capture(&wanted).unwrap();
    let reasons: Vec<&str> = capture.disks().iter().map(reason).collect();
    for (reason, part) in reasons
        .iter()
        .zip(["bytes then", "another volume", "overflowed"])
    {
        assert!(reason.contains(part), "{reasons:?}");
    }
    capture.finish(Abandoned).unwrap();
    let mut foreign = request(&["vda"], Some(1), None);
    foreign.origin = origin('2');
    foreign.disks = vec!["vda".parse().unwrap()];
    let capture = adapter.begin_capture(&foreign).unwrap();
    assert!(reason(&capture.disks()[0]).contains("another repository"));
    capture.finish(Committed).unwrap();
    // The overflowed checkpoint and that of the volume that is gone are of no use.
    let findings = sweep(&[checkpoint(1)]);
    assert_eq!((findings.len(), leftovers().len()), (2, 1), "{findings:?}");
    assert_eq!(sweep(&[]).len(), 1);
    assert_eq!(leftovers(), [""; 0]);
    remove(&["grown", "again", "small"]);
}

pub(crate) fn several(lab: &Lab) {
    let paths = [lab.classic("one"), lab.thin("two")];
    let adapter = lab.adapter(machine(&[&paths[0], &paths[1]]), options(4 << 20));
    let wish = request(&[], None, None);
    let capture = adapter.begin_capture(&wish).unwrap();
    let findings = capture.findings();
    assert!(
        findings[0].text.contains("one after another"),
        "{findings:?}"
    );
    let error = adapter
        .begin_capture(&wish)
        .err()
        .expect("one capture at a time");
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    drop(capture);
    assert_eq!(leftovers(), [""; 0]);
    remove(&["one", "two"]);
}

/// What the killed process does: begins a capture and never ends it.
pub(crate) fn hang(lab: &Lab) {
    let paths = ["/dev/vg-0/one", "/dev/vg-0/two"].map(Path::new);
    let adapter = lab.adapter(machine(&paths), options(4 << 20));
    let _capture = adapter.begin_capture(&request(&[], None, Some(5))).unwrap();
    println!("HANGING");
    loop {
        thread::park();
    }
}

pub(crate) fn killed(lab: &Lab) {
    let paths = [lab.classic("one"), lab.thin("two")];
    let adapter = lab.adapter(machine(&[&paths[0], &paths[1]]), options(4 << 20));
    let kept = adapter.begin_capture(&request(&[], None, Some(1))).unwrap();
    kept.finish(Committed).unwrap();
    let mut foreign = request(&[], None, Some(1));
    foreign.origin = origin('2');
    foreign.disks = vec!["vda".parse().unwrap()];
    adapter
        .begin_capture(&foreign)
        .unwrap()
        .finish(Committed)
        .unwrap();
    lvm(&format!(
        "lvcreate -qq -y -s -L 4M -n somebodys {GROUP}/one"
    ));
    lvm(&format!(
        "lvcreate -qq -y -s -L 4M -n lifeboat-00000000000000ff-0 {GROUP}/one"
    ));
    let stays = volumes("lv_name=~.");

    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "inside::acts", "--nocapture", "--test-threads=1"])
        .env(INSIDE, "hang")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("HANGING")));
    assert_eq!(volumes("lv_name=~.").len(), stays.len() + 2);
    let sweep = || {
        adapter
            .sweep(&VmId::new("web"), &origin('1'), &[checkpoint(1)])
            .unwrap()
    };
    let findings = sweep();
    assert!(
        findings.iter().all(|it| it.text.contains("another run")),
        "{findings:?}"
    );
    assert_eq!(volumes("lv_name=~.").len(), stays.len() + 2);
    child.kill().unwrap();
    child.wait().unwrap();

    // As if it had been killed while it read the pool's metadata.
    lvm(&format!(
        "lvchange -qq --addtag lifeboat_reserved {GROUP}/po-ol"
    ));
    run(
        "dmsetup",
        "message vg--0-po--ol-tpool 0 reserve_metadata_snap",
    );
    assert_eq!(sweep().len(), 3);
    assert_eq!(volumes("lv_name=~."), stays);
    assert!(run("dmsetup", "status vg--0-po--ol-tpool").contains(" - rw"));
    assert_eq!(sweep(), []);

    let names = stays
        .iter()
        .filter(|it| it.contains("lifeboat") || *it == "somebodys");
    remove(&names.map(String::as_str).collect::<Vec<_>>());
    remove(&["one", "two"]);
}

fn wish(pool: Placement, size: u64) -> BuildRequest {
    BuildRequest {
        name: "new web".parse().unwrap(),
        files: Vec::new(),
        disks: vec![BuildDisk {
            name: "vda".parse().unwrap(),
            size,
            format: None,
            placement: pool,
        }],
        networks: Vec::new(),
        identity: Identity::default(),
        occupied: Occupied::default(),
    }
}

pub(crate) fn built(lab: &Lab) {
    let adapter = lab.adapter(machine(&[]), options(0));
    let disk = "vda".parse().unwrap();
    let wanted = lab.chance.bytes(3 << 20);
    lab.keep_image("built-wanted", &wanted);
    for (kind, pool) in [
        ("classic", GROUP.to_owned()),
        ("thin", format!("{GROUP}/po-ol")),
    ] {
        let wish = wish(Placement::Pool(pool), SIZE - 5);
        let plan = adapter.plan(&wish).unwrap();
        assert!(
            plan.steps[0].contains("vg-0/new_web-vda"),
            "{:?}",
            plan.steps
        );
        let mut build = adapter.begin(&plan).unwrap();
        let writer = build.disk(&disk).unwrap().unwrap();
        assert_eq!(writer.is_blank(), kind == "thin");
        writer.write_at(100, &wanted).unwrap();
        writer.finish().unwrap();
        drop(writer);
        lab.keep_image(
            &format!("built-{kind}"),
            &image(Path::new("/dev/vg-0/new_web-vda")),
        );
        let error = adapter.plan(&wish).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
        build.undo().unwrap();
        assert_eq!(volumes("lv_name=~new"), [""; 0]);
    }
    let path = lab.classic("there");
    let held = std::fs::File::open(&path).unwrap();
    let error = adapter
        .plan(&wish(Placement::Exact(path.clone()), SIZE))
        .unwrap_err();
    assert!(
        error.kind() == ErrorKind::Busy && error.to_string().contains("in use"),
        "{error}"
    );
    drop(held);
    let plan = adapter
        .plan(&wish(Placement::Exact(path.clone()), SIZE))
        .unwrap();
    let mut build = adapter.begin(&plan).unwrap();
    let writer = build.disk(&disk).unwrap().unwrap();
    writer.write_at(100, &wanted).unwrap();
    writer.zero_at(5 << 20, 1 << 20).unwrap();
    writer.finish().unwrap();
    drop(writer);
    assert_eq!(build.undo().unwrap().len(), 1);
    lab.keep_image("built-there", &image(&path));
    remove(&["there"]);
}

pub(crate) fn no_room(lab: &Lab) {
    let path = lab.classic("big");
    let all_but_little = SnapshotRules {
        store_size: StoreSize::Bytes(ByteCount(1 << 40)),
        store_bytes_min: ByteCount(0),
        store_bytes_max: None,
        kept: KeptSnapshots::Thin,
    };
    lvm(&format!("lvcreate -qq -y -l 100%FREE -n filler {GROUP}"));
    let adapter = lab.adapter(machine(&[&path]), all_but_little);
    let error = adapter
        .begin_capture(&request(&[], None, None))
        .err()
        .unwrap();
    assert!(
        error.kind() == ErrorKind::Full && error.to_string().contains("are free"),
        "{error}"
    );
    let error = adapter
        .plan(&wish(Placement::Pool(GROUP.into()), SIZE))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    let wide = wish(Placement::Pool(GROUP.into()), 0);
    assert_eq!(leftovers(), [""; 0]);
    assert_eq!(adapter.plan(&wide).unwrap_err().kind(), ErrorKind::Full);
    remove(&["filler", "big"]);
}
