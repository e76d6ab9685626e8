//! Whatever lies on a disk, asking for its files ends: with files, faults or an error.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_rescue::{Access, Disk, GuestPath, LastLink, Patience, Rescue, Settings, Step};
use lifeboat_testkit::{Effort, figure, tool};

use crate::disks::{Disks, run};
use crate::trees::{self, make_plain, make_rich};

const DISKS_MAX: usize = 16;

#[test]
fn folders_that_hold_themselves_are_entered_once() {
    let Some(mut disks) = Disks::with(&["mke2fs", "debugfs"]) else {
        return;
    };
    let stage = disks.stage("stage");
    make_plain(&stage);
    let image = disks.ext4("loop.raw", 16, &stage);
    for request in ["ln /deep /deep/deeper/loop", "ln /deep/deeper /deep/second"] {
        run(Command::new(tool("debugfs").unwrap())
            .args(["-w", "-R", request])
            .arg(&image));
    }
    let mut served = vec![disks.serve("vda", &image, Access::Read)];
    served.extend(damaged(&mut disks, &stage));
    let Some(mut rescue) = disks.start(&served, Access::Read) else {
        return;
    };
    let tree = trees::read(&mut rescue, "vda:/");
    assert!(tree[&b"deep/deeper/deepest/file"[..]].content == trees::noise(5000));
    let said: Vec<_> = tree.values().flat_map(|seen| &seen.faults).collect();
    let is_said = |words: &str| said.iter().any(|fault| fault.contains(words));
    // The kernel itself refuses a folder above; one that is elsewhere it shows twice.
    assert!(is_said("loop cannot be read"), "{said:?}");
    assert!(is_said("lies in two places"), "{said:?}");
    let (mut files, mut faults, mut errors) = (0, 0, 0);
    let names: Vec<_> = rescue.volumes().iter().map(|it| it.name.clone()).collect();
    for name in names {
        let path = GuestPath::on_volume(&name, b"/");
        match rescue.walk(&path, LastLink::Kept).and_then(count) {
            Ok((seen, broken)) => (files, faults) = (files + seen, faults + broken),
            // A kernel that falls over takes its VM, and nothing else.
            Err(_) => errors += 1,
        }
    }
    figure(
        "rescue",
        "damaged disks: entries, faults, errors",
        format!("{files}, {faults}, {errors}"),
    );
    assert!(
        files > 0 && faults + errors > 0,
        "{files}, {faults}, {errors}"
    );
}

fn count(walk: lifeboat_rescue::Walk<'_>) -> lifeboat_rescue::Result<(u64, u64)> {
    let (mut files, mut faults) = (0, 0);
    for step in walk {
        match step? {
            Step::Entry(_) => files += 1,
            Step::Fault(_) => faults += 1,
            _ => {}
        }
    }
    Ok((files, faults))
}

/// Disks with file systems in which pieces are overwritten with noise.
fn damaged(disks: &mut Disks, stage: &Path) -> Vec<Disk> {
    let rich = disks.stage("rich");
    make_rich(&rich);
    let count = Effort::current().pick(6, DISKS_MAX);
    let images: Vec<_> = (0..count)
        .map(|number| damaged_image(disks, stage, &rich, number))
        .collect();
    let served = images.iter().enumerate();
    served
        .map(|(number, image)| disks.serve(&format!("damaged{number}"), image, Access::Read))
        .collect()
}

fn damaged_image(disks: &Disks, stage: &Path, rich: &Path, number: usize) -> PathBuf {
    let name = format!("damaged{number}.raw");
    let image = match number % 3 {
        0 => disks.ext4(&name, 16, rich),
        1 => disks.ext4(&name, 16, stage),
        _ => {
            let image = disks.image(&name, 128);
            let Some(maker) = tool("mkfs.btrfs") else {
                return image;
            };
            run(Command::new(maker)
                .args(["-q", "--rootdir"])
                .arg(rich)
                .arg(&image));
            image
        }
    };
    let file = OpenOptions::new().write(true).open(&image).unwrap();
    let noise = trees::noise(4096 * (number + 1));
    // Beyond the superblocks, so that it is still taken for what it was.
    let start = 72 << 10;
    for piece in 0..40 + number as u64 {
        let offset = start + piece * (28 + number as u64) * 4096;
        file.write_all_at(&noise[..512 + 256 * number], offset)
            .unwrap();
    }
    image
}

#[test]
fn a_vm_that_says_nothing_is_given_up() {
    let Some(disks) = Disks::with(&["sleep"]) else {
        return;
    };
    let silent = disks.path("silent");
    fs::write(&silent, "#!/bin/sh\nexec sleep 600\n").unwrap();
    run(Command::new("chmod").arg("+x").arg(&silent));
    let mut settings = disks.settings();
    settings.qemu = Some(silent);
    settings.patience = Patience {
        boot: Duration::from_secs(1),
        ..settings.patience
    };
    let cancel = CancelToken::new();
    let start = |settings: &Settings| Rescue::start(&[], Access::Read, settings, &cancel);
    match start(&settings).unwrap_err() {
        error if error.kind() == ErrorKind::Unsupported => return,
        error => assert!(error.to_string().contains("did not start"), "{error}"),
    }
    settings.qemu = tool("false");
    let error = start(&settings).unwrap_err();
    assert!(error.to_string().contains("it said nothing"), "{error}");
    cancel.cancel();
    settings.qemu = tool("sleep");
    assert!(matches!(
        start(&settings).unwrap_err().kind(),
        ErrorKind::Cancelled | ErrorKind::Io
    ));
}
