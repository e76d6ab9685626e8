//! Two short operations, and every order of their calls with a few changes between them.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use lifeboat_testkit::{Effort, SeededEntropy, figure};

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

/// Changes before these turns, and who is killed before which.
#[derive(Clone, Debug, Default)]
struct Order {
    switches: Vec<u64>,
    kill: Option<(usize, u64)>,
}

impl Order {
    fn of(switches: &[u64]) -> Self {
        Self {
            switches: switches.to_vec(),
            kill: None,
        }
    }
}

/// Plays the pair in this order; gives the turns it took.
fn play(pair: [Act; 2], order: &Order) -> u64 {
    let named = |name: &str| Life {
        name: name.to_owned(),
        ..Life::default()
    };
    let lives = vec![named("first"), named("second")];
    let chooser = Chooser::switching(order.switches.clone(), order.kill);
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
        "{story}{pair:?} {order:?}: {violation:?}"
    );
    world.schedule.state().turns
}

/// All sets of up to `depth` changes within `turns`, the next one after `from`.
fn orders(turns: u64, from: u64, depth: u32, before: &[u64], take: &mut Vec<Order>) {
    take.push(Order::of(before));
    if depth == 0 {
        return;
    }
    for at in from..=turns {
        let switches = [before, &[at]].concat();
        orders(turns, at + 1, depth - 1, &switches, take);
    }
}

/// Sets of three changes, drawn by a seed: all of them would take hours.
fn threes(turns: u64, seed: u64, count: u64) -> impl Iterator<Item = Order> {
    let entropy = SeededEntropy::new(seed);
    (0..count).map(move |_| {
        let mut switches: Vec<u64> = (0..3).map(|_| 2 + entropy.below(turns - 1)).collect();
        switches.sort_unstable();
        Order::of(&switches)
    })
}

fn play_each(pair: [Act; 2], all: &[Order]) {
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(order) = all.get(next.fetch_add(1, Relaxed) as usize) {
                    play(pair, order);
                }
            });
        }
    });
}

#[test]
fn of_their_calls() {
    let (mut twos, mut drawn) = (0, 0);
    for (number, pair) in PAIRS.into_iter().enumerate() {
        let turns = play(pair, &Order::default());
        let mut all = Vec::new();
        orders(turns, 2, Effort::current().pick(1, 2), &[], &mut all);
        twos += all.len();
        let count = Effort::current().pick(4, 500);
        all.extend(threes(turns, seed() ^ number as u64, count));
        drawn += count;
        play_each(pair, &all);
    }
    let depth = Effort::current().pick("one change", "two changes");
    let what = |what: &str| format!("two processes: {what}");
    figure("simulation", &what("pairs of operations"), PAIRS.len());
    let all = what(&format!("all orders of calls with up to {depth}"));
    figure("simulation", &all, twos);
    let drawn_name = what("orders of calls with three changes, drawn");
    figure("simulation", &drawn_name, drawn);
    figure("simulation", &what("violations"), 0);
}

/// The seed: `LIFEBOAT_SEED`, or always the same.
fn seed() -> u64 {
    let given = std::env::var("LIFEBOAT_SEED").ok();
    given.map_or(1, |text| text.parse().expect("LIFEBOAT_SEED is a number"))
}

/// A backup goes on to its end and every snapshot reads, wherever the prune beside it was killed.
#[test]
fn of_their_calls_and_the_prune_is_killed() {
    let mut played = 0;
    for (pair, prune) in [
        ([Act::Backup, Act::Prune], 1),
        ([Act::Prune, Act::Backup], 0),
    ] {
        let turns = play(pair, &Order::default());
        let mut all = Vec::new();
        for at in 2..=turns {
            all.extend((at..=turns + 1).map(|end| Order {
                switches: vec![at],
                kill: Some((prune, end)),
            }));
        }
        let entropy = SeededEntropy::new(seed());
        let (kept, of) = Effort::current().pick((60, all.len() as u64), (1, 1));
        all.retain(|_| entropy.below(of) < kept);
        play_each(pair, &all);
        played += all.len();
    }
    figure(
        "simulation",
        "two processes: orders with a killed prune",
        played,
    );
}

#[test]
fn and_the_same_order_tells_the_same_story() {
    let pair = [Act::Backup, Act::Prune];
    let turns: Vec<u64> = (0..3).map(|_| play(pair, &Order::of(&[9, 31]))).collect();
    assert!(turns.windows(2).all(|pair| pair[0] == pair[1]), "{turns:?}");
}
