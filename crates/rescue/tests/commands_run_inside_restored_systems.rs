//! Commands run in the system on the disks and change it; logical volumes made so are read.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command as HostCommand;
use std::time::Duration;

use lifeboat_model::ErrorKind;
use lifeboat_rescue::{Access, Command, Ran, Rescue};
use lifeboat_testkit::tool;

use crate::disks::{Disks, run};
use crate::trees::{self, Keeps, assert_same, make_rich};

/// What the system on the disk can run.
const PROGRAMS: [&str; 5] = ["lvm", "mke2fs", "sh", "ls", "sync"];
/// lvm without udev and its daemons, which a real system would have.
const LVM: &str = "activation{udev_sync=0 udev_rules=0 monitoring=0} \
    global{thin_check_executable=\"\" use_lvmpolld=0} \
    devices{obtain_device_list_from_udev=0 use_devicesfile=0} backup{backup=0 archive=0}";

#[test]
fn commands_change_the_system_and_make_logical_volumes() {
    let Some(mut disks) = Disks::with(&PROGRAMS) else {
        return;
    };
    let payload = disks.stage("payload");
    make_rich(&payload);
    let stage = disks.stage("system");
    make_system(&stage, &payload);
    let system = disks.ext4("system.raw", 64, &stage);
    let group = disks.image("group.raw", 96);
    let served = [("vda", &system), ("vdb", &group)]
        .map(|(name, image)| disks.serve(name, image, Access::Write));
    let Some(mut rescue) = disks.start(&served, Access::Write) else {
        return;
    };
    outcomes_are_told(&mut rescue);
    make_group(&mut rescue);
    rescue.finish().unwrap();
    disks.stop();
    lose_power_after_a_write(&mut disks, &system);
    changes_outlive_the_vm(&mut disks, [&system, &group], &payload);
}

/// A system of few programs, with the libraries they need on this host.
fn make_system(stage: &Path, payload: &Path) {
    for folder in ["etc", "bin", "dev", "proc", "sys", "run", "tmp"] {
        fs::create_dir(stage.join(folder)).unwrap();
    }
    fs::write(stage.join("etc/os-release"), "ID=small\n").unwrap();
    for program in PROGRAMS {
        let path = tool(program).unwrap();
        fs::copy(&path, stage.join("bin").join(program)).unwrap();
        let needed = run(HostCommand::new("ldd").arg(&path));
        for library in needed
            .split_whitespace()
            .filter(|word| word.starts_with('/'))
        {
            let place = stage.join(&library[1..]);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(library, place).unwrap();
        }
    }
    run(HostCommand::new("cp")
        .arg("-a")
        .arg(payload)
        .arg(stage.join("payload")));
    symlink("bin/sh", stage.join("shell")).unwrap();
}

fn ask(rescue: &mut Rescue, words: &[&str], limit: Duration) -> Ran {
    let command = Command {
        words: words.iter().map(ToString::to_string).collect(),
        environment: vec![
            ("PATH".into(), "/bin".into()),
            ("HOOK".into(), "end".into()),
        ],
        limit,
        output_bytes_max: 1000,
    };
    rescue.run(&command).unwrap()
}

fn shell(rescue: &mut Rescue, line: &str) -> Ran {
    ask(rescue, &["sh", "-c", line], Duration::from_secs(120))
}

fn outcomes_are_told(rescue: &mut Rescue) {
    let ran = shell(
        rescue,
        "echo $HOOK > /etc/changed; echo out; echo err >&2; exit 3",
    );
    assert_eq!((ran.code, ran.is_timed_out), (3, false));
    assert_eq!(String::from_utf8_lossy(&ran.output), "out\nerr\n");
    let ran = shell(rescue, "env=$(ls /init 2>&1); echo $env; ls /proc/self/exe");
    let output = String::from_utf8_lossy(&ran.output).into_owned();
    assert!(
        output.contains("/init") && output.contains("/proc/self/exe"),
        "{output}"
    );
    let ran = shell(
        rescue,
        "i=0; while [ $i -lt 999 ]; do echo line $i; i=$((i+1)); done",
    );
    assert!(ran.is_clipped && ran.output.len() == 1000 && ran.output.ends_with(b"line 998\n"));
    let ran = ask(
        rescue,
        &["sh", "-c", "while :; do :; done"],
        Duration::from_secs(1),
    );
    assert_eq!((ran.code, ran.is_timed_out), (128 + 9, true));
    let ran = ask(rescue, &["no-such-program"], Duration::from_secs(60));
    assert_eq!(ran.code, 127);
    assert!(String::from_utf8_lossy(&ran.output).contains("no-such-program"));
    // What a command leaves behind does not hold up the next one, nor the end.
    let ran = shell(
        rescue,
        "(while :; do :; done) > /tmp/held & echo left; exit 0",
    );
    assert_eq!((ran.code, &ran.output[..]), (0, &b"left\n"[..]));
}

fn make_group(rescue: &mut Rescue) {
    for words in [
        &["lvm", "pvcreate", "--config", LVM, "-y", "/dev/vdb"][..],
        &["lvm", "vgcreate", "--config", LVM, "my-group", "/dev/vdb"],
        &[
            "lvm", "lvcreate", "--config", LVM, "-y", "-L", "32m", "-n", "plain", "my-group",
        ],
        &[
            "lvm",
            "lvcreate",
            "--config",
            LVM,
            "-y",
            "-L",
            "24m",
            "-V",
            "64m",
            "-T",
            "my-group/pool",
            "-n",
            "thin",
        ],
        &[
            "mke2fs",
            "-q",
            "-L",
            "plain",
            "-d",
            "/payload",
            "/dev/my-group/plain",
        ],
        &[
            "mke2fs",
            "-q",
            "-L",
            "thin",
            "-d",
            "/payload",
            "/dev/my-group/thin",
        ],
        &["lvm", "vgchange", "--config", LVM, "-an", "my-group"],
        &["sync"],
    ] {
        let ran = ask(rescue, words, Duration::from_secs(120));
        assert_eq!(
            ran.code,
            0,
            "{words:?}: {}",
            String::from_utf8_lossy(&ran.output)
        );
    }
}

/// Leaves a file that only the journal holds.
fn lose_power_after_a_write(disks: &mut Disks, system: &Path) {
    let served = disks.serve("vda", system, Access::Write);
    let mut rescue = disks.start(&[served], Access::Write).unwrap();
    assert_eq!(shell(&mut rescue, "echo late > /etc/late; sync").code, 0);
    drop(rescue);
    disks.stop();
    let superblock = &fs::read(system).unwrap()[1024..2048];
    assert!(
        superblock[0x60] & 0x4 != 0,
        "the journal is not to be replayed"
    );
}

fn changes_outlive_the_vm(disks: &mut Disks, [system, group]: [&PathBuf; 2], payload: &Path) {
    let before = [system, group].map(|image| fs::read(image).unwrap());
    let served = [("vda", system), ("sdb", group)]
        .map(|(name, image)| disks.serve(name, image, Access::Read));
    let mut rescue = disks.start(&served, Access::Read).unwrap();
    let shown: Vec<_> = rescue
        .volumes()
        .iter()
        .map(|it| format!("{} {} {}{}", it.name, it.content, it.is_readable, it.note))
        .collect();
    let wanted = [
        "vda ext4 true",
        "sdb LVM2_member false",
        "my-group/plain ext2 true",
        "my-group/thin ext2 true",
    ];
    assert_eq!(shown, wanted);
    let mut buffer = [0; 16];
    let length = rescue
        .read(&"/etc/changed".parse().unwrap(), 0, &mut buffer)
        .unwrap();
    assert_eq!(&buffer[..length], b"end\n");
    let length = rescue
        .read(&"/etc/late".parse().unwrap(), 0, &mut buffer)
        .unwrap();
    assert_eq!(&buffer[..length], b"late\n");
    let all = Keeps {
        modes: true,
        owners: true,
        times: true,
        attributes: true,
        hard_links: true,
    };
    for volume in ["my-group/plain:/", "my-group/thin:/"] {
        assert_same(&trees::read(&mut rescue, volume), payload, all);
    }
    let refused = rescue.run(&Command {
        words: vec!["sync".into()],
        environment: Vec::new(),
        limit: Duration::from_secs(1),
        output_bytes_max: 0,
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unsupported);
    rescue.finish().unwrap();
    disks.stop();
    let after = [system, group].map(|image| fs::read(image).unwrap());
    assert!(after == before, "reading has changed the disks");
}
