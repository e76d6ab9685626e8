//! Files of every length around the pieces in which they are written come back byte for byte,
//! on file systems that write past the page cache and on those that do not.

use std::path::Path;

use lifeboat_backend::{Backend, FileHandle, FileKind, Local};
use lifeboat_model::Id;

const LENGTHS: [usize; 9] = [
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    (4 << 20) - 4096,
    4 << 20,
    (4 << 20) + 4095,
    (8 << 20) + 1,
    (8 << 20) + 4096,
    (9 << 20) + 77,
];

#[test]
fn on_the_file_system_of_temporary_files() {
    all_come_back(&std::env::temp_dir());
}

#[test]
fn in_memory() {
    all_come_back(Path::new("/dev/shm"));
}

fn all_come_back(above: &Path) {
    let folder = tempfile::tempdir_in(above).unwrap();
    let backend = Local::open(&folder.path().join("repository")).unwrap();
    backend.create().unwrap();
    for (number, length) in (0_u8..).zip(LENGTHS) {
        let content: Vec<u8> = (0..length as u32)
            .map(|index| (index.wrapping_mul(2_654_435_761) >> 21) as u8 ^ number)
            .collect();
        let file = FileHandle {
            kind: FileKind::Pack,
            id: Id([number; 32]),
        };
        backend.save(file, &content).unwrap();
        assert!(backend.load(file).unwrap() == content, "{length} bytes");
    }
}
