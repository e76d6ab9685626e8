//! Whichever call to the place fails: success or a clear error, and every snapshot restores.

use std::sync::Arc;

use lifeboat_backend::{Backend, Call, Fault, FaultRule, Faulty, FileKind, Memory};
use lifeboat_format::PackId;
use lifeboat_model::{ErrorKind, Secret};
use lifeboat_repository::lock::{Unlock, acquire, unlock};
use lifeboat_repository::prune::{PruneOptions, UnusedLimit};
use lifeboat_repository::repair::{
    apply_index, apply_snapshots, plan_index, plan_snapshots, repair_packs,
};
use lifeboat_repository::{
    Cause, LockMode, LockWait, Repository, Result, Snapshot, check, keys, snapshots,
};
use lifeboat_testkit::figure;

use crate::world::{
    COST, Expected, Run, World, assert_whole, backup, bytes_of, environment, init_options,
    password, prune, prune_options, read, small_packs,
};

/// A place in which some snapshots are whole, one was forgotten, and some packs are marked.
fn world() -> (World, Expected) {
    let world = World::new();
    let marked = world.backup(&(100..110).collect::<Vec<u64>>());
    world.forget(marked);
    prune(&world.repository, prune_options(24)).unwrap();
    world.hours(30);
    let gone = world.backup(&(0..40).collect::<Vec<u64>>());
    let kept: Vec<u64> = (0..40).step_by(3).collect();
    let expected = Expected::from([(world.backup(&kept), kept)]);
    world.forget(gone);
    world.hours(30);
    (world, expected)
}

/// What fails, on which calls and kinds of file.
#[derive(Clone, Copy, Debug)]
struct Failing {
    fault: Fault,
    call: Option<Call>,
    kind: Option<FileKind>,
}

impl Failing {
    /// Lets so many calls pass and fails so many after them.
    fn rule(self, pass: u64, fail: u64) -> FaultRule {
        let Self { fault, call, kind } = self;
        FaultRule {
            call,
            kind,
            pass,
            fail,
            fault,
        }
    }

    const fn any(fault: Fault) -> Self {
        let (call, kind) = (None, None);
        Self { fault, call, kind }
    }

    const fn at(call: Call, fault: Fault) -> Self {
        let (call, kind) = (Some(call), None);
        Self { fault, call, kind }
    }
}

/// Failures that the place tells, and transfers that end early.
///
/// To a caller a sync or a rename that failed is a save that failed, with or without its effect.
const TOLD: [Failing; 6] = [
    Failing::any(Fault::Error(ErrorKind::Io)),
    Failing::any(Fault::AnswerLost(ErrorKind::Io)),
    Failing::any(Fault::Error(ErrorKind::Full)),
    Failing::any(Fault::AnswerLost(ErrorKind::Full)),
    Failing::at(Call::Load, Fault::TruncatedRead(20)),
    Failing::at(Call::Read, Fault::TruncatedRead(20)),
];

/// Packs that are cut off or lost, by a place that breaks its promise.
const BROKEN_PACKS: [Failing; 3] = [
    Failing::of_packs(Fault::ShortWrite(100)),
    Failing::of_packs(Fault::TruncatedWrite(100)),
    Failing::of_packs(Fault::LyingSuccess),
];

impl Failing {
    const fn of_packs(fault: Fault) -> Self {
        let (call, kind) = (Some(Call::Save), Some(FileKind::Pack));
        Self { fault, call, kind }
    }
}

/// An operation in a world where the place fails at its n-th call.
struct Broken {
    world: World,
    expected: Expected,
    result: Result<()>,
    fired: u64,
    when: String,
}

impl Broken {
    fn run(failing: Failing, (pass, fail): (u64, u64), work: &Work<'_>) -> Self {
        let (world, expected) = world();
        let faulty = Arc::new(Faulty::new(world.memory.clone() as Arc<dyn Backend>));
        let repository = world.through(faulty.clone(), 2);
        faulty.add(failing.rule(pass, fail));
        let result = work(&repository);
        let fired = faulty.fired();
        faulty.heal();
        let when = format!("{failing:?}, {fail} calls from {pass} on");
        Self {
            world,
            expected,
            result,
            fired,
            when,
        }
    }

    /// The kind of the error says what was seen.
    fn is_told(&self) {
        let Err(error) = &self.result else {
            return;
        };
        // What was removed by a call whose answer got lost is missed later.
        let kinds = [
            ErrorKind::Io,
            ErrorKind::Corrupt,
            ErrorKind::Full,
            ErrorKind::NotFound,
        ];
        assert!(kinds.contains(&error.kind()), "{}: {error}", self.when);
        assert_eq!(error.cause(), Cause::Other, "{}", self.when);
    }

    /// Every snapshot restores, and the work can be done again.
    fn is_mended(&self, work: &Work<'_>) {
        let when = &self.when;
        assert_whole(&self.world.repository, &self.expected, when);
        for snapshot in snapshots::list(&self.world.repository).unwrap() {
            read(&self.world.repository, snapshot.id).unwrap_or_else(|e| panic!("{when}: {e}"));
        }
        let again = self.world.other(3);
        unlock(&again, Unlock::All).unwrap();
        work(&again).unwrap_or_else(|e| panic!("{when}, done again: {e}"));
        assert_whole(&again, &self.expected, when);
    }
}

type Work<'a> = dyn Fn(&Repository) -> Result<()> + 'a;

/// Fails the n-th call for every n, once and for all calls from there on.
fn fail_anywhere(name: &str, work: &Work<'_>) {
    fail_where(name, |_, _| true, work);
}

fn fail_where(name: &str, is_meant: impl Fn(Failing, u64) -> bool, work: &Work<'_>) {
    let mut states = 0;
    for failing in TOLD {
        for fail in [1, u64::MAX]
            .into_iter()
            .filter(|fail| is_meant(failing, *fail))
        {
            for pass in 0.. {
                let broken = Broken::run(failing, (pass, fail), work);
                broken.is_told();
                broken.is_mended(work);
                states += 1;
                if broken.fired == 0 {
                    assert!(broken.result.is_ok(), "{}", broken.when);
                    assert!(pass > 10 || failing.call.is_some(), "{}", broken.when);
                    break;
                }
            }
        }
    }
    figure("backend faults", &format!("{name}: states"), states);
}

/// What was stored before is not harmed, and what a lying place has lost is found.
fn lose_any_pack(name: &str, work: &Work<'_>) {
    let mut states = 0;
    for failing in BROKEN_PACKS {
        for pass in 0.. {
            let broken = Broken::run(failing, (pass, 1), work);
            let (repository, when) = (&broken.world.repository, &broken.when);
            broken.is_told();
            for (snapshot, seeds) in &broken.expected {
                let bytes = read(repository, *snapshot);
                let is_lost = bytes.is_err() || bytes.unwrap() != bytes_of(seeds);
                let is_found = !check(repository).unwrap().0.is_whole();
                assert!(!is_lost || is_found, "{when}: lost without a word");
            }
            let is_whole = check(repository).unwrap().0.is_whole();
            for snapshot in snapshots::list(repository).unwrap() {
                let is_read = read(repository, snapshot.id).is_ok();
                assert!(is_read || !is_whole, "{when}: lost without a word");
            }
            states += 1;
            if broken.fired == 0 {
                break;
            }
        }
    }
    figure("backend faults", &format!("{name}: lost packs"), states);
}

fn store(repository: &Repository) -> Result<()> {
    backup(repository, &[3, 4, 5, 105, 200, 201, 202]).map(|_| ())
}

fn mark(repository: &Repository) -> Result<()> {
    prune(repository, prune_options(24)).map(|_| ())
}

fn remove(repository: &Repository) -> Result<()> {
    let options = PruneOptions {
        is_instant: true,
        unused: UnusedLimit::Share(0.0),
        ..prune_options(0)
    };
    prune(repository, options).map(|_| ())
}

#[test]
fn during_a_backup() {
    fail_anywhere("backup", &store);
    lose_any_pack("backup", &store);
}

#[test]
fn during_a_prune() {
    fail_anywhere("prune", &mark);
    lose_any_pack("prune", &mark);
}

#[test]
fn during_an_instant_prune() {
    fail_anywhere("instant prune", &remove);
}

/// What is stored and forgotten again leaves the others alone.
#[test]
fn during_forget() {
    fail_anywhere("forget", &|repository| {
        let stored = backup(repository, &[300, 301])?;
        let lock = acquire(repository, LockMode::Shared, LockWait::default())?;
        snapshots::remove(repository, stored)?;
        lock.check_thoroughly()
    });
}

/// Fails the n-th call of `work` for every n; `holds` looks at what is left.
fn fail_each(
    name: &str,
    work: impl Fn(&Repository) -> Result<()>,
    holds: impl Fn(&World, &Result<()>, &str),
) {
    let mut states = 0;
    for failing in TOLD {
        for fail in [1, u64::MAX] {
            for pass in 0.. {
                let broken = Broken::run(failing, (pass, fail), &work);
                broken.is_told();
                assert_whole(&broken.world.repository, &broken.expected, &broken.when);
                holds(&broken.world, &broken.result, &broken.when);
                states += 1;
                if broken.fired == 0 {
                    assert!(broken.result.is_ok(), "{}", broken.when);
                    break;
                }
            }
        }
    }
    figure("backend faults", &format!("{name}: states"), states);
}

/// The old record or the new one is there, whatever fails; the same again leaves one with the tag.
#[test]
fn during_a_change_of_tags() {
    let seeds = [300, 301];
    let tag = |repository: &Repository| {
        let stored = match of_host(repository, "tagged")?.pop() {
            Some(snapshot) => snapshot,
            None => return Ok(()),
        };
        let mut file = stored.file.clone();
        file.tags = vec!["new".to_owned()];
        snapshots::replace(repository, &stored, file).map(|_| ())
    };
    let work = |repository: &Repository| {
        let run = Run::begin(repository)?;
        let mut stored = run.store(&seeds)?;
        stored.file.hostname = "tagged".to_owned();
        run.commit(&stored)?;
        tag(repository)
    };
    fail_each("tag", work, |world, result, when| {
        let repository = world.other(3);
        let left = of_host(&repository, "tagged").unwrap();
        assert!(!left.is_empty() || result.is_err(), "{when}");
        for snapshot in &left {
            assert!(
                read(&repository, snapshot.id).unwrap() == bytes_of(&seeds),
                "{when}"
            );
        }
        for _ in 0..left.len() {
            tag(&repository).unwrap();
        }
        let again = of_host(&repository, "tagged").unwrap();
        let is_tagged = again.iter().any(|one| one.file.tags == ["new"]);
        assert!(is_tagged || left.is_empty(), "{when}");
    });
}

fn of_host(repository: &Repository, host: &str) -> Result<Vec<Snapshot>> {
    let mut listed = snapshots::list(repository)?;
    listed.retain(|snapshot| snapshot.file.hostname == host);
    Ok(listed)
}

/// The old password or the new one opens, whatever fails; with success only the new one does.
#[test]
fn during_a_change_of_the_password() {
    let new = Secret::new(b"new".to_vec());
    let change = |repository: &Repository| keys::change(repository, &new, COST).map(|_| ());
    fail_each("key change", change, |world, result, when| {
        let open = |password: &Secret| {
            let place = world.memory.clone() as Arc<dyn Backend>;
            Repository::open(place, password, environment(&world.clock, 4))
        };
        let (old, by_new) = (open(&password()), open(&new));
        assert!(old.is_ok() || by_new.is_ok(), "{when}");
        if result.is_ok() {
            assert!(old.is_err() && by_new.is_ok(), "{when}");
        }
        let opened = by_new.or(old).unwrap();
        change(&opened).unwrap_or_else(|e| panic!("{when}, done again: {e}"));
        assert!(open(&new).is_ok(), "{when}");
    });
}

/// One bad transfer is no damage. Data that is cut off at every read is: repairs act on that.
#[test]
fn during_the_repairs() {
    let is_no_damage =
        |failing: Failing, fail| fail == 1 || !matches!(failing.fault, Fault::TruncatedRead(_));
    fail_where("repair", is_no_damage, &|repository| {
        let lock = acquire(repository, LockMode::Exclusive, LockWait::default())?;
        apply_index(repository, &lock, &plan_index(repository, true)?)?;
        let packs: Vec<PackId> = repository
            .load_index()?
            .packs()
            .iter()
            .map(|p| p.id)
            .collect();
        repair_packs(repository, &lock, &packs[..1], small_packs())?;
        let plan = plan_snapshots(repository)?;
        apply_snapshots(repository, &lock, &plan, false, small_packs()).map(|_| ())
    });
}

/// Nothing opens before all is there, and an attempt with the same password completes it.
#[test]
fn during_an_init() {
    let mut states = 0;
    for failing in TOLD {
        for fail in [1, u64::MAX] {
            for pass in 0.. {
                let (memory, clock) = (Arc::new(Memory::new()), Arc::default());
                let faulty = Arc::new(Faulty::new(memory.clone() as Arc<dyn Backend>));
                faulty.add(failing.rule(pass, fail));
                let init = |place: Arc<dyn Backend>, seed| {
                    Repository::init(
                        place,
                        &password(),
                        &init_options(),
                        environment(&clock, seed),
                    )
                };
                let when = format!("{failing:?}, {fail} calls from {pass} on");
                let made = init(faulty.clone(), 1);
                if made.is_err() {
                    let again = init(memory.clone(), 2);
                    let exists = again.is_err_and(|error| error.kind() == ErrorKind::Exists);
                    assert!(
                        !exists || matches!(failing.fault, Fault::AnswerLost(_)),
                        "{when}"
                    );
                }
                let opened = Repository::open(memory, &password(), environment(&clock, 3));
                backup(&opened.unwrap(), &[1, 2]).unwrap_or_else(|e| panic!("{when}: {e}"));
                states += 1;
                if faulty.fired() == 0 {
                    break;
                }
            }
        }
    }
    figure("backend faults", "init: states", states);
}

/// A transfer that turns a bit is repeated once; then nothing wrong is taken for right.
#[test]
fn reads_that_turn_bits_do_not_get_through() {
    for call in [Call::Load, Call::Read] {
        for kind in [FileKind::Index, FileKind::Snapshot, FileKind::Pack] {
            for nth in 1..30 {
                let (world, expected) = world();
                let faulty = Arc::new(Faulty::new(world.memory.clone() as Arc<dyn Backend>));
                let repository = world.through(faulty.clone(), 2);
                faulty.add(FaultRule::nth(call, nth, Fault::BitFlip(nth as usize * 77)).of(kind));
                for (snapshot, seeds) in &expected {
                    if let Ok(bytes) = read(&repository, *snapshot) {
                        assert!(bytes == crate::world::bytes_of(seeds));
                    }
                }
                let _ = prune(&repository, prune_options(24));
                assert_whole(
                    &world.repository,
                    &expected,
                    &format!("{call:?} {kind} {nth}"),
                );
            }
        }
    }
}
