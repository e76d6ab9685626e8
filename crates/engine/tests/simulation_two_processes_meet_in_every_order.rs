//! Two short operations, and every order of their calls with a few changes between them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lifeboat_testkit::{Effort, figure};

use crate::simulated::chooser::Chooser;
use crate::simulated::judge;
use crate::simulated::operations as does;
use crate::simulated::process::Process;
use crate::simulated::schedule::Life;
use crate::simulated::world::{Laxity, World};

/// What one of the two does.
#[derive(Clone, Copy, Debug)]
enum Act {
    Backup,
    Prune,
    InstantPrune,
    Forget,
    Tag,
    RepairIndex,
}

const PAIRS: [[Act; 2]; 9] = [
    [Act::Backup, Act::Prune],
    [Act::Backup, Act::InstantPrune],
    [Act::Backup, Act::Backup],
    [Act::Backup, Act::RepairIndex],
    [Act::Prune, Act::Prune],
    [Act::Prune, Act::Tag],
    [Act::Prune, Act::Forget],
    [Act::InstantPrune, Act::RepairIndex],
    [Act::InstantPrune, Act::InstantPrune],
];

/// Blobs of the snapshot that stays, of the one that was forgotten, and of the new one.
const KEPT: [u64; 3] = [1, 2, 3];
const GONE: [u64; 3] = [2, 10, 11];
const WANTED: [u64; 3] = [3, 10, 20];

fn act(act: Act, process: &Process) {
    let failed = match act {
        Act::Backup => does::backup(process, &[&WANTED], Duration::ZERO).err(),
        Act::Prune => does::prune(process, false).and_then(Result::err),
        Act::InstantPrune => does::prune(process, true).and_then(Result::err),
        Act::Forget => does::forget(process, false).and_then(Result::err),
        Act::Tag => does::forget(process, true).and_then(Result::err),
        Act::RepairIndex => does::repair_index(process).and_then(Result::err),
    };
    if let Some(failure) = failed.filter(|f| f.kind != lifeboat_model::ErrorKind::Busy) {
        let what = format!("{act:?}: {:?}: {}", failure.kind, failure.text);
        process.world.schedule.violated(what);
    }
}

/// Plays the pair with changes before these turns; gives the turns it took.
fn play(pair: [Act; 2], switches: &[u64]) -> u64 {
    let named = |name: &str| Life {
        name: name.to_owned(),
        ..Life::default()
    };
    let lives = vec![named("first"), named("second")];
    let chooser = Chooser::switching(switches.to_vec());
    let world = World::new(1, lives, chooser, Laxity::default());
    judge::prepare(&world, &[&KEPT, &[1, 2, 4], &[3, 4, 5]], &GONE);
    let processes = [0, 1].map(|number| Process::new(&world, number));
    std::thread::scope(|scope| {
        for (process, one) in processes.iter().zip(pair) {
            scope.spawn(move || {
                process.live(|process| {
                    process.sleep(Duration::ZERO);
                    act(one, process);
                });
            });
        }
        world.schedule.wait();
    });
    judge::look(&world);
    let violation = world.schedule.state().violation.clone();
    let violation = violation.or_else(|| judge::after_all(&world).err());
    let story = world.schedule.story();
    assert!(
        violation.is_none(),
        "{story}{pair:?} {switches:?}: {violation:?}"
    );
    world.schedule.state().turns
}

/// All sets of up to `depth` changes within `turns`, the next one after `from`.
fn orders(turns: u64, from: u64, depth: u32, before: &[u64], take: &mut Vec<Vec<u64>>) {
    take.push(before.to_vec());
    if depth == 0 {
        return;
    }
    for at in from..=turns {
        let switches = [before, &[at]].concat();
        orders(turns, at + 1, depth - 1, &switches, take);
    }
}

fn play_all(pair: [Act; 2]) -> u64 {
    let turns = play(pair, &[]);
    let mut all = Vec::new();
    let effort = Effort::current();
    orders(turns, 2, effort.pick(1, 2), &[], &mut all);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(switches) = all.get(next.fetch_add(1, Relaxed) as usize) {
                    play(pair, switches);
                }
            });
        }
    });
    all.len() as u64
}

#[test]
fn of_their_calls() {
    let orders: u64 = PAIRS.into_iter().map(play_all).sum();
    figure(
        "simulation",
        "two processes: pairs of operations",
        PAIRS.len(),
    );
    figure("simulation", "two processes: orders of calls", orders);
    figure("simulation", "two processes: violations", 0);
}

#[test]
fn and_the_same_order_tells_the_same_story() {
    let pair = [Act::Backup, Act::Prune];
    let turns: Vec<u64> = (0..3).map(|_| play(pair, &[9, 31])).collect();
    assert!(turns.windows(2).all(|pair| pair[0] == pair[1]), "{turns:?}");
}
