//! Files that are handed over piece by piece are stored as they are; what did not change is taken
//! over; what is out of its turn is refused.

use lifeboat_engine::file_backup::{FileBackup, FileBackupResult, Folders, file_backup};
use lifeboat_format::{BlobId, BlobKind, Node, NodeKind, SnapshotFile};
use lifeboat_model::{Clock, ErrorKind};
use lifeboat_repository::{BlobReader, LockMode, LockWait, lock, snapshots};
use lifeboat_testkit::SeededEntropy;

use crate::world::{World, cases, small_sizes};

type Failure = lifeboat_engine::Error;
type Walk<'a> = &'a dyn Fn(&mut Folders<'_, '_>) -> Result<(), Failure>;

/// A file and the pieces in which it comes; what is between them are zeros.
struct Content {
    bytes: Vec<u8>,
    pieces: Vec<(usize, usize)>,
}

impl Content {
    /// Up to 600 KB; a third of the pieces are zeros, too.
    fn new(dice: &SeededEntropy) -> Self {
        let size = dice.below(600_000) as usize;
        let (mut bytes, mut pieces, mut at) = (vec![0; size], Vec::new(), 0);
        while at < size {
            at += [0, dice.below(5000), dice.below(300_000)][dice.below(3) as usize] as usize;
            let length = [dice.below(9000), 4096, dice.below(140_000)][dice.below(3) as usize];
            let end = (at + 1 + length as usize).min(size);
            if at < end {
                if dice.below(3) > 0 {
                    bytes[at..end].copy_from_slice(&dice.bytes(end - at));
                }
                pieces.push((at, end));
            }
            at = end.max(at);
        }
        Self { bytes, pieces }
    }

    fn node(&self, name: &str, inode: u64) -> Node {
        Node {
            size: self.bytes.len() as u64,
            inode,
            ..Node::new(name.as_bytes(), NodeKind::File)
        }
    }

    fn store(&self, folders: &mut Folders<'_, '_>, node: Node) -> Result<Vec<BlobId>, Failure> {
        folders.file(node, |file| {
            let mut pieces = self.pieces.iter();
            pieces.try_for_each(|(start, end)| file.piece(*start as u64, &self.bytes[*start..*end]))
        })
    }
}

fn stored(
    world: &World,
    parent: Option<BlobId>,
    walk: impl FnOnce(&mut Folders<'_, '_>) -> Result<(), Failure>,
) -> Result<FileBackupResult, Failure> {
    let lock = lock::acquire(&world.repository, LockMode::Shared, LockWait::default()).unwrap();
    let index = world.repository.load_index().unwrap();
    let request = FileBackup {
        label: SnapshotFile::new(world.clock.now().into()),
        parent,
        sizes: world.sizes,
        write: world.write,
    };
    file_backup(&world.repository, &index, &lock, request, walk)
}

/// All bytes of a file in a snapshot.
fn read(world: &World, tree: &BlobId, name: &str) -> Vec<u8> {
    let index = world.repository.load_index().unwrap();
    let mut reader = BlobReader::new(&world.repository, &index);
    let node = reader
        .tree(tree)
        .unwrap()
        .find(name.as_bytes())
        .unwrap()
        .clone();
    let chunks = node.content_ids().iter();
    let chunks = chunks.map(|id| reader.get(BlobKind::Data, id).unwrap().to_vec());
    chunks.collect::<Vec<_>>().concat()
}

#[test]
fn what_is_handed_over_is_read_back_and_then_taken_over() {
    for seed in 0..u64::from(cases(30)) {
        let (world, dice) = (World::new(seed, small_sizes()), SeededEntropy::new(seed));
        let [a, b] = [Content::new(&dice), Content::new(&dice)];
        let first = stored(&world, None, |folders| {
            a.store(folders, a.node("a", 1))?;
            b.store(folders, b.node("b", 2)).map(drop)
        });
        let first = first.unwrap();
        assert!(read(&world, &first.tree, "a") == a.bytes, "seed {seed}");
        assert!(read(&world, &first.tree, "b") == b.bytes, "seed {seed}");
        let c = Content::new(&dice);
        let second = stored(&world, Some(first.tree), |folders| {
            assert!(folders.take_over(&a.node("a", 1)), "seed {seed}");
            assert!(!folders.take_over(&c.node("b", 3)), "seed {seed}");
            c.store(folders, c.node("b", 3)).map(drop)
        });
        let second = second.unwrap();
        assert!(read(&world, &second.tree, "a") == a.bytes, "seed {seed}");
        assert!(read(&world, &second.tree, "b") == c.bytes, "seed {seed}");
        let counts = second.counts;
        assert_eq!((counts.new, counts.changed, counts.unmodified), (0, 1, 1));
        let handed_over: usize = c.pieces.iter().map(|(start, end)| end - start).sum();
        assert_eq!(counts.read_bytes, handed_over as u64);
    }
}

#[test]
fn what_is_out_of_its_turn_leaves_no_snapshot() {
    let world = World::new(1, small_sizes());
    let file = || Node {
        size: 9000,
        ..Node::new(b"a", NodeKind::File)
    };
    let attempts: [Walk<'_>; 5] = [
        &|it| it.file(file(), |file| file.piece(8999, &[1, 2])).map(drop),
        &|it| it.file(file(), |file| file.piece(u64::MAX, &[1])).map(drop),
        &|it| {
            let twice = it.file::<Failure>(file(), |file| {
                file.piece(10, &[1; 10])?;
                file.piece(19, &[1; 10])
            });
            twice.map(drop)
        },
        &|it| it.leave(),
        &|it| {
            it.enter(Node::new(b"never left", NodeKind::Dir));
            Ok(())
        },
    ];
    for (number, attempt) in attempts.into_iter().enumerate() {
        let failed = stored(&world, None, attempt).unwrap_err();
        assert_eq!(failed.kind(), ErrorKind::Invalid, "{number}");
    }
    assert!(snapshots::list(&world.repository).unwrap().is_empty());
}
