//! Block devices take a disk when nobody uses them, and keep no old bytes in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use lifeboat_disk::{
    BlockDeviceWriter, DiskReader, DiskWriter, Qcow2Writer, Qcow2WriterOptions, RawDisk, RawWriter,
    RawWriterOptions, TargetMode, is_block_device,
};
use lifeboat_model::ErrorKind;

use crate::qemu::{self, Dice, folder, once_free, run, text};

/// A loop device over a file; detached when dropped.
struct Loop(PathBuf);

impl Loop {
    fn attach(arguments: &[&str], file: &Path) -> Option<Self> {
        let mut command = Command::new("losetup");
        let output = command
            .args(["-f", "--show"])
            .args(arguments)
            .arg(file)
            .output();
        match output {
            Ok(output) if output.status.success() => Some(Self(
                String::from_utf8(output.stdout).unwrap().trim().into(),
            )),
            _ => {
                assert!(
                    std::env::var_os("CI").is_none(),
                    "loop devices are needed in CI"
                );
                eprintln!("SKIPPED: no loop device can be attached here");
                None
            }
        }
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

#[test]
fn what_is_written_and_zeroed_replaces_the_old_bytes() {
    let (_held, folder) = folder();
    let file = folder.join("device.img");
    for sector in ["512", "4096"] {
        std::fs::write(&file, vec![0xFF; 8 << 20]).unwrap();
        let Some(device) = Loop::attach(&["--sector-size", sector], &file) else {
            return;
        };
        assert!(is_block_device(&device.0) && !is_block_device(&file));
        let size = (6 << 20) + 777;
        let writer = BlockDeviceWriter::open(&device.0, size).unwrap();
        assert_eq!((writer.size(), writer.device_size()), (size, 8 << 20));
        assert!(!writer.is_blank());
        let mut model = vec![0xFF; size as usize];
        let mut dice = Dice::new(12);
        for round in 0..60 {
            let (start, length) = dice.range(size, [1, 512, 4096][round % 3], size / 10);
            let range = &mut model[start as usize..(start + length) as usize];
            if dice.below(2) == 0 {
                range.fill(0);
                writer.zero_at(start, length).unwrap();
            } else {
                dice.fill(range);
                writer.write_at(start, range).unwrap();
            }
        }
        assert_eq!(
            writer.write_at(size, &[1]).unwrap_err().kind(),
            ErrorKind::Invalid
        );
        let mut back = vec![0; 5000];
        writer.read_back(1000, &mut back).unwrap();
        assert!(back == model[1000..6000]);
        writer.finish().unwrap();
        assert_eq!(writer.zero_at(0, 1).unwrap_err().kind(), ErrorKind::Invalid);
        drop(writer);
        let disk = RawDisk::open(&device.0).unwrap();
        assert_eq!(disk.size(), 8 << 20);
        assert_eq!(qemu::our_map(&disk), [(0, 8 << 20, false)]);
        model.resize(8 << 20, 0xFF);
        assert!(qemu::read_all(&disk, 1 << 20) == model);
    }
}

#[test]
fn small_read_only_and_claimed_devices_are_refused() {
    let (_held, folder) = folder();
    let file = folder.join("device.img");
    std::fs::write(&file, vec![0; 8 << 20]).unwrap();
    let Some(device) = Loop::attach(&[], &file) else {
        return;
    };
    let kind = |path: &Path, size| {
        BlockDeviceWriter::open(path, size)
            .map(|_| ())
            .map_err(|e| e.kind())
    };
    assert_eq!(kind(&device.0, (8 << 20) + 1), Err(ErrorKind::Invalid));
    assert_eq!(kind(&file, 1), Err(ErrorKind::Invalid));
    assert_eq!(kind(&folder.join("missing"), 1), Err(ErrorKind::NotFound));
    let first = BlockDeviceWriter::open(&device.0, 1).unwrap();
    assert_eq!(kind(&device.0, 1), Err(ErrorKind::Busy));
    drop(first);
    drop(once_free(|| BlockDeviceWriter::open(&device.0, 1)));
    drop(device);
    let Some(device) = Loop::attach(&["-r"], &file) else {
        return;
    };
    assert_eq!(kind(&device.0, 1), Err(ErrorKind::Denied));
}

#[test]
fn mounted_devices_are_refused() {
    let (_held, folder) = folder();
    let (file, place) = (folder.join("device.img"), folder.join("place"));
    std::fs::write(&file, vec![0; 8 << 20]).unwrap();
    std::fs::create_dir(&place).unwrap();
    let Some(device) = Loop::attach(&[], &file) else {
        return;
    };
    run("mkfs.ext4", &["-q", text(&device.0)]);
    let mount = Command::new("mount").arg(&device.0).arg(&place).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "mounting is needed in CI");
        eprintln!("SKIPPED: nothing can be mounted here");
        return;
    }
    let refused = BlockDeviceWriter::open(&device.0, 1).map(|_| ());
    run("umount", &[&place]);
    let error = refused.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(error.to_string().contains(text(&place)), "{error}");
    drop(once_free(|| BlockDeviceWriter::open(&device.0, 1)));
}

#[test]
fn a_full_file_system_is_reported_as_full() {
    let (_held, folder) = folder();
    let arguments = ["-t", "tmpfs", "-o", "size=1m", "none"];
    let mount = Command::new("mount").args(arguments).arg(&folder).output();
    if !mount.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "mounting is needed in CI");
        eprintln!("SKIPPED: nothing can be mounted here");
        return;
    }
    let written = |writer: &dyn DiskWriter| writer.write_at(0, &[1; 2 << 20]).map_err(|e| e.kind());
    let options = RawWriterOptions::new(TargetMode::New);
    let raw = written(&RawWriter::create(&folder.join("a"), 4 << 20, options).unwrap());
    let options = Qcow2WriterOptions::new(TargetMode::New);
    let image = written(&Qcow2Writer::create(&folder.join("b"), 4 << 20, &options).unwrap());
    // Lazily: another test's process may share our descriptors for a moment.
    run("umount", &["-l", text(&folder)]);
    assert_eq!((raw, image), (Err(ErrorKind::Full), Err(ErrorKind::Full)));
}
