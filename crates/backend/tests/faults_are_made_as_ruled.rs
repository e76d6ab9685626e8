//! A faulty place breaks exactly the calls its rules name.

use std::sync::Arc;

use lifeboat_backend::{Backend, Call, Fault, FaultRule, Faulty, FileHandle, FileKind, Memory};
use lifeboat_model::ErrorKind;

use crate::pack;

fn broken(rule: FaultRule) -> (Arc<Memory>, Faulty) {
    let inner = crate::memory();
    inner.save(pack(9), b"abc").unwrap();
    let faulty = Faulty::new(inner.clone());
    faulty.add(rule);
    (inner, faulty)
}

#[test]
fn only_the_nth_call_of_its_kind_fails() {
    let fault = Fault::Error(ErrorKind::Unreachable);
    let (inner, faulty) = broken(FaultRule::nth(Call::Save, 2, fault).of(FileKind::Pack));
    faulty.save(pack(1), b"1").unwrap();
    faulty.save(FileHandle::CONFIG, b"c").unwrap();
    faulty.load(pack(1)).unwrap();
    let error = faulty.save(pack(2), b"2").unwrap_err();
    assert_eq!(
        (error.kind(), error.file()),
        (ErrorKind::Unreachable, Some(pack(2)))
    );
    faulty.save(pack(3), b"3").unwrap();
    assert_eq!(faulty.fired(), 1);
    assert_eq!(inner.load(pack(2)).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_lost_answer_has_its_effect() {
    let fault = Fault::AnswerLost(ErrorKind::Unreachable);
    let (inner, faulty) = broken(FaultRule::every(Call::Save, fault));
    assert!(faulty.save(pack(1), b"1").is_err());
    assert_eq!(inner.load(pack(1)).unwrap(), b"1");
    faulty.heal();
    faulty.save(pack(2), b"2").unwrap();
}

#[test]
fn writes_are_cut_with_and_without_an_error() {
    let (inner, faulty) = broken(FaultRule::nth(Call::Save, 1, Fault::ShortWrite(2)));
    faulty.add(FaultRule::nth(Call::Save, 2, Fault::TruncatedWrite(3)));
    faulty.add(FaultRule::nth(Call::Save, 3, Fault::LyingSuccess));
    faulty.add(FaultRule::nth(Call::Save, 4, Fault::BitFlip(8)));
    assert_eq!(
        faulty.save(pack(1), b"12345").unwrap_err().kind(),
        ErrorKind::Io
    );
    for first in 2..5 {
        faulty.save(pack(first), b"12345").unwrap();
    }
    assert_eq!(inner.load(pack(1)).unwrap(), b"12");
    assert_eq!(inner.load(pack(2)).unwrap(), b"123");
    assert!(inner.load(pack(3)).is_err());
    assert_eq!(inner.load(pack(4)).unwrap(), b"13345");
}

#[test]
fn reads_are_cut_and_turned() {
    let (_, faulty) = broken(FaultRule::every(Call::Load, Fault::TruncatedRead(1)));
    faulty.add(FaultRule::nth(Call::Read, 1, Fault::BitFlip(0)));
    faulty.add(FaultRule::nth(Call::Read, 2, Fault::TruncatedRead(2)));
    faulty.add(FaultRule::every(Call::List, Fault::TruncatedRead(0)));
    faulty.add(FaultRule::every(Call::Remove, Fault::LyingSuccess));
    assert_eq!(faulty.load(pack(9)).unwrap(), b"a");
    let mut buffer = [0; 3];
    faulty.read(pack(9), 0, &mut buffer).unwrap();
    assert_eq!(&buffer, b"`bc");
    let error = faulty.read(pack(9), 0, &mut buffer).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(faulty.list(FileKind::Pack).unwrap(), []);
    faulty.remove(pack(9)).unwrap();
    faulty.remove(pack(9)).unwrap();
    assert_eq!(faulty.fired(), 6);
}
