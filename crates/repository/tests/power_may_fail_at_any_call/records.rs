//! Cut off while snapshot records change.

use lifeboat_repository::{Result, snapshots};
use lifeboat_testkit::Effort;

use super::Trial;
use crate::world::{Expected, World, bytes_of, read};

/// A world with one snapshot for each range of blobs.
pub(super) fn snapshots_of(ranges: &[(u64, u64)]) -> (World, Expected) {
    let world = World::new();
    let mut expected = Expected::new();
    for (start, end) in ranges {
        let seeds: Vec<u64> = (*start..*end).collect();
        expected.insert(world.backup(&seeds), seeds);
    }
    (world, expected)
}

/// Ranges for snapshots that share blobs with their neighbours.
pub(super) fn steps(count: u64) -> Vec<(u64, u64)> {
    // Every state reads every snapshot: the cost is square.
    let count = count * Effort::current().pick(1, 2);
    (0..count).map(|number| (number, number + 4)).collect()
}

#[test]
fn of_a_forget() {
    let (world, mut expected) = snapshots_of(&steps(12));
    let gone: Vec<_> = expected.keys().copied().take(10).collect();
    expected.retain(|id, _| !gone.contains(id));
    Trial {
        name: "forget",
        world: &world,
        expected: &expected,
        work: &|repository| {
            gone.iter()
                .try_for_each(|id| snapshots::remove(repository, *id))
        },
    }
    .run(100);
}

#[test]
fn of_a_change_of_tags() {
    let (world, expected) = snapshots_of(&steps(18));
    let contents: Vec<Vec<u8>> = expected.values().map(|seeds| bytes_of(seeds)).collect();
    Trial {
        name: "tag change",
        world: &world,
        // Names change; what they lead to is looked at in the work.
        expected: &Expected::new(),
        work: &|repository| {
            let found = snapshots::list(repository)?;
            let readable = found.iter().map(|snapshot| read(repository, snapshot.id));
            let readable = readable.collect::<Result<Vec<_>>>()?;
            assert!(contents.iter().all(|content| readable.contains(content)));
            let is_new = |tag: &String| tag == "new";
            for old in found.iter().filter(|old| !old.file.tags.iter().any(is_new)) {
                let mut file = old.file.clone();
                file.tags.push("new".to_owned());
                snapshots::replace(repository, old, file)?;
            }
            Ok(())
        },
    }
    .run(150);
}
