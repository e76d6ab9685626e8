//! What a disk may hold after the power has failed.
//!
//! Takes what a directory held and the journal of the system calls since, and gives every state
//! that a crash may leave, as an [`Image`] that can be put on a real directory.
//! Does not know what the files mean: the caller opens, reads and repeats its work.
//!
//! The model is what POSIX promises, less than any common file system gives: a content is on the
//! disk after a sync of its file, a name after a sync of its directory, nothing else; what was not
//! synced may be there or not, in any combination, and a content that was not synced may be torn.
//! A rename alone happens whole or not at all.
//!
//! Source: reference/reliability.md 3.1; Pillai et al.: All File Systems Are Not Created Equal,
//! 2014.

mod crashed;
mod disk;
mod image;
mod restic;

use std::collections::{HashSet, VecDeque};
use std::path::Path;

use lifeboat_backend::SystemCall;

pub use crashed::{Crashed, Look};
use disk::Disk;
pub use image::Image;
pub use restic::{restic_check, restic_reads};

/// One state that a crash may leave.
#[derive(Clone, Debug)]
pub struct CrashState {
    /// What the disk holds.
    pub image: Image,
    /// When it happened and what was lost, for people.
    pub when: String,
    /// Whether something is lost that a killed process alone would have left.
    pub is_power_loss: bool,
}

/// All different states that a crash may leave, in the order of the calls.
pub struct Crashes<'a> {
    disk: Disk,
    calls: &'a [SystemCall],
    done: usize,
    waiting: VecDeque<CrashState>,
    seen: HashSet<u64>,
}

impl<'a> Crashes<'a> {
    /// Crashes during `calls`, which were made below `base` when it held `before`.
    pub fn new(before: &Image, base: &Path, calls: &'a [SystemCall]) -> Self {
        let mut crashes = Self {
            disk: Disk::new(before, base),
            calls,
            done: 0,
            waiting: VecDeque::new(),
            seen: HashSet::new(),
        };
        crashes.look("before the first call");
        crashes
    }

    /// At most `count_max` of the states, evenly spread, the last one always among them.
    ///
    /// Cost: makes every state twice.
    pub fn spread(
        before: &Image,
        base: &Path,
        calls: &'a [SystemCall],
        count_max: usize,
    ) -> impl Iterator<Item = CrashState> {
        let all = Self::new(before, base, calls).count();
        let chosen = move |at: &usize| (at + 1) * count_max / all > at * count_max / all;
        let states = Self::new(before, base, calls).enumerate();
        states
            .filter(move |(at, _)| count_max >= all || chosen(at))
            .map(|(_, state)| state)
    }

    /// The states a crash may leave when all `calls` have returned: one, if everything is durable.
    pub fn at_the_end(before: &Image, base: &Path, calls: &[SystemCall]) -> Vec<CrashState> {
        let mut disk = Disk::new(before, base);
        for call in calls {
            disk.apply(call);
        }
        let mut seen = HashSet::new();
        let mut states = disk.states();
        states.retain(|state| seen.insert(state.image.fingerprint()));
        states
    }

    /// Notes the new states of this moment.
    fn look(&mut self, when: &str) {
        for mut state in self.disk.states() {
            if self.seen.insert(state.image.fingerprint()) {
                state.when = format!("{when}, {}", state.when);
                self.waiting.push_back(state);
            }
        }
    }
}

impl Iterator for Crashes<'_> {
    type Item = CrashState;

    fn next(&mut self) -> Option<CrashState> {
        while self.waiting.is_empty() {
            let call = self.calls.get(self.done)?;
            self.done += 1;
            let made = self.disk.apply(call);
            let when = format!("after call {} of {} ({made})", self.done, self.calls.len());
            self.look(&when);
        }
        self.waiting.pop_front()
    }
}
