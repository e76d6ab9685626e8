//! What every place that keeps files must do.

use std::collections::BTreeMap;
use std::sync::Arc;

use lifeboat_backend::{Backend, FileHandle, FileKind, Listed};
use lifeboat_model::{ErrorKind, Id};

use crate::SeededEntropy;

type Place = Arc<dyn Backend>;

/// Checks the whole contract of [`Backend`]; panics at the first broken promise.
///
/// `make` gives a place without a repository, another one each time.
pub fn backend(make: impl Fn() -> Place) {
    let promises: [fn(&Place); 11] = [
        nothing_is_there_before_create,
        create_refuses_only_a_config,
        saved_files_are_loaded_and_listed,
        ranges_are_read_exactly,
        absent_files_are_not_found,
        named_files_stay_but_damaged_ones_are_replaced,
        the_config_is_replaced,
        removed_files_are_gone,
        lists_are_complete,
        threads_see_what_others_saved,
        any_sequence_of_calls_acts_like_a_map,
    ];
    for promise in promises {
        promise(&make());
    }
}

fn created(place: &Place) -> &Place {
    place.create().expect("an empty place takes a repository");
    place
}

fn file(kind: FileKind, number: u64) -> FileHandle {
    let entropy = SeededEntropy::new(number ^ (kind as u64) << 32);
    let mut id = Id::default();
    if kind != FileKind::Config {
        id.0.copy_from_slice(&entropy.bytes(32));
    }
    FileHandle::new(kind, id)
}

fn sorted(place: &Place, kind: FileKind) -> Vec<Listed> {
    let mut listed = place.list(kind).expect("a list is complete or an error");
    listed.sort();
    listed
}

#[track_caller]
fn fails<T: std::fmt::Debug>(kind: ErrorKind, result: lifeboat_backend::Result<T>) {
    let error = result.expect_err("this must fail");
    assert_eq!(error.kind(), kind, "{error:?}");
}

fn nothing_is_there_before_create(place: &Place) {
    assert!(!place.location().is_empty());
    for kind in FileKind::ALL {
        fails(ErrorKind::NotFound, place.list(kind));
        fails(ErrorKind::NotFound, place.save(file(kind, 1), b"too early"));
        fails(ErrorKind::NotFound, place.load(file(kind, 1)));
    }
}

fn create_refuses_only_a_config(place: &Place) {
    created(place);
    for kind in FileKind::ALL {
        assert_eq!(place.list(kind).unwrap(), []);
    }
    place.save(file(FileKind::Key, 1), b"key").unwrap();
    place
        .create()
        .expect("without a config there is no repository yet");
    assert_eq!(place.load(file(FileKind::Key, 1)).unwrap(), b"key");
    place.save(FileHandle::CONFIG, b"config").unwrap();
    fails(ErrorKind::Exists, place.create());
    assert_eq!(place.load(FileHandle::CONFIG).unwrap(), b"config");
}

fn saved_files_are_loaded_and_listed(place: &Place) {
    created(place);
    for kind in FileKind::ALL {
        let lengths: &[usize] = match kind {
            FileKind::Config => &[155],
            _ => &[0, 1, 4095, 4096, (1 << 18) + 3],
        };
        let mut expected = Vec::new();
        for (number, length) in lengths.iter().enumerate() {
            let file = file(kind, number as u64);
            let content = SeededEntropy::new(number as u64).bytes(*length);
            place.save(file, &content).unwrap();
            assert_eq!(place.load(file).unwrap(), content, "{file}");
            assert_eq!(place.size(file).unwrap(), *length as u64, "{file}");
            expected.push(Listed {
                id: file.id,
                size: *length as u64,
            });
        }
        expected.sort();
        assert_eq!(sorted(place, kind), expected, "{kind}");
    }
}

fn ranges_are_read_exactly(place: &Place) {
    let content = SeededEntropy::new(3).bytes(10_000);
    let pack = file(FileKind::Pack, 3);
    created(place).save(pack, &content).unwrap();
    for (offset, length) in [(0, 1), (0, 10_000), (1, 9_999), (9_999, 1), (4_000, 200)] {
        let mut buffer = vec![0xAA; length];
        place.read(pack, offset, &mut buffer).unwrap();
        let start = usize::try_from(offset).unwrap();
        assert_eq!(buffer, content[start..start + length]);
    }
    let too_far = [
        (0, 10_001),
        (9_999, 2),
        (10_000, 1),
        (10_001, 1),
        (u64::MAX, 1),
        (1 << 63, 9),
    ];
    for (offset, length) in too_far {
        let mut buffer = vec![0; length];
        fails(ErrorKind::Corrupt, place.read(pack, offset, &mut buffer));
    }
    place
        .read(pack, 5, &mut [])
        .expect("no bytes are always there");
}

fn absent_files_are_not_found(place: &Place) {
    created(place);
    for kind in FileKind::ALL {
        let absent = file(kind, 9);
        fails(ErrorKind::NotFound, place.size(absent));
        fails(ErrorKind::NotFound, place.load(absent));
        fails(ErrorKind::NotFound, place.read(absent, 0, &mut [0]));
        fails(ErrorKind::NotFound, place.remove(absent));
        let told = place.load(absent).unwrap_err().to_string();
        assert!(told.contains(&absent.to_string()), "{told}");
    }
}

fn named_files_stay_but_damaged_ones_are_replaced(place: &Place) {
    created(place);
    for kind in &FileKind::ALL[1..] {
        let file = file(*kind, 4);
        place.save(file, b"short").unwrap();
        place.save(file, b"complete").unwrap();
        assert_eq!(place.load(file).unwrap(), b"complete");
        place.save(file, b"COMPLETE").unwrap();
        assert_eq!(
            place.load(file).unwrap(),
            b"complete",
            "a file never changes"
        );
        assert_eq!(place.list(*kind).unwrap().len(), 1);
    }
}

fn the_config_is_replaced(place: &Place) {
    created(place);
    for content in [b"first", b"other"] {
        place.save(FileHandle::CONFIG, content).unwrap();
        assert_eq!(place.load(FileHandle::CONFIG).unwrap(), content);
    }
}

fn removed_files_are_gone(place: &Place) {
    created(place);
    for kind in FileKind::ALL {
        let (gone, other) = (file(kind, 5), file(kind, 6));
        place.save(gone, b"gone").unwrap();
        place.save(other, b"other").unwrap();
        place.remove(gone).unwrap();
        fails(ErrorKind::NotFound, place.remove(gone));
        if kind != FileKind::Config {
            assert_eq!(place.load(other).unwrap(), b"other");
        }
        place.save(gone, b"again").unwrap();
        assert_eq!(place.load(gone).unwrap(), b"again");
    }
}

fn lists_are_complete(place: &Place) {
    created(place);
    let mut expected: Vec<Listed> = (0..1_500)
        .map(|number| {
            let pack = file(FileKind::Pack, number);
            let size = number % 7;
            place.save(pack, &vec![1; size as usize]).unwrap();
            Listed { id: pack.id, size }
        })
        .collect();
    expected.sort();
    assert_eq!(sorted(place, FileKind::Pack), expected);
    assert_eq!(place.list(FileKind::Index).unwrap(), []);
}

fn threads_see_what_others_saved(place: &Place) {
    created(place);
    let shared = file(FileKind::Index, 1);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0..25 {
                    let own = file(FileKind::Pack, thread * 1_000 + number);
                    place.save(own, &own.id.0).unwrap();
                    place.save(shared, &[9; 999]).unwrap();
                    assert_eq!(place.load(own).unwrap(), own.id.0);
                    assert_eq!(place.load(shared).unwrap(), [9; 999]);
                    let listed = place.list(FileKind::Pack).unwrap();
                    assert!(listed.iter().any(|found| found.id == own.id));
                    if number % 3 == 0 {
                        place.remove(own).unwrap();
                    }
                }
            });
        }
    });
    assert_eq!(place.list(FileKind::Pack).unwrap().len(), 4 * 16);
}

fn any_sequence_of_calls_acts_like_a_map(place: &Place) {
    created(place);
    let entropy = SeededEntropy::new(11);
    let mut model = BTreeMap::<FileHandle, Vec<u8>>::new();
    for _ in 0..600 {
        let kind = FileKind::ALL[entropy.below(6) as usize];
        let file = file(kind, entropy.below(4));
        match entropy.below(4) {
            0 => match model.remove(&file) {
                Some(_) => place.remove(file).unwrap(),
                None => fails(ErrorKind::NotFound, place.remove(file)),
            },
            1 => match model.get(&file) {
                Some(content) => assert_eq!(place.load(file).unwrap(), *content),
                None => fails(ErrorKind::NotFound, place.load(file)),
            },
            2 => {
                let files = model.iter().filter(|(file, _)| file.kind == kind);
                let expected = files.map(|(file, content)| Listed {
                    id: file.id,
                    size: content.len() as u64,
                });
                assert_eq!(sorted(place, kind), expected.collect::<Vec<_>>());
            }
            _ => {
                let content = entropy.bytes(entropy.below(3) as usize);
                place.save(file, &content).unwrap();
                let stays = |old: &Vec<u8>| kind != FileKind::Config && old.len() == content.len();
                if !model.get(&file).is_some_and(stays) {
                    model.insert(file, content);
                }
            }
        }
    }
}
