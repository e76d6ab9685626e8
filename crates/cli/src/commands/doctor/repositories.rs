//! Whether repositories can be reached, opened and written, and have room.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use lifeboat_backend::{FileHandle, Location};
use lifeboat_catalog::RepositoryFacts;
use lifeboat_config::{Config, RepositoryEntry};
use lifeboat_control::Job;
use lifeboat_model::{ByteCount, ErrorKind};
use lifeboat_repository::{Repository, lock};
use rustix::fs::{Access, access, statvfs};

use super::{Check, leftovers};
use crate::context::Context;
use crate::error::Result;
use crate::tables::{moment, shown, span};

/// A file system with less room is nearly full: a share in percent, and bytes.
const ROOM_PERCENT: u64 = 5;
const ROOM_MIN: u64 = 1 << 30;
/// Files of the future by more than this were dated by another clock.
const SKEW_MAX: Duration = Duration::from_secs(60);

/// A repository that was not checked for longer is told.
const CHECK_AGE_MAX: SignedDuration = SignedDuration::from_hours(24 * 35);

/// Looks at every repository of the configuration.
pub(super) fn look(context: &Context, config: &Config<Job>, checks: &mut Vec<Check>) {
    for (name, entry) in &config.repositories {
        match &entry.carried_over {
            Some(why) => checks.push(Check::skipped(("repository.reach", name), why)),
            None => one(context, (name, entry), checks),
        }
    }
}

fn one(context: &Context, (name, entry): (&str, &RepositoryEntry), checks: &mut Vec<Check>) {
    let reached = Location::parse(&entry.place).and_then(|location| {
        lifeboat_backend::open(&location)?.size(FileHandle::CONFIG)?;
        Ok(location)
    });
    let location = match reached {
        Ok(location) => location,
        Err(error) => {
            let advice = advice(error.kind(), name);
            let seen = crate::error::Error::from(error).to_string();
            return checks.push(Check::wrong(("repository.reach", name), seen, advice));
        }
    };
    let Location::Local(folder) = location;
    let seen = format!("{} is a repository", folder.display());
    checks.push(Check::well(("repository.reach", name), seen));
    checks.push(rights(name, &folder));
    checks.push(room(("repository.space", name), &folder));
    checks.push(leftovers::of_repository(name, &folder));
    checks.extend(clock(name, &folder));
    match opened(context, name) {
        Ok(repository) => {
            checks.push(Check::well(
                ("repository.open", name),
                "its password opens it",
            ));
            checks.push(version(name, repository.config().version));
            locks(name, &repository, checks);
        }
        Err(error) if error.is_unsupported() => {
            let about = ("repository.version", name);
            let advice = "a newer program made it: use that one, or a newer lifeboat";
            checks.push(Check::wrong(about, error.to_string(), advice));
        }
        Err(error) => {
            let advice = "look at password_file and its relatives of this repository";
            checks.push(Check::wrong(
                ("repository.open", name),
                error.to_string(),
                advice,
            ));
        }
    }
}

fn advice(kind: ErrorKind, name: &str) -> String {
    match kind {
        ErrorKind::Unsupported | ErrorKind::Invalid => {
            format!("change the place of repository {name} in the configuration")
        }
        ErrorKind::Denied => "let this user in there, or run it as root".to_owned(),
        ErrorKind::NotFound => {
            format!("look whether it is mounted; a new one is made by 'lifeboat -r @{name} init'")
        }
        _ => "look whether the file system or the host below it answers".to_owned(),
    }
}

fn opened(context: &Context, name: &str) -> Result<Repository> {
    let mut global = context.global.clone();
    global.repository = Some(format!("@{name}"));
    (global.repository_file, global.password_file) = (None, None);
    global.password_command = None;
    context.with_global(global).open()
}

/// Older formats of restic cannot compress.
fn version(name: &str, version: u32) -> Check {
    let about = ("repository.version", name);
    match version {
        2 => Check::well(about, "its format is version 2"),
        version => Check::warning(
            about,
            format!("its format is version {version}: what is stored is not compressed"),
            format!("'restic migrate upgrade_repo_v2' makes it version 2, of @{name}"),
        ),
    }
}

fn rights(name: &str, folder: &Path) -> Check {
    let about = ("repository.rights", name);
    let kinds = ["", "data", "index", "snapshots", "locks", "keys"];
    for kind in kinds {
        let place = folder.join(kind);
        let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
        if let Err(error) = access(&place, wanted) {
            let seen = format!("cannot write in {}: {error}", place.display());
            let advice = "give the user of lifeboat read and write rights there";
            return Check::wrong(about, seen, advice);
        }
    }
    Check::well(about, "it can be written")
}

/// Whether there is room where something is kept.
pub(super) fn room(about: (&'static str, &str), folder: &Path) -> Check {
    let seen = match statvfs(folder) {
        Ok(seen) => seen,
        Err(error) => {
            return Check::skipped(about, format!("its file system tells nothing: {error}"));
        }
    };
    let free = seen.f_bavail.saturating_mul(seen.f_frsize);
    let all = seen.f_blocks.saturating_mul(seen.f_frsize);
    let text = format!("{} of {} are free", ByteCount(free), ByteCount(all));
    let advice = match about {
        ("repository.space", name) => format!(
            "make room: fewer points in the policy, 'lifeboat -r @{name} prune', or a larger place"
        ),
        _ => format!("make room in the file system of {}", folder.display()),
    };
    match all {
        0 => Check::skipped(about, "its file system does not tell how large it is"),
        _ if free < ROOM_MIN.min(all / 100) => Check::wrong(about, text, advice),
        _ if free < ROOM_MIN || free / ROOM_PERCENT < all / 100 => {
            Check::warning(about, text, advice)
        }
        _ => Check::well(about, text),
    }
}

/// Files that are dated in the future, by the clock of this computer.
fn clock(name: &str, folder: &Path) -> Option<Check> {
    let newest = ["snapshots", "index", "locks"]
        .iter()
        .flat_map(|kind| std::fs::read_dir(folder.join(kind)))
        .flat_map(|entries| entries.flatten())
        .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        .max()?;
    let about = ("clock.repository", name);
    let ahead = newest.duration_since(SystemTime::now()).unwrap_or_default();
    Some(match ahead > SKEW_MAX {
        true => Check::wrong(
            about,
            format!("its newest file is dated {} in the future", span(ahead)),
            "set the clocks of this computer and of the one with the files by NTP: locks and \
             promises are judged by them",
        ),
        false => Check::well(about, "no file of it is dated in the future"),
    })
}

fn locks(name: &str, repository: &Repository, checks: &mut Vec<Check>) {
    let about = ("repository.locks", name);
    let found = match lock::list(repository) {
        Ok(found) => found,
        Err(error) => {
            let seen = crate::error::Error::from(error).to_string();
            let advice = format!("look at the folder locks of repository {name}");
            return checks.push(Check::wrong(about, seen, advice));
        }
    };
    let mut left = 0;
    for lock in &found {
        let advice = match (&lock.file, lock.is_stale) {
            (Some(_), false) => continue,
            (Some(_), true) => format!("lifeboat -r @{name} unlock"),
            (None, _) => format!("'lifeboat -r @{name} unlock --remove-all' when nothing runs"),
        };
        left += 1;
        let seen = match &lock.file {
            None => format!("lock {} cannot be read", lock.id.short()),
            Some(file) => format!(
                "process {} on {} is gone and left a lock, last seen {}",
                file.pid,
                shown(&file.hostname),
                moment(file.time.timestamp())
            ),
        };
        checks.push(Check::warning(about, seen, advice));
    }
    if left == 0 {
        let seen = match found.len() {
            0 => "nobody works on it".to_owned(),
            held => format!("{held} held by those who work on it"),
        };
        checks.push(Check::well(about, seen));
    }
}

/// Whether somebody has looked lately that a repository is whole, by what the catalog knows.
pub(super) fn checked(entry: &RepositoryEntry, facts: &RepositoryFacts, now: Timestamp) -> Check {
    let name = facts.name.as_str();
    let about = ("repository.check", name);
    let advice = match entry.check {
        None => format!("write check = \"weekly sun 05:00\" into [repositories.{name}]"),
        Some(_) => {
            format!("'lifeboat -r @{name} check' looks now; 'lifeboat status' shows what fails")
        }
    };
    match (facts.checked, facts.is_ok) {
        (None, _) if entry.check.is_some() => {
            Check::skipped(about, "it was not checked yet; its schedule does")
        }
        (None, _) => Check::warning(about, "it was never checked, and no schedule does", advice),
        (Some(at), Some(false)) => Check::wrong(
            about,
            format!(
                "its check at {} found: {}",
                moment(at),
                shown(&facts.findings.join("; "))
            ),
            format!("'lifeboat -r @{name} check' shows all of it, 'lifeboat repair' mends"),
        ),
        (Some(at), _) if now.duration_since(at) > CHECK_AGE_MAX => Check::warning(
            about,
            format!("it was last checked at {}", moment(at)),
            advice,
        ),
        (Some(at), _) => Check::well(about, format!("whole at {}", moment(at))),
    }
}

/// Whether a repository has outgrown what it should have, by the size that was last seen.
pub(super) fn size(name: &str, bytes: u64, most: u64) -> Check {
    let about = ("repository.size", name);
    let text = format!("{} of at most {}", ByteCount(bytes), ByteCount(most));
    let advice = "fewer points in the policy, a prune, or a larger size_max";
    match bytes {
        _ if bytes > most => Check::wrong(about, text, advice),
        _ if u128::from(bytes) * 10 > u128::from(most) * 9 => Check::warning(about, text, advice),
        _ => Check::well(about, text),
    }
}

/// A program of the path, if it is there.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let beside = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut places = std::env::split_paths(&folders).chain(beside);
    places.find_map(|folder| Some(folder.join(name)).filter(|it| it.is_file()))
}
