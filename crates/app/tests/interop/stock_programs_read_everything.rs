//! Whatever lifeboat has done to a repository, stock programs read it.

use std::os::unix::fs::MetadataExt;

use lifeboat_model::Extent;
use lifeboat_testkit::{Content, lighten_key};

use super::site::{PASSWORD, Site, Stock, Taken};

#[test]
fn restic_of_debian() {
    stock_reads_everything("restic");
}

#[test]
fn restic_of_today() {
    stock_reads_everything("restic-new");
}

#[test]
fn rustic() {
    stock_reads_everything("rustic");
}

fn stock_reads_everything(name: &'static str) {
    let Some(stock) = Stock::find(name) else {
        return;
    };
    let mut site = Site::new(7);
    let mut taken = vec![site.backup(None)];
    site.is_read_by(&stock, &taken, "a full backup");
    // The key that was opened until now is that of every repository.
    lighten_key(&site.repository, PASSWORD);
    for _ in 0..3 {
        taken.push(site.change_and_backup());
    }
    site.is_read_by(&stock, &taken, "increments");
    let gone = taken.remove(0);
    site.lifeboat(&["forget", &gone.id]);
    site.is_read_by(&stock, &taken, "a forget");
    site.lifeboat(&["prune", "--grace", "1h", "--max-unused", "0%"]);
    site.is_read_by(&stock, &taken, "a prune that marks");
    site.lifeboat(&["prune", "--grace", "0"]);
    site.is_read_by(&stock, &taken, "a prune that removes");
    let gone = taken.remove(0);
    site.lifeboat(&["forget", &gone.id]);
    site.lifeboat(&["prune", "--instant", "--max-unused", "0%"]);
    site.is_read_by(&stock, &taken, "an instant prune");
    site.is_read_by_lifeboat(&taken, "an instant prune");
    let copied = copied(&mut site, taken.len());
    for copy in &copied {
        assert!(taken.iter().any(|taken| taken.bytes == copy.bytes));
    }
    site.is_read_by(&stock, &copied, "a copy");
    let repaired = repaired(&site);
    site.is_read_by(&stock, &repaired, "a repair");
    site.is_read_by_lifeboat(&repaired, "a repair");
}

/// Goes on in a second repository with copies of all snapshots.
fn copied(site: &mut Site, count: usize) -> Vec<Taken> {
    let first = site.repository.clone();
    site.repository = site.path("second");
    let from = first.to_str().unwrap();
    site.lifeboat(&["init", "--from-repo", from, "--copy-chunker-params"]);
    lighten_key(&site.repository, PASSWORD);
    site.lifeboat(&["copy", "--from-repo", from]);
    let copied = all_taken(site);
    assert_eq!(copied.len(), count);
    copied
}

/// All snapshots with what lifeboat dumps of them.
fn all_taken(site: &Site) -> Vec<Taken> {
    let ids = site.files("snapshots").into_iter().map(|path| {
        let id = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = site.lifeboat(&["dump", &id, "disks/vda.raw"]);
        Taken { id, bytes }
    });
    ids.collect()
}

/// Damages the largest pack, repairs, and gives the snapshots as they are then.
fn repaired(site: &Site) -> Vec<Taken> {
    let before = all_taken(site);
    let packs = site.files("data").into_iter();
    let largest = packs
        .max_by_key(|path| path.metadata().unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::remove_file(&largest).unwrap();
    std::fs::write(&largest, bytes).unwrap();
    let checked = site
        .lifeboat_command()
        .args(["check", "--read-data"])
        .output();
    assert!(!checked.unwrap().status.success());
    site.lifeboat(&["repair", "index"]);
    site.lifeboat(&["repair", "packs"]);
    site.lifeboat(&["repair", "snapshots"]);
    let after = all_taken(site);
    assert_eq!(after.len(), before.len());
    let largest_chunk = 1 << 20;
    for taken in &after {
        let differing = |before: &&Taken| {
            let pairs = before.bytes.iter().zip(&taken.bytes);
            pairs.filter(|(a, b)| a != b).count()
        };
        let least = before.iter().map(|before| differing(&before)).min();
        assert!(least.unwrap() <= largest_chunk, "one chunk is lost");
    }
    after
}

#[test]
fn restic_restores_holes_as_holes() {
    let Some(stock) = Stock::find("restic-new") else {
        return;
    };
    let mut site = Site::new(8);
    let size = 64 << 20;
    site.disk = lifeboat_testkit::PatternDisk::empty(size);
    for (start, length) in [(0, 1 << 20), (20 << 20, 3 << 20), (50 << 20, 100_000)] {
        let area = Extent::at(start, length).unwrap();
        site.disk.write(area, Content::Random(start));
    }
    let taken = site.backup(None);
    let target = site.path("sparse");
    let place = target.to_str().unwrap();
    site.stock(
        &stock,
        &["restore", &taken.id, "--sparse", "--target", place],
    );
    let file = target.join("disks/vda.raw");
    assert!(std::fs::read(&file).unwrap() == taken.bytes);
    let metadata = file.metadata().unwrap();
    assert_eq!(metadata.len(), size);
    assert!(
        metadata.blocks() * 512 <= 8 << 20,
        "{} blocks",
        metadata.blocks()
    );
}
