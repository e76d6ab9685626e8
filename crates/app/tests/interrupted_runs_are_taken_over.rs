//! What a killed run has stored is not stored again.

use std::fs;
use std::path::Path;

use lifeboat_testkit::SeededEntropy;

use crate::Place;

const BACKUP: [&str; 7] = ["-r", "r", "backup", "-m", "web01", "-d", "vda=vda.raw"];

fn pack_bytes(place: &Place) -> u64 {
    let files = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        entries.collect::<Vec<_>>()
    };
    let packs = files(&place.path("r/data"))
        .into_iter()
        .flat_map(|folder| files(&folder.path()));
    packs.map(|pack| pack.metadata().unwrap().len()).sum()
}

/// Packs without an index are what a run leaves that was killed in its first minute.
#[test]
fn packs_without_an_index() {
    let place = Place::new();
    fs::write(place.path("vda.raw"), SeededEntropy::new(5).bytes(9 << 20)).unwrap();
    place.init_light();
    place.lifeboat(&BACKUP);
    let before = pack_bytes(&place);
    for folder in ["r/index", "r/snapshots"] {
        fs::remove_dir_all(place.path(folder)).unwrap();
        fs::create_dir(place.path(folder)).unwrap();
    }
    let told = place.lifeboat(&BACKUP);
    assert!(told.contains("taken over"), "{told}");
    assert!(
        pack_bytes(&place) < before + (1 << 20),
        "only trees and the manifest are new"
    );
    place.lifeboat(&["-r", "r", "check", "--read-data"]);
    assert!(!place.lifeboat(&BACKUP).contains("taken over"));
}
