//! What runs that died have left: work files, scratch files of captures, machines without a server.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lifeboat_backend::{LEFTOVER_AGE_MIN, Local, Stray, StrayKind};
use lifeboat_config::Config;
use lifeboat_control::{Job, instant};
use rustix::fs::FlockOperation;

use super::Check;
use crate::tables::{count, shown};

/// Where captures of libvirt keep what guests overwrite, unless a job names a place.
const SCRATCH: &str = "/var/lib/libvirt/lifeboat";
/// Where machines that run from the repository are noted, unless a variable names a place.
const INSTANT: &str = "/var/lib/lifeboat/instant";
/// What the folder of a run is called.
const RUN_PREFIX: &str = "lifeboat-";

/// Looks beside repositories; what they hold themselves is looked at by [`of_repository`].
pub(super) fn look(config: &Config<Job>, checks: &mut Vec<Check>) {
    let jobs = config.jobs.values();
    let named = jobs.filter_map(|job| job.capture.scratch.clone());
    let places: BTreeSet<PathBuf> = named.chain([PathBuf::from(SCRATCH)]).collect();
    for place in places.iter().filter(|place| place.is_dir()) {
        checks.push(captures(place));
    }
    let base = std::env::var_os("LIFEBOAT_INSTANT_STATE");
    instants(
        &base.map_or_else(|| PathBuf::from(INSTANT), PathBuf::from),
        checks,
    );
}

/// Scratch files of runs that nobody goes on with.
fn captures(place: &Path) -> Check {
    let shown = place.display().to_string();
    let about = ("leftover.capture", shown.as_str());
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) => return Check::skipped(about, error.to_string()),
    };
    let ours = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().starts_with(RUN_PREFIX)
    });
    let dead: Vec<_> = ours
        .map(|entry| entry.path())
        .filter(|path| is_dead(&path.join("lock")))
        .collect();
    let Some(first) = dead.first() else {
        return Check::well(about, "no capture that died has left anything");
    };
    let seen = format!(
        "{} died and left scratch files, as {}",
        count(dead.len(), "capture"),
        first.display()
    );
    let advice = "the next backup of the same machine ends what QEMU still does and removes them";
    Check::warning(about, seen, advice)
}

/// Whether a file is there that a living run would hold locked.
fn is_dead(lock: &Path) -> bool {
    let Ok(file) = fs::File::open(lock) else {
        return false;
    };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_ok()
}

/// Machines that run from the repository, whose server has ended.
fn instants(base: &Path, checks: &mut Vec<Check>) {
    let shown_base = base.display().to_string();
    let views = match instant::list(base) {
        Ok(views) => views,
        Err(error) => {
            let about = ("leftover.instant", shown_base.as_str());
            return checks.push(Check::skipped(about, error.to_string()));
        }
    };
    for view in views {
        let name = shown(&view.state.name);
        let about = ("leftover.instant", name.as_str());
        checks.push(match view.is_served {
            true => Check::well(about, "it runs from the repository, and its server lives"),
            false => Check::wrong(
                about,
                "it runs from the repository, and its server has ended: its disks do not answer",
                format!(
                    "lifeboat instant resume {name}; or 'lifeboat instant discard {name}', which \
                     removes it with what it wrote"
                ),
            ),
        });
    }
}

/// Files in a repository's folder that are no part of it.
pub(super) fn of_repository(name: &str, folder: &Path) -> Check {
    let about = ("leftover.files", name);
    let found = Local::open(folder).and_then(|local| local.strays());
    let strays = match found {
        // A file system of its own has that folder.
        Ok(strays) => strays
            .into_iter()
            .filter(|stray| stray.path != Path::new("lost+found"))
            .collect::<Vec<_>>(),
        Err(error) => return Check::skipped(about, error.to_string()),
    };
    let is_old = |stray: &&Stray| {
        let metadata = fs::metadata(folder.join(&stray.path));
        let written = metadata.and_then(|it| it.modified());
        let age = written.map(|it| SystemTime::now().duration_since(it).unwrap_or_default());
        stray.kind != StrayKind::Leftover || age.is_ok_and(|age| age > LEFTOVER_AGE_MIN)
    };
    let old: Vec<&Stray> = strays.iter().filter(is_old).collect();
    let Some(first) = old.first() else {
        return Check::well(about, "it holds nothing but itself");
    };
    let path = shown(&first.path.to_string_lossy());
    let of = match first.kind {
        StrayKind::Leftover => "the work file of a writer that died",
        StrayKind::WrongPlace(_) => "in the wrong folder",
        StrayKind::UnknownName => "a name that no part of a repository has",
        StrayKind::NotAFile => "no regular file",
    };
    let seen = format!(
        "{} in its folder: no part of it; the first: {path} ({of})",
        count(old.len(), "file")
    );
    let advice = format!(
        "look at it; 'lifeboat -r @{name} prune' removes old work files, what others put there is \
         yours to remove"
    );
    Check::warning(about, seen, advice)
}
