//! The place as one process reaches it: every call waits for its turn.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_backend::{Backend, Call, Doing, Error, FileHandle, FileKind, Listed, Result};
use lifeboat_model::ErrorKind;
use lifeboat_repository::LockMode;

use super::process::current_lane;
use super::schedule::Verdict;
use super::world::{Hold, World};

/// A holder stops when it could not refresh for so long.
const VOID_AFTER: Duration = Duration::from_secs(22 * 60 + 30);

pub(crate) struct Place {
    pub(crate) world: Arc<World>,
    pub(crate) process: usize,
    pub(crate) main_lane: usize,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the place of process {}", self.process)
    }
}

impl Place {
    fn turn<T>(&self, call: Call, what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        let lane = current_lane().unwrap_or(self.main_lane);
        let schedule = &self.world.schedule;
        let failed = |seen: &str| {
            let error = Error::new(ErrorKind::Unreachable, Doing::Call(call), self.location());
            Err(error.seen(seen))
        };
        match schedule.ask(lane, what.to_owned()) {
            Verdict::Go => {
                let result = act();
                let told = match &result {
                    Ok(_) => String::new(),
                    Err(error) => format!(": {:?}", error.kind()),
                };
                schedule.note(self.process, &format!("{what}{told}"));
                result
            }
            Verdict::FailBefore => {
                schedule.note(self.process, &format!("{what}: fails"));
                failed("the network is down")
            }
            Verdict::FailAfter => {
                let _ = act();
                schedule.note(
                    self.process,
                    &format!("{what}: done, but the answer is lost"),
                );
                failed("the answer is lost")
            }
            Verdict::DieBefore => {
                schedule.note(self.process, &format!("-- is killed before {what}"));
                failed("killed")
            }
            Verdict::DieAfter => {
                let _ = act();
                schedule.note(self.process, &format!("-- is killed after {what}"));
                failed("killed")
            }
            Verdict::Dead => failed("dead"),
        }
    }

    /// Nobody writes while somebody else holds a lock that excludes it.
    fn watch(&self, call: Call, file: FileHandle, asked: Duration) {
        let time = self.world.schedule.time();
        let mut records = self.world.records();
        if file.kind == FileKind::Lock {
            if call == Call::Save {
                let records = &mut *records;
                let holds = records.holds.iter_mut().chain(&mut records.pending);
                for hold in holds.filter(|hold| hold.process == self.process) {
                    (hold.refreshed, hold.file) = (asked, Some(file));
                }
            }
            return;
        }
        let Some(at) = records.holds.iter().position(|h| h.process == self.process) else {
            return;
        };
        let is_retraction = call == Call::Remove && records.holds[at].saved.contains(&file);
        if call == Call::Save {
            records.holds[at].saved.push(file);
        }
        let own = records.holds[at].clone();
        let is_valid = |hold: &Hold| {
            let is_there = hold
                .file
                .is_some_and(|file| self.world.memory.size(file).is_ok());
            is_there && time - hold.refreshed < VOID_AFTER
        };
        let rivals: Vec<usize> = (0..records.holds.len())
            .filter(|other| *other != at && is_rival(own.mode, records.holds[*other].mode))
            .filter(|other| is_valid(&records.holds[*other]))
            .collect();
        let Some(rival) = rivals.first().map(|other| records.holds[*other].process) else {
            return;
        };
        if is_valid(&own) {
            drop(records);
            let name = self.world.schedule.state().lives[rival].name.clone();
            let what = format!("{call:?} of {file} while {name} holds a lock that excludes it");
            self.world.schedule.violated(what);
        } else if !is_retraction {
            records.holds[at].late_effects += 1;
            let count = records.holds[at].late_effects;
            drop(records);
            if count > 1 {
                let what = format!("{count} effects after its lock was void, {file} the last");
                self.world.schedule.violated(what);
            }
        }
    }

    fn hides(&self, file: FileHandle, lag: Duration) -> bool {
        let now = self.world.schedule.time();
        let born = self.world.records().born.get(&file).copied();
        let is_fresh = born.is_some_and(|(time, by)| by != self.process && now - time < lag);
        is_fresh && self.world.entropy.below(2) == 0
    }

    /// Files that were removed and are still listed.
    fn ghosts(&self, kind: FileKind) -> Vec<Listed> {
        let (now, lag) = (self.world.schedule.time(), self.world.laxity.list_lag);
        let records = self.world.records();
        let gone = records.gone.iter();
        let mut shown: Vec<Listed> = gone
            .filter(|(file, (time, _))| file.kind == kind && now - *time < lag)
            .map(|(file, (_, size))| Listed {
                id: file.id,
                size: *size,
            })
            .collect();
        shown.sort_unstable_by_key(|listed| listed.id);
        shown.retain(|_| self.world.entropy.below(2) == 0);
        shown
    }

    fn shuffle(&self, files: &mut [Listed]) {
        for end in (1..files.len()).rev() {
            files.swap(end, self.world.entropy.below(end as u64 + 1) as usize);
        }
    }

    fn seen(&self, file: FileHandle, call: Call) -> Result<()> {
        if self.hides(file, self.world.laxity.read_lag) {
            let doing = Doing::Call(call);
            return Err(Error::new(ErrorKind::NotFound, doing, self.location()).on(file));
        }
        Ok(())
    }
}

/// Whether one of two holders must not write while the other is at work.
fn is_rival(own: Option<LockMode>, other: Option<LockMode>) -> bool {
    use LockMode::{Exclusive, Prune, Shared};
    let is_exclusive = own == Some(Exclusive) || other == Some(Exclusive);
    let is_prune = own == Some(Prune) || other == Some(Prune);
    // Beside a prune only lifeboat's own shared locks may be.
    let is_shared = own == Some(Shared) || other == Some(Shared);
    is_exclusive || is_prune && !is_shared
}

fn is_small(kind: FileKind) -> bool {
    matches!(kind, FileKind::Config | FileKind::Key)
}

impl Backend for Place {
    fn location(&self) -> String {
        "the simulated place".to_owned()
    }

    fn create(&self) -> Result<()> {
        self.world.memory.create()
    }

    fn list(&self, kind: FileKind) -> Result<Vec<Listed>> {
        if is_small(kind) {
            return self.world.memory.list(kind);
        }
        self.turn(Call::List, &format!("lists {kind} files"), || {
            let mut files = self.world.memory.list(kind)?;
            let lag = self.world.laxity.list_lag;
            files.retain(|listed| !self.hides(FileHandle::new(kind, listed.id), lag));
            files.extend(self.ghosts(kind));
            self.shuffle(&mut files);
            Ok(files)
        })
    }

    fn size(&self, file: FileHandle) -> Result<u64> {
        self.turn(Call::Size, &format!("asks for {file}"), || {
            self.seen(file, Call::Size)?;
            self.world.memory.size(file)
        })
    }

    fn load(&self, file: FileHandle) -> Result<Vec<u8>> {
        if is_small(file.kind) {
            return self.world.memory.load(file);
        }
        self.turn(Call::Load, &format!("loads {file}"), || {
            self.seen(file, Call::Load)?;
            self.world.memory.load(file)
        })
    }

    fn read(&self, file: FileHandle, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.turn(Call::Read, &format!("reads {file} at {offset}"), || {
            self.seen(file, Call::Read)?;
            self.world.memory.read(file, offset, buffer)
        })
    }

    fn save(&self, file: FileHandle, content: &[u8]) -> Result<()> {
        let asked = self.world.schedule.time();
        self.turn(Call::Save, &format!("saves {file}"), || {
            self.watch(Call::Save, file, asked);
            let time = self.world.schedule.time();
            let mut records = self.world.records();
            records.gone.remove(&file);
            records.born.insert(file, (time, self.process));
            drop(records);
            self.world.memory.save(file, content)
        })
    }

    fn remove(&self, file: FileHandle) -> Result<()> {
        let asked = self.world.schedule.time();
        self.turn(Call::Remove, &format!("removes {file}"), || {
            self.watch(Call::Remove, file, asked);
            let (time, size) = (self.world.schedule.time(), self.world.memory.size(file));
            if let Ok(size) = size {
                self.world.records().gone.insert(file, (time, size));
            }
            self.world.memory.remove(file)
        })
    }
}
