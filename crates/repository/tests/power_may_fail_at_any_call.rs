//! Power may fail at any system call: every snapshot restores and the work can be done again.
//!
//! Each piece of work runs once on a real directory while its calls are recorded. Every state that
//! a loss of power or a kill may leave is then put on a directory, opened by a later process, read,
//! checked, and the work is done again there without any repair in between.

mod backups;
mod keys;
mod locks;
mod prunes;
mod records;
mod repairs;

use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::{Clock, Secret};
use lifeboat_repository::{Environment, Repository, Result, snapshots};
use lifeboat_testkit::crash::{CrashState, Crashed, Look};
use lifeboat_testkit::{Effort, ManualClock};

use crate::world::{Expected, World, assert_whole, environment, owner, password, read};

/// A process that will not live: it is known to be dead afterwards.
fn doomed(clock: &Arc<ManualClock>) -> Environment {
    let mut environment = environment(clock, 50);
    environment.owner = owner(10_050);
    environment
}

/// The next process: at once after a kill, after half an hour and a boot where power was lost.
fn survivor(clock: &Arc<ManualClock>, state: &CrashState) -> Environment {
    let clock = Arc::new(ManualClock::new(clock.now()));
    let mut environment = environment(&clock, 60);
    if state.is_power_loss {
        // Locks of a process of another boot are void for everybody after six and a half hours.
        clock.advance(Duration::from_secs(7 * 3600));
        environment.owner.instance = "00fe".to_owned();
    }
    environment
}

/// The repository as a later process opens it.
fn open(look: &Look<'_>, environment: Environment) -> Repository {
    Repository::open(look.place(), &password(), environment).unwrap()
}

/// How much a piece of work has to do: four times as much in a long run.
fn scaled(count: u64) -> u64 {
    count * Effort::current().pick(1, 4)
}

fn restic(look: &Look<'_>, when: &str) {
    look.restic("correct horse", when);
}

fn secret(word: &str) -> Secret {
    Secret::new(word.as_bytes().to_vec())
}

/// A piece of work on a world, and what must hold whenever it is cut off.
struct Trial<'a> {
    name: &'static str,
    world: &'a World,
    /// Snapshots that were there before and must stay whole.
    expected: &'a Expected,
    work: &'a dyn Fn(&Repository) -> Result<()>,
}

impl Trial<'_> {
    /// Runs the work, then looks at it cut off in at most `limit` places; at all in a long run.
    fn run(&self, limit: usize) {
        let (crashed, place) = Crashed::begin(self.name, Some(&self.world.memory));
        let clock = &self.world.clock;
        let repository = Repository::open(place, &password(), doomed(clock)).unwrap();
        (self.work)(&repository).unwrap();
        crashed.judge(limit, |state, look| {
            let when = format!("{}: {}", self.name, state.when);
            let repository = open(look, survivor(clock, state));
            assert_whole(&repository, self.expected, &when);
            for snapshot in snapshots::list(&repository).unwrap() {
                read(&repository, snapshot.id).unwrap_or_else(|e| panic!("{when}: {e}"));
            }
            restic(look, &when);
            let again = (self.work)(&repository);
            again.unwrap_or_else(|error| panic!("{when}, done again: {error}"));
            assert_whole(&repository, self.expected, &format!("{when}, done again"));
            restic(look, &format!("{when}, done again"));
        });
    }
}
