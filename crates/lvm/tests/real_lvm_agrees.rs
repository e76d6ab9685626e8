//! On a real device mapper, everything that is captured is the volume at its instant, every
//! increment equals a full read, and nothing of others is touched.

use lifeboat_model::{Extent, ExtentSet};
use lifeboat_testkit::figure;

use crate::captures_follow_lvms_answers::REPLAYED;
use crate::guest::{self, Left};
use crate::inside::ACTS;

/// Where the recording is put that other tests replay, if wanted.
const RECORDING: &str = "LIFEBOAT_LVM_RECORDING";
const SECTION: &str = "LVM in a guest";

#[test]
fn in_a_guest() {
    let Some(left) = guest::boot() else { return };
    for line in left.0.told("TOOK ") {
        println!("{line}");
    }
    if let Some(path) = std::env::var_os(RECORDING) {
        let recording = String::from_utf8(left.image("recording")).unwrap();
        let is_replayed = |line: &&str| REPLAYED.iter().any(|act| line.contains(act));
        let lines = recording.lines().filter(is_replayed);
        std::fs::write(
            path,
            lines.map(|line| format!("{line}\n")).collect::<String>(),
        )
        .unwrap();
    }
    for (sentence, _) in ACTS {
        left.0.assert_told(sentence);
    }
    same(&left, "classic-then", "classic-captured");
    differ(&left, "classic-then", "classic-now");
    for kind in ["thin", "kept"] {
        judge_increments(&left, kind);
    }
    same(&left, "discarded-then", "discarded-rebuilt");
    let discarded = left.image("discarded-then");
    assert!(discarded[12 << 20..13 << 20].iter().all(|byte| *byte == 0));
    judge_built(&left);
    figure(SECTION, "scenarios", ACTS.len());
}

fn same(left: &Left, one: &str, other: &str) {
    assert!(left.image(one) == left.image(other), "{one} is not {other}");
}

fn differ(left: &Left, one: &str, other: &str) {
    assert!(
        left.image(one) != left.image(other),
        "{one} is still {other}"
    );
}

fn judge_increments(left: &Left, kind: &str) {
    let image = |name: &str| left.image(&format!("{kind}-{name}"));
    let (base, then) = (image("base"), image("then"));
    let key = format!("CHANGED {kind} ");
    let named: ExtentSet = left.0.told(&key).filter_map(extent).collect();
    let blocks = base.chunks(512).zip(then.chunks(512)).enumerate();
    let changed = blocks
        .filter(|(_, (old, new))| old != new)
        .map(|(number, _)| number as u64);
    let (mut count, mut missed) = (0, 0);
    for number in changed {
        count += 1;
        missed += u64::from(!named.touches(Extent::at(number * 512, 512).unwrap()));
    }
    assert!(
        count > 0 && named.byte_count() < base.len() as u64 / 2,
        "{named:?}"
    );
    figure(SECTION, &format!("{kind}: changed sectors missed"), missed);
    assert_eq!(missed, 0);
    assert!(
        image("rebuilt") == then,
        "{kind}: the increment is not the volume then"
    );
    assert!(
        image("loaded") == image("loaded-rebuilt"),
        "{kind}: not what a full read gives"
    );
    assert!(image("loaded") != then);
}

fn extent(line: &str) -> Option<Extent> {
    let (start, end) = line.split_once(' ')?;
    Extent::new(start.parse().ok()?, end.parse().ok()?)
}

fn judge_built(left: &Left) {
    let wanted = left.image("built-wanted");
    for name in ["built-classic", "built-thin", "built-there"] {
        let built = left.image(name);
        assert!(built[100..100 + wanted.len()] == wanted, "{name}");
        let rest = match name {
            "built-thin" => &built[100 + wanted.len()..],
            "built-there" => &built[5 << 20..6 << 20],
            _ => &[],
        };
        assert!(rest.iter().all(|byte| *byte == 0), "{name}");
    }
}
