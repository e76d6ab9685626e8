//! Counts are exact, by call and by kind of file.

use lifeboat_backend::{Backend, Call, Counted, FileHandle, FileKind};

use crate::pack;

#[test]
fn by_call_and_kind() {
    let counted = Counted::new(crate::memory());
    counted.create().unwrap();
    counted.save(pack(1), &[0; 100]).unwrap();
    counted.save(FileHandle::CONFIG, &[0; 10]).unwrap();
    counted.load(pack(1)).unwrap();
    counted.load(pack(2)).unwrap_err();
    counted.read(pack(1), 90, &mut [0; 10]).unwrap();
    counted.read(pack(1), 95, &mut [0; 10]).unwrap_err();
    counted.list(FileKind::Pack).unwrap();
    counted.size(pack(1)).unwrap();
    counted.remove(pack(1)).unwrap();
    let seen = Call::ALL.map(|call| (counted.all_calls(call), counted.all_bytes(call)));
    assert_eq!(
        seen,
        [(1, 0), (1, 0), (1, 0), (2, 100), (2, 10), (2, 110), (1, 0)]
    );
    assert_eq!(counted.calls(Call::Save, FileKind::Pack), 1);
    assert_eq!(counted.bytes(Call::Save, FileKind::Config), 10);
    assert_eq!(counted.calls(Call::Load, FileKind::Index), 0);
}
