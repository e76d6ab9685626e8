//! A machine that is switched off, a daemon that goes, room that runs out in the middle of a
//! backup: the failure says what to do, the machine goes on, and the next run succeeds.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use lifeboat_testkit::SeededEntropy;
use lifeboat_testkit::libvirtd::{MIB, TestMachine, give_away, qcow2, shown, wait_for};

use crate::machines::host::Host;
use crate::trial::Ended;

/// So slow that it takes ten seconds: what happens meanwhile takes much less.
const SLOWLY: [&str; 6] = ["-v", "machine", "backup", "web", "--bandwidth", "400K"];

/// A backup under way.
struct Run {
    child: Child,
    told: PathBuf,
}

impl Run {
    /// Begins a slow backup, and waits until it reads.
    fn begin(host: &Host, more: &[&str]) -> Self {
        let words = [&SLOWLY[..], more].concat();
        let told = host.path("told");
        let mut command = host.command(&host.daemon.uri(), "r", &words);
        let errors = File::create(&told).unwrap();
        let child = command.stdout(Stdio::null()).stderr(errors).spawn();
        let child = child.unwrap();
        let reads = |text: String| text.contains("web: transfer");
        wait_for(|| std::fs::read_to_string(&told).is_ok_and(reads));
        Self { child, told }
    }

    fn ended(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let told = std::fs::read_to_string(&self.told).unwrap();
        Ended { status, told }
    }
}

/// It failed with this code, and said this.
fn is_told(run: Run, code: i32, parts: &[&str]) {
    let ended = run.ended();
    assert_eq!(ended.status.code(), Some(code), "{}", ended.told);
    for part in parts {
        assert!(ended.told.contains(part), "{part}: {}", ended.told);
    }
}

/// A backup that nobody disturbs, of what the machine has.
fn is_backed_up(when: &str, host: &Host, web: &TestMachine<'_>) {
    let told = host.backup(when, "r", "web");
    host.is_restored(when, "r", web);
    host.is_clean(when, "r", web, &[&told]);
}

/// A machine whose disk takes its time to be read.
fn machine(host: &Host) -> TestMachine<'_> {
    host.init("r");
    let mut web = host.daemon.defined("web", &[qcow2("vda", 16)], "");
    let content = SeededEntropy::new(5).bytes(4 << 20);
    let raw = host.path("content.raw");
    std::fs::write(&raw, &content).unwrap();
    let (raw, image) = (shown(&raw), shown(&web.image("vda")));
    let copy = [
        "convert",
        "-n",
        "-f",
        "raw",
        "-O",
        "qcow2",
        "--target-is-zero",
        &raw,
        &image,
    ];
    lifeboat_testkit::libvirtd::qemu_img(&copy);
    web.truth.get_mut("vda").unwrap()[..content.len()].copy_from_slice(&content);
    web.start();
    web
}

#[test]
fn a_machine_or_a_daemon_that_goes_meanwhile_is_told() {
    let Some(host) = Host::begin() else {
        return;
    };
    let mut web = machine(&host);

    let run = Run::begin(&host, &["-f"]);
    host.daemon.restart();
    let ended = run.ended();
    assert!(ended.status.success(), "{}", ended.told);
    host.is_restored("the daemon was restarted", "r", &web);
    web.write("vda", 1, 0, MIB);
    is_backed_up("the daemon was restarted", &host, &web);

    let run = Run::begin(&host, &["-f"]);
    host.daemon.virsh(&["destroy", "web"]);
    is_told(run, 1, &["web", "switched off", "run the backup again"]);
    let off = host.backup("switched off", "r", "web");
    assert_eq!(off["consistency"], "offline");
    host.is_restored("switched off", "r", &web);
    web.start();
    web.write("vda", 2, MIB, MIB);
    is_backed_up("switched off", &host, &web);

    // As a guest does that shuts down: QEMU ends by itself.
    let run = Run::begin(&host, &["-f"]);
    let quit = ["qemu-monitor-command", "web", "--hmp", "quit"];
    let _ = host.daemon.try_virsh(&quit);
    is_told(run, 1, &["web", "switched off", "run the backup again"]);
    wait_for(|| host.daemon.virsh(&["domstate", "web"]).trim() == "shut off");

    // Its image is gone for a while.
    let (image, aside) = (web.image("vda"), host.path("images/aside"));
    std::fs::rename(&image, &aside).unwrap();
    let told = host.fails(1, "r", &["machine", "backup", "web"]);
    assert!(told.contains(&shown(&image)), "{told}");
    std::fs::rename(&aside, &image).unwrap();
    web.start();
    is_backed_up("the image was gone", &host, &web);

    // Nobody answers.
    host.daemon.kill();
    let told = host.fails(23, "r", &["machine", "backup", "web"]);
    assert!(told.contains("see whether libvirtd runs"), "{told}");
    host.daemon.start();
    wait_for(|| host.daemon.try_virsh(&["list"]).is_ok());
    is_backed_up("the daemon was away", &host, &web);
}

fn free_bytes(folder: &std::path::Path) -> u64 {
    let room = rustix::fs::statvfs(folder).unwrap();
    room.f_bavail * room.f_frsize
}

/// A small file system that ends with this.
struct Small(PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn room_that_runs_out_ends_the_backup_and_not_the_machine() {
    let Some(host) = Host::begin() else {
        return;
    };
    let mut web = machine(&host);
    host.folder("small");
    let folder = host.path("small");
    let mut mount = Command::new("mount");
    mount
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(&folder);
    if !mount.stderr(Stdio::null()).status().unwrap().success() {
        eprintln!("SKIPPED: only root may make a small file system");
        return;
    }
    let _small = Small(folder.clone());
    give_away(&folder);
    let scratch = shown(&folder);
    let run = Run::begin(&host, &["--scratch", &scratch]);
    // What is overwritten is copied there first.
    let mut at = MIB;
    while free_bytes(&folder) > 400 << 10 {
        web.write("vda", 7, at, 128 << 10);
        at += 128 << 10;
    }
    wait_for(|| host.daemon.virsh(&["domjobinfo", "web"]).contains("None"));
    // The machine goes on, with as much as it likes.
    for step in 0..3 {
        web.write("vda", 9, step * MIB, MIB);
    }
    is_told(
        run,
        24,
        &["web", "too little room", "another folder for scratch"],
    );
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    is_backed_up("room ran out", &host, &web);
    std::fs::write(folder.join("full"), vec![1; 1 << 20]).unwrap();
    let refused = ["machine", "backup", "web", "--scratch", &scratch];
    let told = host.fails(24, "r", &refused);
    assert!(told.contains("name another folder for scratch"), "{told}");
}
