//! An incremental backup gives exactly the chunks of a full one, and reads little.

use std::sync::Arc;

use lifeboat_chunker::ChunkSizes;
use lifeboat_engine::backup::Change;
use lifeboat_model::{Extent, ExtentSet};
use lifeboat_testkit::{
    Content, DiskPattern, MappedDisk, Mapping, MemoryTarget, PatternDisk, SeededEntropy,
};
use proptest::prelude::*;

use crate::world::{World, cases, small_sizes};

/// Where a change begins.
#[derive(Clone, Copy, Debug)]
enum Spot {
    /// Anywhere.
    Random(u32),
    /// Where content changes: at the ends of zero runs, among others.
    AreaEnd(u16),
    /// Between two chunks of the parent.
    ChunkEnd(u16),
    /// The shortest zero run behind a chunk's end.
    Lookahead(u16),
}

/// What happens to a disk.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// Sectors before or behind the spot, length in bytes, content.
    Write(Spot, i8, u32, u8),
    /// Two areas of the disk change places.
    Swap(u16, u16),
    /// So many bytes more.
    Grow(u32),
    /// So many bytes less.
    Shrink(u32),
}

/// How the platform tells of changes.
#[derive(Clone, Copy, Debug)]
enum Telling {
    Exact,
    /// A bitmap of this granularity.
    Grains(u64),
    /// Further places that have not changed.
    TooMany(u64),
}

#[derive(Clone, Debug)]
struct Case {
    seed: u64,
    size: u64,
    holes: u64,
    zeros: u64,
    grain: u64,
    mapping: Mapping,
    steps: Vec<(Vec<Event>, Telling)>,
}

fn spots() -> impl Strategy<Value = Spot> {
    prop_oneof![
        any::<u32>().prop_map(Spot::Random),
        any::<u16>().prop_map(Spot::AreaEnd),
        any::<u16>().prop_map(Spot::ChunkEnd),
        any::<u16>().prop_map(Spot::Lookahead),
    ]
}

fn lengths() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(512),
        Just(4096),
        Just(16 << 10),
        1u32..9000,
        1u32..1 << 18,
        1u32..1 << 20
    ]
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (spots(), -9i8..=9, lengths(), any::<u8>())
            .prop_map(|(spot, sectors, length, content)| {
                Event::Write(spot, sectors, length, content)
            }),
        1 => (any::<u16>(), any::<u16>()).prop_map(|(one, two)| Event::Swap(one, two)),
        1 => lengths().prop_map(Event::Grow),
        1 => lengths().prop_map(Event::Shrink),
    ]
}

fn tellings() -> impl Strategy<Value = Telling> {
    prop_oneof![
        Just(Telling::Exact),
        Just(Telling::Grains(64 << 10)),
        any::<u64>().prop_map(Telling::TooMany),
    ]
}

fn mappings() -> impl Strategy<Value = Mapping> {
    let grains = prop_oneof![Just(64u64 << 10), Just(512), Just(1536), Just(10_000)];
    prop_oneof![
        Just(Mapping::Holes),
        Just(Mapping::AllData),
        (any::<u64>(), grains).prop_map(|(seed, grain)| Mapping::Fickle { seed, grain }),
    ]
}

fn disks(size_max: u64) -> impl Strategy<Value = Case> {
    let grains = prop_oneof![Just(512u64), Just(4096), Just(16 << 10), Just(777)];
    let steps = prop::collection::vec((prop::collection::vec(events(), 0..6), tellings()), 1..4);
    (
        any::<u64>(),
        0..size_max,
        (0u64..70, 0u64..30),
        grains,
        mappings(),
        steps,
    )
        .prop_map(|(seed, size, (holes, zeros), grain, mapping, steps)| Case {
            seed,
            size,
            holes,
            zeros,
            grain,
            mapping,
            steps,
        })
}

/// A disk under change, with what is told of it.
struct Changing {
    disk: PatternDisk,
    changed: ExtentSet,
    chunk_ends: Vec<u64>,
    lookahead: u64,
    seed: u64,
}

impl Changing {
    fn find(&self, spot: Spot, sectors: i8) -> u64 {
        let pick = |ends: &[u64], index: u16| {
            let number = usize::from(index) % ends.len().max(1);
            ends.get(number).copied().unwrap_or(0)
        };
        let offset = match spot {
            Spot::Random(number) => u64::from(number) % self.disk.size().max(1),
            Spot::AreaEnd(index) => {
                let ends: Vec<u64> = self.disk.areas().map(|(area, _)| area.end()).collect();
                pick(&ends, index)
            }
            Spot::ChunkEnd(index) => pick(&self.chunk_ends, index),
            Spot::Lookahead(index) => pick(&self.chunk_ends, index) + self.lookahead,
        };
        offset.saturating_add_signed(i64::from(sectors) * 512)
    }

    fn write(&mut self, area: Extent, content: Content) {
        if let Some(area) = Extent::new(area.start(), area.end().min(self.disk.size())) {
            self.disk.write(area, content);
            self.changed.insert(area);
        }
    }

    fn happen(&mut self, event: Event) {
        self.seed += 1;
        match event {
            Event::Write(spot, sectors, length, content) => {
                let start = self.find(spot, sectors);
                let content = match content % 8 {
                    0 | 1 => Content::Hole,
                    2 => Content::Zeros,
                    3 => Content::Text(self.seed),
                    // What is there already, read from its own place.
                    4 => self.disk.area(start).map_or(Content::Hole, |(_, c)| c),
                    _ => Content::Random(self.seed),
                };
                Extent::at(start, u64::from(length))
                    .into_iter()
                    .for_each(|area| self.write(area, content));
            }
            Event::Swap(one, two) => {
                let areas: Vec<_> = self.disk.areas().collect();
                if !areas.is_empty() {
                    let (one, two) = (
                        usize::from(one) % areas.len(),
                        usize::from(two) % areas.len(),
                    );
                    self.write(areas[one].0, areas[two].1);
                    self.write(areas[two].0, areas[one].1);
                }
            }
            Event::Grow(length) => {
                let old = self.disk.size();
                self.disk.resize(old + u64::from(length));
                if self.seed.is_multiple_of(2) {
                    self.disk.write(
                        Extent::at(old, u64::from(length)).unwrap(),
                        Content::Random(self.seed),
                    );
                }
            }
            Event::Shrink(length) => {
                let size = self.disk.size();
                let smaller = size.saturating_sub(u64::from(length));
                self.disk.resize(smaller);
                Extent::new(smaller, size)
                    .into_iter()
                    .for_each(|gone| self.changed.insert(gone));
            }
        }
    }

    fn told(&self, telling: Telling) -> ExtentSet {
        let mut told = self.changed.clone();
        match telling {
            Telling::Exact => {}
            Telling::Grains(grain) => told = told.aligned(grain, u64::MAX),
            Telling::TooMany(seed) => {
                let entropy = SeededEntropy::new(seed);
                for _ in 0..3 {
                    let start = entropy.below(self.disk.size() + 1);
                    told.insert(Extent::at(start, 1 + entropy.below(100_000)).unwrap());
                }
            }
        }
        told
    }
}

fn chunk_ends(world: &World, snapshot: lifeboat_format::SnapshotId) -> Vec<u64> {
    let index = world.repository.load_index().unwrap();
    let mut end = 0;
    let node = world.node(snapshot);
    let ends = node.content_ids().iter().map(|id| {
        let kind = lifeboat_format::BlobKind::Data;
        end += u64::from(index.find(kind, id).unwrap().plaintext_length());
        end
    });
    ends.collect()
}

fn check(case: &Case, sizes: ChunkSizes) -> Result<(), TestCaseError> {
    let pattern = DiskPattern {
        hole_percent: case.holes,
        zero_percent: case.zeros,
        grain: case.grain,
        area_grains_max: (256 << 10) / case.grain,
        ..DiskPattern::new(case.seed, case.size)
    };
    let world = World::new(case.seed, sizes);
    let mut changing = Changing {
        disk: pattern.disk(),
        changed: ExtentSet::new(),
        chunk_ends: Vec::new(),
        lookahead: sizes.zero_run_min(),
        seed: case.seed >> 1,
    };
    let source = |disk: &PatternDisk, mapping| Arc::new(MappedDisk::new(disk.clone(), mapping));
    let first = world.backup(source(&changing.disk, case.mapping), Change::Unknown);
    let mut parent = first.unwrap().snapshot.unwrap();
    for (events, telling) in &case.steps {
        changing.changed = ExtentSet::new();
        changing.chunk_ends = chunk_ends(&world, parent);
        events.iter().for_each(|event| changing.happen(*event));
        let told = changing.told(*telling);
        let since = world.since(parent, told);
        let result = world
            .backup(source(&changing.disk, case.mapping), since)
            .unwrap();
        let incremental = result.snapshot.unwrap();
        let full = world.backup(source(&changing.disk, Mapping::AllData), Change::Unknown);
        let full = full.unwrap().snapshot.unwrap();
        let (left, right) = (world.node(incremental), world.node(full));
        prop_assert_eq!(left.content_ids(), right.content_ids());
        prop_assert_eq!(left.size, changing.disk.size());
        let bytes = changing.disk.bytes();
        prop_assert!(world.dumped(incremental) == bytes, "the dump differs");
        let target = MemoryTarget::of_rubbish(left.size);
        prop_assert!(
            world.restored(incremental, target) == bytes,
            "the restored disk differs"
        );
        parent = incremental;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(150), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn with_small_chunks(case in disks(2 << 20)) {
        check(&case, small_sizes())?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(15), failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn with_default_chunks(case in disks(16 << 20)) {
        check(&case, ChunkSizes::DEFAULT)?;
    }
}

/// Chunks meet again soon: the mean is below three of the largest per place of change.
#[test]
fn little_more_than_the_changes_is_read() {
    let sizes = small_sizes();
    let max = u64::from(sizes.max());
    let (mut read, mut changed_bytes, rounds) = (0, 0, 60);
    for seed in 0..rounds {
        let entropy = SeededEntropy::new(seed);
        let pattern = DiskPattern {
            hole_percent: 5,
            ..DiskPattern::new(seed, 4 << 20)
        };
        let (world, mut disk) = (World::new(seed, sizes), pattern.disk());
        let first = Arc::new(MappedDisk::new(disk.clone(), Mapping::AllData));
        let parent = world
            .backup(first, Change::Unknown)
            .unwrap()
            .snapshot
            .unwrap();
        let at = Extent::at(entropy.below(3 << 20), 1 + entropy.below(1 << 19)).unwrap();
        disk.write(at, Content::Random(seed));
        let changed: ExtentSet = [at].into_iter().collect();
        let source = Arc::new(MappedDisk::new(disk, Mapping::AllData));
        let since = world.since(parent, changed.clone());
        let result = world.backup(source.clone(), since).unwrap();
        assert_eq!(result.disks[0].read_bytes, source.read_bytes());
        let blocks = changed.aligned(4096, u64::MAX).byte_count();
        let edges = source.read_bytes() - blocks.min(source.read_bytes());
        assert!(
            edges <= 16 * max,
            "seed {seed}: {edges} bytes around {at:?}"
        );
        read += source.read_bytes();
        changed_bytes += blocks;
    }
    assert!(
        read <= changed_bytes + rounds * 3 * max,
        "read {read} for {changed_bytes}"
    );
}
