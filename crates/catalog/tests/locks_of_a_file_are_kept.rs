//! A process that opens a catalog twice keeps its locks on the file: without them another process
//! that opens and closes the catalog removes the log that this one writes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use lifeboat_catalog::{Catalog, CatalogPlace};
use lifeboat_model::SystemClock;

/// Whether this process holds a lock on a file.
fn is_locked(path: &Path) -> bool {
    let inode = fs::metadata(path).unwrap().ino();
    let own = std::process::id().to_string();
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let mut held = locks.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&own.as_str())
    });
    held.any(|line| line.contains(&format!(":{inode} ")))
}

#[test]
fn a_second_open_keeps_the_locks_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalog.sqlite");
    let place = CatalogPlace::File(path.clone());
    let first = Catalog::open(&place, Arc::new(SystemClock::new())).unwrap();
    first.set_note("a", &1).unwrap();
    assert!(is_locked(&path));
    let second = Catalog::open(&place, Arc::new(SystemClock::new())).unwrap();
    assert!(is_locked(&path));
    drop(second);
    first.set_note("a", &2).unwrap();
    assert!(is_locked(&path));
    assert!(path.with_extension("sqlite-wal").exists());
    let third = Catalog::open(&place, Arc::new(SystemClock::new())).unwrap();
    assert_eq!(third.note::<i32>("a").unwrap(), Some(2));
}
