//! Whenever the program is killed, all that was stored comes back, and the same command again
//! finishes the work.

use std::path::Path;
use std::time::{Duration, Instant};

use lifeboat_model::Entropy;
use lifeboat_testkit::{Effort, SeededEntropy, figure, tool};

use crate::trial::{Ended, Operation, SystemCall, Trial, calls_of, side_by_side, spread, straced};

/// Calls that change something: the moments at which it matters most to be killed.
const CHANGING: [&str; 10] = [
    "openat",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "rename",
    "renameat2",
    "unlink",
    "mkdir",
    "ftruncate",
];

/// Every how manyth case all snapshots are restored and compared.
const THOROUGH_EVERY: usize = 6;

/// When a run is killed.
#[derive(Clone, Debug)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// As it makes this call.
    At(SystemCall),
}

/// The seed: `LIFEBOAT_SEED`, or always the same.
fn seed() -> u64 {
    let given = std::env::var("LIFEBOAT_SEED").ok();
    given.map_or(1, |text| text.parse().expect("LIFEBOAT_SEED is a number"))
}

/// Of a run that ends early no kill is left to count: so many times as many runs are tried.
const TRIES: usize = 4;

/// Two thirds over the whole time, a third around the end.
fn times(whole: Duration, count: usize) -> Vec<Moment> {
    let chance = SeededEntropy::new(seed());
    let fraction = || {
        let mut bytes = [0; 4];
        chance.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
    };
    let moment = |case| match case % 3 {
        0 => whole.mul_f64(0.85 + 0.3 * fraction()),
        _ => whole.mul_f64(fraction()),
    };
    (0..count).map(|case| Moment::After(moment(case))).collect()
}

fn killed_after(trial: &Trial, site: &crate::trial::Site, time: Duration) -> Ended {
    let mut command = site.command(crate::trial::lifeboat(), trial.operation.arguments());
    let mut child = command
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(time);
    child.kill().unwrap();
    Ended::of(&child.wait_with_output().unwrap())
}

/// Kills the operation at each of these moments, the first of which is number `first`; gives how
/// often it was still running.
fn kill_at(trial: &Trial, strace: &Path, moments: &[Moment], first: usize) -> usize {
    let operation = trial.operation;
    let kills = side_by_side(moments, |number, moment| {
        let site = trial.site();
        let ended = match moment {
            Moment::After(time) => killed_after(trial, &site, *time),
            Moment::At(SystemCall { name, number }) => {
                let inject = format!("inject={name}:signal=KILL:when={number}");
                straced(&site, strace, Some(&inject), operation.arguments())
            }
        };
        let when = format!(
            "{} killed at {moment:?} (seed {})",
            operation.name(),
            seed()
        );
        let is_sound = ended.is_killed() || ended.status.success();
        assert!(is_sound, "{when}: {}", ended.told);
        let is_thorough = (first + number).is_multiple_of(THOROUGH_EVERY);
        trial.is_whole(&site, &when, is_thorough);
        let is_middle = |at| first == 0 && number == at;
        if is_middle(moments.len() / 2) {
            trial.restic_agrees(&site, &when);
        }
        trial.again(&site, &when);
        if is_middle(moments.len() / 2 + 1) {
            trial.restic_agrees(&site, &format!("{when}, done again"));
        }
        trial.leave(site);
        usize::from(ended.is_killed())
    });
    kills.iter().sum()
}

/// Kills the operation until it was hit often enough.
fn kill(operation: Operation) {
    let Some(strace) = tool("strace") else {
        return;
    };
    let wanted = Effort::current().pick(25, 200);
    let (timed, called) = Effort::current().pick((9, 20), (80, 130));
    let trial = Trial::new(operation);
    let (site, began) = (trial.site(), Instant::now());
    site.lifeboat("undisturbed", operation.arguments());
    let mut moments = times(began.elapsed(), timed);
    trial.leave(site);
    let calls = calls_of(&trial, &strace);
    let calls: Vec<SystemCall> = calls
        .into_iter()
        .filter(|call| CHANGING.contains(&call.name.as_str()))
        .collect();
    moments.extend(spread(&calls, called).into_iter().map(Moment::At));
    let chance = SeededEntropy::new(seed() ^ 0x2b);
    let (mut kills, mut tries) = (0, 0);
    while kills < wanted {
        assert!(tries < TRIES * wanted, "{kills} of {tries} hit");
        kills += kill_at(&trial, &strace, &moments, tries);
        tries += moments.len();
        let any = || calls[chance.below(calls.len() as u64) as usize].clone();
        let more = (0..(wanted - kills.min(wanted)) * 4 / 3 + 1).map(|_| Moment::At(any()));
        moments = more.collect();
    }
    figure("kills", &format!("{}: kills", operation.name()), kills);
}

#[test]
fn kills_of_a_first_backup() {
    kill(Operation::FirstBackup);
}

#[test]
fn kills_of_an_increment() {
    kill(Operation::Increment);
}

#[test]
fn kills_of_forget() {
    kill(Operation::Forget);
}

#[test]
fn kills_of_prune() {
    kill(Operation::Prune);
}

#[test]
fn kills_of_an_instant_prune() {
    kill(Operation::InstantPrune);
}

#[test]
fn kills_of_a_restore() {
    kill(Operation::Restore);
}

#[test]
fn kills_of_a_restore_in_place() {
    kill(Operation::RestoreInPlace);
}

#[test]
fn kills_of_a_copy() {
    kill(Operation::Copy);
}

#[test]
fn kills_of_an_import() {
    kill(Operation::Import);
}

#[test]
fn kills_of_an_index_repair() {
    kill(Operation::RepairIndex);
}

#[test]
fn kills_of_adding_a_key() {
    kill(Operation::KeyAdd);
}
