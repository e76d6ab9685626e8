//! Raw files are read and written with their holes, and appear only when complete.

use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use lifeboat_disk::{
    DiskReader, DiskWriter, HolePolicy, ImageFormat, Leftover, OpenOptions, RawDisk, RawWriter,
    RawWriterOptions, TargetMode, open_reader,
};
use lifeboat_model::ErrorKind;

use crate::qemu::{self, Dice, Holder, assert_maps_as, assert_reads_as, folder, text};

fn create(path: &Path, size: u64, mode: TargetMode) -> lifeboat_disk::Result<RawWriter> {
    RawWriter::create(path, size, RawWriterOptions::new(mode))
}

#[test]
fn files_are_read_with_their_holes() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let path = folder.join("a.raw");
    for size in [0, 1, 511, 4096, 1_000_003, 8 << 20] {
        let mut model = vec![0; size as usize];
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(size).unwrap();
        let mut dice = Dice::new(size);
        for _ in 0..if size > 0 { 6 } else { 0 } {
            let (start, length) = dice.range(size, 1, (size / 9).max(1));
            let range = &mut model[start as usize..(start + length) as usize];
            dice.fill(range);
            file.write_all_at(range, start).unwrap();
        }
        let disk = RawDisk::open(&path).unwrap();
        if size == 0 {
            assert!(disk.next_extent(0).is_err());
            continue;
        }
        assert_reads_as(&disk, &model, &format!("{size} bytes"));
        assert_maps_as(&disk, &["-f", "raw", text(&path)], "raw");
        let careful = RawDisk::open_with(&path, HolePolicy::Ignore).unwrap();
        assert_eq!(qemu::our_map(&careful), [(0, size, false)]);
    }
}

#[test]
fn a_file_that_shrinks_is_reported() {
    let (_held, folder) = folder();
    let path = folder.join("a.raw");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    let disk = RawDisk::open(&path).unwrap();
    file.set_len(1 << 10).unwrap();
    assert_eq!(
        disk.next_extent(1 << 12).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    assert_eq!(
        disk.read_at(1 << 12, &mut [0; 8]).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
}

/// Random disjoint and overlapping writes and zeros.
fn scribble(writer: &dyn DiskWriter, model: &mut [u8], seed: u64) {
    let mut dice = Dice::new(seed);
    let size = model.len() as u64;
    for _ in 0..50 {
        let (start, length) = dice.range(size, 1, size / 8);
        let range = &mut model[start as usize..(start + length) as usize];
        if dice.below(3) == 0 {
            range.fill(0);
            writer.zero_at(start, length).unwrap();
        } else {
            dice.fill(range);
            writer.write_at(start, range).unwrap();
        }
    }
}

#[test]
fn a_new_file_appears_when_it_is_complete() {
    let (_held, folder) = folder();
    let (path, part) = (folder.join("a.raw"), folder.join(".a.raw.lifeboat-part"));
    let mut model = vec![0; 3_000_001];
    let writer = create(&path, 3_000_001, TargetMode::New).unwrap();
    assert!(writer.is_blank() && !writer.resumed());
    scribble(&writer, &mut model, 5);
    assert!(!path.exists() && part.exists());
    assert_eq!(
        writer.write_at(3_000_000, &[1, 2]).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    assert_eq!(
        writer.zero_at(u64::MAX, 2).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let busy = create(&path, 1, TargetMode::New).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    let mut back = vec![1; model.len()];
    writer.read_back(0, &mut back).unwrap();
    assert!(back == model);
    writer.finish().unwrap();
    assert!(path.exists() && !part.exists());
    assert!(std::fs::read(&path).unwrap() == model);
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(
        writer.write_at(0, &[1]).unwrap_err().kind(),
        ErrorKind::Invalid
    );
    let exists = create(&path, 1, TargetMode::New).unwrap_err();
    assert_eq!(exists.kind(), ErrorKind::Exists);
}

#[test]
fn a_file_that_appeared_meanwhile_is_not_overwritten() {
    let (_held, folder) = folder();
    let path = folder.join("a.raw");
    let writer = create(&path, 10, TargetMode::New).unwrap();
    std::fs::write(&path, "precious").unwrap();
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
}

#[test]
fn a_replaced_file_stays_whole_until_the_end() {
    let (_held, folder) = folder();
    let path = folder.join("a.raw");
    std::fs::write(&path, "old").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    let writer = create(&path, 4, TargetMode::Replace).unwrap();
    writer.write_at(1, b"ew").unwrap();
    drop(writer);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    let writer = create(&path, 4, TargetMode::Replace).unwrap();
    writer.write_at(0, b"n").unwrap();
    writer.finish().unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"n\0\0\0");
    assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
    let writer = create(&path, 4, TargetMode::Replace).unwrap();
    writer.abort().unwrap();
    assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}

#[test]
fn an_interrupted_file_can_be_gone_on_with() {
    let (_held, folder) = folder();
    let path = folder.join("a.raw");
    let writer = create(&path, 1 << 20, TargetMode::New).unwrap();
    writer.write_at(70_000, b"kept").unwrap();
    drop(writer);
    let keep = RawWriterOptions {
        mode: TargetMode::New,
        leftover: Leftover::Keep,
    };
    let writer = RawWriter::create(&path, 1 << 20, keep).unwrap();
    assert!(writer.resumed() && !writer.is_blank());
    let reader = writer.reader().unwrap();
    let mut back = [0; 4];
    reader.read_at(70_000, &mut back).unwrap();
    assert_eq!((&back, reader.size()), (b"kept", 1 << 20));
    drop(writer);
    let writer = create(&path, 1 << 20, TargetMode::New).unwrap();
    assert!(!writer.resumed());
    writer.read_back(70_000, &mut back).unwrap();
    assert_eq!(back, [0; 4]);
}

#[test]
fn a_file_overwritten_in_place_is_marked_until_the_end() {
    let (_held, folder) = folder();
    let (path, marker) = (
        folder.join("a.raw"),
        folder.join(".a.raw.lifeboat-restoring"),
    );
    let missing = create(&path, 1, TargetMode::InPlace).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let mut model = vec![0x55; 2_000_000];
    std::fs::write(&path, &model).unwrap();
    model.truncate(1_500_000);
    let writer = create(&path, 1_500_000, TargetMode::InPlace).unwrap();
    assert!(marker.exists() && !writer.is_blank());
    let mut back = vec![0; 100];
    writer.read_back(1_000_000, &mut back).unwrap();
    assert_eq!(back, [0x55; 100]);
    scribble(&writer, &mut model, 9);
    drop(writer);
    assert!(marker.exists(), "an interrupted restore stays marked");
    let open = || open_reader(&path, ImageFormat::Raw, &OpenOptions::default());
    assert_eq!(open().err().map(|e| e.kind()), Some(ErrorKind::Busy));
    let writer = create(&path, 1_500_000, TargetMode::InPlace).unwrap();
    assert!(writer.resumed());
    writer.finish().unwrap();
    assert!(!marker.exists() && open().is_ok());
    assert!(std::fs::read(&path).unwrap() == model);
}

#[test]
fn in_place_and_a_running_machine_exclude_each_other() {
    if !qemu::is_here() {
        return;
    }
    let (_held, folder) = folder();
    let path = folder.join("a.raw");
    std::fs::write(&path, [7; 4096]).unwrap();
    let machine = Holder::open(&["-f", "raw", text(&path)]);
    let error = create(&path, 4096, TargetMode::InPlace).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert!(!folder.join(".a.raw.lifeboat-restoring").exists());
    drop(machine);
    let writer = create(&path, 4096, TargetMode::InPlace).unwrap();
    let open = ["-f", "raw", "-c", "read 0 512", text(&path)];
    let output = std::process::Command::new("qemu-io")
        .args(open)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("lock"));
    writer.finish().unwrap();
}

#[test]
fn links_and_foreign_work_files_are_refused() {
    let (_held, folder) = folder();
    let (path, part) = (folder.join("a.raw"), folder.join(".a.raw.lifeboat-part"));
    let victim = folder.join("victim");
    std::fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, &part).unwrap();
    assert!(create(&path, 10, TargetMode::New).is_err());
    std::fs::remove_file(&part).unwrap();
    std::fs::hard_link(&victim, &part).unwrap();
    let error = create(&path, 10, TargetMode::New).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    for mode in [TargetMode::Replace, TargetMode::InPlace] {
        let error = create(&path, 10, mode).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{mode:?}");
    }
    assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    let error = create(&folder, 10, TargetMode::Replace).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let error = create(Path::new("/"), 10, TargetMode::New).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exists);
}

#[test]
fn zeros_occupy_no_space() {
    let (_held, folder) = folder();
    let path = folder.join("a.raw");
    let writer = create(&path, 16 << 20, TargetMode::New).unwrap();
    writer.write_at(0, &vec![1; 16 << 20]).unwrap();
    writer.zero_at(1 << 20, 14 << 20).unwrap();
    writer.finish().unwrap();
    assert!(std::fs::metadata(&path).unwrap().blocks() * 512 < 4 << 20);
    let map = qemu::our_map(&RawDisk::open(&path).unwrap());
    assert_eq!(
        map,
        [
            (0, 1 << 20, false),
            (1 << 20, 15 << 20, true),
            (15 << 20, 16 << 20, false)
        ]
    );
}
