//! What processes do, as the program's commands do it.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Zoned};
use lifeboat_backend::{FileHandle, FileKind};
use lifeboat_engine::copy::{CopyEnds, copy};
use lifeboat_format::{LockFile, SnapshotFile, SnapshotId};
use lifeboat_model::ErrorKind;
use lifeboat_repository::prune::{self, PruneOptions};
use lifeboat_repository::repair::{apply_index, plan_index};
use lifeboat_repository::{
    BlobWriter, Error, LockMode, Repository, WriteOptions, adopt, check, commit, lock, snapshots,
    write,
};

use super::content::{bytes_of, put_blobs, put_trees, read};
use super::process::{Failure, Outcome, Process};

/// A lock is void when it could not be refreshed for so long.
pub(crate) const VOID_AFTER: Duration = Duration::from_secs(22 * 60 + 30);

pub(crate) fn write_options(pack_bytes: usize) -> WriteOptions {
    WriteOptions {
        pack_bytes,
        level: Some(1),
        uploads: 1,
        ..WriteOptions::default()
    }
}

/// Packs of a prune are larger than all there is: its uploads never meet its reads, so that a
/// seed always tells the same story.
pub(crate) fn prune_options(is_instant: bool) -> PruneOptions {
    PruneOptions {
        is_instant,
        write: write_options(4 << 20),
        ..PruneOptions::default()
    }
}

/// Stores a snapshot in several parts with pauses between them.
pub(crate) fn backup(process: &Process, parts: &[&[u64]], pause: Duration) -> Outcome<SnapshotId> {
    let all: Vec<u64> = parts.concat();
    process.world.expect(&all);
    let label = format!("{}-{}", process.number, process.entropy.number());
    let outcome = process.run("backup", |repository| {
        process.locked(repository, LockMode::Shared, |lock| {
            let (index, _) = adopt(repository, lock, repository.load_index()?)?;
            let mut seen: Vec<_> = index.settled_files().collect();
            for part in parts {
                let put = |writer: &BlobWriter<'_>| put_blobs(writer, part);
                let (_, _, files) = write::<_, Error>(repository, &index, lock, small(), put)?;
                seen.extend(files);
                process.sleep(pause);
            }
            let put = |writer: &BlobWriter<'_>| put_trees(writer, &all);
            let (tree, _, files) = write::<_, Error>(repository, &index, lock, small(), put)?;
            seen.extend(files);
            let mut file = SnapshotFile::new(repository.environment().clock.now().into());
            (file.tree, file.hostname) = (tree, label.clone());
            recorded(process, &label, || {
                Ok(commit(repository, lock, &file, &seen)?)
            })
        })
    });
    let outcome = outcome.unwrap_or_else(died);
    if let Ok(id) = &outcome {
        process.world.records().committed.insert(*id);
        process.world.count("backups");
    }
    outcome
}

fn small() -> WriteOptions {
    write_options(2 << 10)
}

fn died<T>() -> Outcome<T> {
    Err(Failure {
        kind: ErrorKind::Cancelled,
        text: "killed".to_owned(),
    })
}

/// The last step of a run: until it returns, its record may come and go.
fn recorded<T>(process: &Process, label: &str, act: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    process.world.records().recording.insert(label.to_owned());
    let result = act();
    let is_late = process.is_dead() && process.longest_stop() >= VOID_AFTER;
    let mut records = process.world.records();
    records.recording.remove(label);
    if is_late {
        records.late_deaths.insert(label.to_owned());
    }
    result
}

pub(crate) fn prune(process: &Process, is_instant: bool) -> Option<Outcome<()>> {
    let mode = match is_instant {
        true => LockMode::Exclusive,
        false => LockMode::Prune,
    };
    process.run("prune", |repository| {
        process.locked(repository, mode, |lock| {
            let plan = prune::plan(repository, lock, prune_options(is_instant))?;
            prune::apply(repository, lock, &plan)?;
            process.world.count("prunes");
            Ok(())
        })
    })
}

/// Forgets one snapshot, or gives one another tag.
pub(crate) fn forget(process: &Process, is_tag: bool) -> Option<Outcome<()>> {
    process.run(if is_tag { "tag" } else { "forget" }, |repository| {
        process.locked(repository, LockMode::Shared, |lock| {
            let listed = snapshots::list(repository)?;
            if listed.len() < 3 {
                return Ok(());
            }
            let one = &listed[process.entropy.below(listed.len() as u64) as usize];
            lock.check()?;
            process.world.records().forgotten.insert(one.id);
            if is_tag {
                let mut file = one.file.clone();
                file.tags.push("new".to_owned());
                let new = snapshots::replace(repository, one, file)?;
                process.world.records().committed.insert(new);
            } else {
                snapshots::remove(repository, one.id)?;
            }
            process.world.count("records changed");
            Ok(())
        })
    })
}

/// A check beside everything must find nothing.
pub(crate) fn check_all(process: &Process) -> Option<Outcome<()>> {
    process.run("check", |repository| {
        process.locked(repository, LockMode::Shared, |_| {
            let (checked, _) = check(repository)?;
            if !checked.is_whole() && process.longest_stop() < VOID_AFTER {
                let what = format!("a check found {:?}", checked.findings);
                process.world.schedule.violated(what);
            }
            process.world.count("checks");
            Ok(())
        })
    })
}

/// Restores one snapshot beside everything.
pub(crate) fn restore(process: &Process) -> Option<Outcome<()>> {
    process.run("restore", |repository| {
        process.locked(repository, LockMode::Shared, |_| {
            let listed = snapshots::list(repository)?;
            let records = |id| {
                let records = process.world.records();
                records.committed.contains(&id) && !records.forgotten.contains(&id)
            };
            let Some(one) = listed.iter().rfind(|snapshot| records(snapshot.id)) else {
                return Ok(());
            };
            let result = read(repository, one.id);
            let seeds = process
                .world
                .records()
                .contents
                .get(&one.file.tree)
                .cloned();
            let is_right = matches!((&result, &seeds), (Ok((_, bytes)), Some(seeds))
                if *bytes == bytes_of(seeds));
            let is_late = process.longest_stop() >= VOID_AFTER || process.is_dead();
            let is_transient = matches!(&result, Err(e) if e.kind() == ErrorKind::Unreachable);
            if !is_right && !is_late && !is_transient && records(one.id) {
                let what = format!(
                    "restoring {} gave {:?}",
                    one.id,
                    result.map(|_| "other bytes")
                );
                process.world.schedule.violated(what);
            }
            process.world.count("restores");
            Ok(())
        })
    })
}

pub(crate) fn repair_index(process: &Process) -> Option<Outcome<()>> {
    process.run("repair index", |repository| {
        process.locked(repository, LockMode::Exclusive, |lock| {
            let plan = plan_index(repository, false)?;
            apply_index(repository, lock, &plan)?;
            process.world.count("index repairs");
            Ok(())
        })
    })
}

pub(crate) fn unlock(process: &Process) -> Option<Outcome<()>> {
    process.run("unlock", |repository| {
        lock::unlock(repository, lock::Unlock::Stale)?;
        process.world.count("unlocks");
        Ok(())
    })
}

/// Brings all snapshots of `source` here.
pub(crate) fn bring(process: &Process, source: &Arc<Repository>) -> Option<Outcome<()>> {
    process.run("copy", |repository| {
        process.locked(repository, LockMode::Shared, |lock| {
            let source_index = source.load_index()?;
            let wanted = snapshots::list(source)?;
            let ends = CopyEnds {
                source,
                source_index: &source_index,
                target: repository,
                target_lock: lock,
            };
            let label = "copied";
            let copied = recorded(process, label, || Ok(copy(ends, &wanted, small())?.0))?;
            let there = copied.iter().filter_map(|copied| copied.target);
            process.world.records().committed.extend(there);
            process.world.count("copies");
            Ok(())
        })
    })
}

/// Takes a lock as restic does, holds it for a while and gives it back.
pub(crate) fn hold_foreign_lock(process: &Process, exclusive: bool, time: Duration) {
    let mode = exclusive.then_some(LockMode::Exclusive);
    process.hold(mode);
    process.run("restic", |repository| {
        let taken = foreign_lock(process, repository, exclusive)?;
        let Some(mut handle) = taken else {
            return Ok(());
        };
        process.holds_now();
        let mut left = time;
        while !left.is_zero() && process.longest_stop() < VOID_AFTER {
            let step = left.min(Duration::from_secs(300));
            process.sleep(step);
            left -= step;
            let old = handle;
            handle = save_foreign(repository, exclusive)?;
            repository
                .backend()
                .remove(old)
                .map_err(|error| place_failed(&error))?;
        }
        process.release();
        repository
            .backend()
            .remove(handle)
            .map_err(|error| place_failed(&error))?;
        process.world.count("foreign locks");
        Ok::<(), Failure>(())
    });
    process.release();
}

fn place_failed(error: &lifeboat_backend::Error) -> Failure {
    Failure {
        kind: error.kind(),
        text: error.to_string(),
    }
}

/// restic's way: look, write, wait, look again; a lock of whatever age counts.
fn foreign_lock(
    process: &Process,
    repository: &Repository,
    exclusive: bool,
) -> Outcome<Option<FileHandle>> {
    let is_free = |own: Option<FileHandle>| {
        let found = lock::list(repository)?;
        let mut others = found
            .iter()
            .filter(|lock| Some(FileHandle::new(FileKind::Lock, lock.id.into())) != own);
        Ok::<bool, Failure>(
            !others.any(|lock| exclusive || lock.file.as_ref().is_some_and(|file| file.exclusive)),
        )
    };
    if !is_free(None)? {
        return Ok(None);
    }
    let handle = save_foreign(repository, exclusive)?;
    process.sleep(Duration::from_millis(200));
    if is_free(Some(handle))? {
        return Ok(Some(handle));
    }
    repository
        .backend()
        .remove(handle)
        .map_err(|error| place_failed(&error))?;
    Ok(None)
}

fn save_foreign(repository: &Repository, exclusive: bool) -> Outcome<FileHandle> {
    let environment = repository.environment();
    let time = environment.clock.now().checked_add(SignedDuration::ZERO);
    let time = time.map_err(|error| Failure {
        kind: ErrorKind::Invalid,
        text: error.to_string(),
    })?;
    let file = LockFile {
        time: Zoned::new(time, jiff::tz::TimeZone::UTC).into(),
        exclusive,
        hostname: "elsewhere".to_owned(),
        username: "root".to_owned(),
        pid: environment.owner.pid,
        uid: 0,
        gid: 0,
    };
    let id = repository.save_unpacked(FileKind::Lock, &file.encode())?;
    Ok(FileHandle::new(FileKind::Lock, id))
}
