//! A machine that never stops writing is backed up while it writes, and every point is the
//! machine at one instant: byte for byte what was read beside it, whole for its file systems and
//! its own journal, both disks together; and the last one boots and goes on.
//!
//! The seed of the machine's life is 1, or `LIFEBOAT_SEED`; failures name it.

mod debian;
mod life;
mod proof;

use lifeboat_testkit::{Effort, figure};

use life::{Life, Manner};

/// How the points of every change are made, the first one in full.
const SAMPLE: [Manner; 6] = [
    Manner::Paused,
    Manner::Running,
    Manner::Frozen,
    Manner::Paused,
    Manner::Running,
    Manner::Running,
];

/// Points of the long run.
const LONG_COUNT: usize = 24;
/// Points of a whole Debian, which only the long run boots.
const DEBIAN_COUNT: usize = 6;

fn manners(count: usize) -> impl Iterator<Item = Manner> {
    SAMPLE.into_iter().cycle().take(count)
}

#[test]
fn every_point_of_a_small_guest_is_one_instant_and_boots() {
    let Some(mut life) = Life::of_small_guest() else {
        return;
    };
    let count = Effort::current().pick(SAMPLE.len(), LONG_COUNT);
    prove(&mut life, "small guest", count);
}

#[test]
fn every_point_of_a_whole_debian_is_one_instant_and_boots() {
    if Effort::current() == Effort::Sample {
        return;
    }
    let Some(mut life) = debian::life() else {
        return;
    };
    prove(&mut life, "Debian", DEBIAN_COUNT);
}

/// Points in every manner, their proofs, and two machines from the last one.
fn prove(life: &mut Life, name: &str, count: usize) {
    life.start();
    for manner in manners(count) {
        life.back_up(manner);
    }
    life.is_lost();
    let proven = proof::of_points(life);
    let last = *proven.records.last().unwrap();
    life.comes_back(
        last,
        "life-again",
        &[
            "machine",
            "recover",
            "life",
            "--as",
            "life-again",
            "--to",
            &life.folder("again"),
            "--start",
        ],
    );
    life.remove("life-again");
    life.comes_back(last, "life-instant", &["instant", "start", "life"]);
    life.lifeboat(&["instant", "discard", "life-instant"]);
    figure("machines", &format!("{name}: points"), count);
    figure("machines", &format!("{name}: disks compared"), 2 * count);
    let bytes = proven.bytes;
    figure("machines", &format!("{name}: bytes compared"), bytes);
    figure(
        "machines",
        &format!("{name}: bytes that differ"),
        proven.differing,
    );
    let judged = proven.records.iter().flatten().sum::<u64>();
    figure("machines", &format!("{name}: records judged"), judged);
    figure("machines", &format!("{name}: boots of the last point"), 2);
}
