//! A recording's prefixes are the places that a crash can leave.

use std::sync::Arc;

use lifeboat_backend::Call;
use lifeboat_backend::{Backend, Effect, Fault, FaultRule, Faulty, FileHandle, Memory, Recording};
use lifeboat_model::ErrorKind;

use crate::pack;

#[test]
fn every_prefix_holds_what_was_done_until_then() {
    let real = Arc::new(Memory::new());
    let recording = Recording::new(real.clone());
    recording.create().unwrap();
    recording.save(pack(1), b"one").unwrap();
    recording.save(FileHandle::CONFIG, b"config").unwrap();
    recording.remove(pack(1)).unwrap();
    recording.remove(pack(1)).unwrap_err();
    let effects = recording.effects();
    assert_eq!(effects.len(), 4);
    let counts = [0, 0, 1, 2, 1];
    for (length, count) in counts.into_iter().enumerate() {
        let crashed = Memory::new();
        crashed.replay(&effects[..length]).unwrap();
        assert_eq!(crashed.files().len(), count, "after {length} effects");
    }
    let whole = Memory::new();
    whole.replay(&effects).unwrap();
    assert_eq!(whole.files(), real.files());
}

#[test]
fn failures_are_no_effects() {
    let faulty = Arc::new(Faulty::new(crate::memory()));
    let recording = Recording::new(faulty.clone());
    faulty.add(FaultRule::nth(Call::Save, 1, Fault::Error(ErrorKind::Full)));
    recording.save(pack(1), b"one").unwrap_err();
    recording.save(pack(2), b"two").unwrap();
    let content = Arc::from(*b"two");
    let file = pack(2);
    assert_eq!(recording.effects(), [Effect::Save { file, content }]);
}
