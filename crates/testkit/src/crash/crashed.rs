//! Work that is done once on a real directory, and everything a crash may leave of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_backend::{Backend, Journal, Local, Memory, SystemCall};
use tempfile::TempDir;

use super::{CrashState, Crashes, Image, restic_check};
use crate::{Effort, figure, tool};

/// Of each piece of work so many states are shown to restic.
const RESTIC_SAMPLE: usize = 2;
const RESTIC_LONG: usize = 40;

/// What was done on a directory, and another directory on which its crashes are looked at.
pub struct Crashed {
    name: &'static str,
    before: Image,
    base: TempDir,
    journal: Arc<Journal>,
    stage: TempDir,
}

impl Crashed {
    /// Begins to record what is done to a repository that holds what `memory` holds; without one,
    /// to a directory that is not there yet.
    ///
    /// `name` is the row of the figures.
    pub fn begin(name: &'static str, memory: Option<&Memory>) -> (Self, Arc<dyn Backend>) {
        let base = directory();
        if let Some(memory) = memory {
            fill(&root(base.path()), memory);
        }
        let journal = Journal::new();
        let local = Local::recorded(&root(base.path()), &journal);
        let crashed = Self {
            name,
            before: Image::of(base.path()),
            base,
            journal,
            stage: directory(),
        };
        (crashed, Arc::new(local.expect("a directory of ours opens")))
    }

    /// The calls so far.
    pub fn calls(&self) -> Vec<SystemCall> {
        self.journal.calls()
    }

    /// What the directory holds now.
    pub fn image(&self) -> Image {
        Image::of(self.base.path())
    }

    /// Where the directory is that the calls name.
    pub fn base(&self) -> &Path {
        self.base.path()
    }

    /// Shows every state to `judge`, in a sample at most `limit` of them; leaves the figures.
    ///
    /// # Panics
    /// When something that was done is not durable.
    pub fn judge(&self, limit: usize, judge: impl Fn(&CrashState, &Look<'_>)) {
        let calls = self.calls();
        let ends = Crashes::at_the_end(&self.before, self.base(), &calls);
        assert_eq!(ends.len(), 1, "{}: done, but not durable", self.name);
        let effort = Effort::current();
        let limit = effort.pick(limit, usize::MAX);
        let all = Crashes::new(&self.before, self.base(), &calls).count();
        let count = all.min(limit);
        let asked = effort.pick(RESTIC_SAMPLE, RESTIC_LONG).min(count);
        let restic = tool("restic-new");
        let states = Crashes::spread(&self.before, self.base(), &calls, limit);
        for (at, state) in states.enumerate() {
            let is_asked = (at + 1) * asked / count > at * asked / count;
            state.image.put(self.stage.path());
            let look = Look {
                root: root(self.stage.path()),
                restic: restic.as_deref().filter(|_| is_asked),
            };
            judge(&state, &look);
        }
        let asked = if restic.is_some() { asked } else { 0 };
        for (kind, value) in [("states", count), ("states shown to restic", asked)] {
            figure("crash points", &format!("{}: {kind}", self.name), value);
        }
    }
}

/// One state on a directory.
pub struct Look<'a> {
    root: PathBuf,
    restic: Option<&'a Path>,
}

impl Look<'_> {
    /// The repository as a later process finds it.
    pub fn place(&self) -> Arc<dyn Backend> {
        let local = Local::open(&self.root);
        Arc::new(local.expect("a directory of ours opens"))
    }

    /// Asks the stock restic, if it is this state's turn.
    ///
    /// # Panics
    /// When restic finds an error; `when` says in which state.
    pub fn restic(&self, password: &str, when: &str) {
        let Some(program) = self.restic else { return };
        let found = restic_check(program, &self.root, password);
        found.unwrap_or_else(|words| panic!("{when}: restic: {words}"));
    }
}

/// A directory whose syncs cost nothing where the system has one: states are many.
pub(super) fn directory() -> TempDir {
    let memory = Path::new("/dev/shm");
    let made = match memory.is_dir() {
        true => tempfile::tempdir_in(memory),
        false => tempfile::tempdir(),
    };
    made.expect("a temporary directory can be made")
}

pub(super) fn root(base: &Path) -> PathBuf {
    base.join("repository")
}

pub(super) fn fill(root: &Path, memory: &Memory) {
    let filled = Local::open(root).and_then(|local| {
        local.create()?;
        let mut files = memory.files().into_iter();
        files.try_for_each(|(file, content)| local.save(file, &content))
    });
    filled.expect("a directory of ours can be filled");
}
