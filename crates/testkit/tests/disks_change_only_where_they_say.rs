//! Generated disks are functions of their seed, and changes are told completely.

use lifeboat_model::Extent;
use lifeboat_testkit::{ChangeRule, Content, DiskPattern, PatternDisk, SeededEntropy};

#[test]
fn equal_seeds_give_equal_disks_of_all_contents() {
    let disk = DiskPattern::new(7, 64 << 20).disk();
    assert_eq!(disk, DiskPattern::new(7, 64 << 20).disk());
    assert_ne!(disk, DiskPattern::new(8, 64 << 20).disk());
    let mut sums = [0; 4];
    let mut end = 0;
    for (extent, content) in disk.areas() {
        assert_eq!(extent.start(), end, "areas cover the disk");
        end = extent.end();
        let index = match content {
            Content::Hole => 0,
            Content::Zeros => 1,
            Content::Text(_) => 2,
            Content::Random(_) => 3,
        };
        sums[index] += extent.len() * 100 / disk.size();
    }
    assert_eq!(end, disk.size());
    assert!(sums[0] > 25 && sums[2] > 5 && sums[3] > 5, "{sums:?}");
}

#[test]
fn what_reads_differently_is_in_the_set() {
    let entropy = SeededEntropy::new(1);
    for grain in [1, 512, 4096] {
        let mut disk = DiskPattern::new(grain, 300_001).disk();
        let before = disk.bytes();
        let rule = ChangeRule {
            area_count: 10,
            area_bytes_max: 20_000,
            grain,
        };
        let changed = disk.change(&entropy, rule);
        assert!(!changed.is_empty());
        let after = disk.bytes();
        for (offset, (old, new)) in before.iter().zip(&after).enumerate() {
            let byte = Extent::at(offset as u64, 1).unwrap();
            assert!(old == new || changed.touches(byte), "{offset}");
        }
    }
}

#[test]
fn reads_do_not_depend_on_how_they_are_cut() {
    let disk = DiskPattern::new(3, 100_000).disk();
    let whole = disk.bytes();
    for (offset, length) in [(0, 1), (17, 4096), (4095, 2), (99_999, 1), (50_001, 49_999)] {
        let mut part = vec![0xAA; length];
        disk.read_at(offset as u64, &mut part);
        assert_eq!(part, whole[offset..offset + length]);
    }
}

#[test]
fn a_file_holds_the_same_bytes_and_its_holes() {
    let mut disk = PatternDisk::empty(8 << 20);
    disk.write(Extent::at(1 << 20, 5000).unwrap(), Content::Random(1));
    disk.write(Extent::at(3 << 20, 70_000).unwrap(), Content::Text(2));
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("disk.raw");
    disk.write_to(&std::fs::File::create(&path).unwrap())
        .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), disk.bytes());
    let blocks = std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(&path).unwrap());
    assert!(blocks * 512 < 1 << 20, "holes take no room");
}

#[test]
fn disks_grow_by_holes_and_lose_their_end() {
    let mut disk = DiskPattern::new(5, 1 << 20).disk();
    let before = disk.bytes();
    disk.resize(2 << 20);
    assert_eq!(disk.bytes()[..1 << 20], before);
    assert!(disk.bytes()[1 << 20..].iter().all(|byte| *byte == 0));
    disk.resize(1000);
    assert_eq!(disk.bytes(), before[..1000]);
    disk.resize(0);
    assert_eq!(disk.areas().count(), 0);
}

#[test]
fn terabytes_cost_nothing() {
    let pattern = DiskPattern {
        area_grains_max: 1 << 20,
        ..DiskPattern::new(1, 8 << 40)
    };
    let disk = pattern.disk();
    let mut end = [0; 64];
    disk.read_at((8 << 40) - 64, &mut end);
    assert!(disk.areas().count() < 20_000);
}
