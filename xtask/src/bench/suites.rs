//! What happens in each suite, step by step; rows that are not wanted are only run where later
//! ones need them.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::mem;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::changed;
use super::course::{Counts, Course, restored};
use super::measure::{self, Measured, StoredFile};
use super::pages;
use super::place::Place;
use super::rows::Suite;
use super::tools::{Backup, Form, How, LIFEBOAT, Snapshot};
use super::{fleet, instant, running, served};

const VM_A: &str = "vm-a";
const VM_B: &str = "vm-b";
/// Labels of the snapshots of the first day of vm-a.
const FIRST_DAY: [&str; 3] = ["day1", "day1-again", "day1-unchanged"];
/// Of the disk with random page writes: how many states, how large, how many writes between.
const STATES: u64 = 6;
const STATE_BYTES_MAX: u64 = 1 << 30;
const BYTES_PER_WRITE: u64 = 512 << 10;

/// Where the images and the lists of changes are.
#[derive(Debug)]
pub(crate) struct Images {
    data: PathBuf,
    lists: PathBuf,
    lifeboat: PathBuf,
}

impl Images {
    pub(crate) fn new(data: &Path, lists: &Path, lifeboat: &Path) -> Result<Self> {
        fs::create_dir_all(lists).with_context(|| format!("creating {}", lists.display()))?;
        Ok(Self {
            data: data.to_owned(),
            lists: lists.to_owned(),
            lifeboat: lifeboat.to_owned(),
        })
    }

    /// How much a suite may take on the disk, in bytes: three times its largest dense file, or
    /// twice where machines have disks with holes.
    pub(crate) fn room(&self, suite: Suite) -> Result<u64> {
        let (times, image) = match suite {
            Suite::Machines => (3, "vm-a.raw"),
            Suite::Incompressible => (3, "incompressible.raw"),
            Suite::Running | Suite::Instant => (2, "vm-a.raw"),
            Suite::Sparse | Suite::Fleet | Suite::Served => return Ok(1 << 30),
        };
        let path = self.image(image);
        let metadata = fs::metadata(&path).with_context(|| format!("at {}", path.display()))?;
        Ok(times * metadata.len())
    }

    /// Our program, for repositories that all tools share.
    pub(crate) fn lifeboat(&self) -> &Path {
        &self.lifeboat
    }

    pub(crate) fn image(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    /// The list for a disk that did not change.
    fn unchanged(&self, image: &Path) -> Result<PathBuf> {
        let list = self.lists.join("unchanged.json");
        changed::write_empty(fs::metadata(image)?.len(), &list)?;
        Ok(list)
    }

    /// The list of what day 2 changed, with how many bytes it marks; made once.
    pub(crate) fn changed(&self) -> Result<(PathBuf, u64)> {
        let (list, count) = (self.lists.join("day2.json"), self.lists.join("day2.bytes"));
        if let Ok(text) = fs::read_to_string(&count) {
            return Ok((list, text.trim().parse().context("reading day2.bytes")?));
        }
        let (before, after) = (self.image("vm-a.raw"), self.image("vm-a.day2.raw"));
        let marked = changed::write(&before, &after, &list)?;
        fs::write(&count, marked.to_string()).context("writing day2.bytes")?;
        Ok((list, marked))
    }
}

/// Takes a tool through a suite.
pub(crate) fn run(suite: Suite, course: &mut Course<'_>, images: &Images) -> Result<()> {
    match suite {
        Suite::Machines => machines(course, images),
        Suite::Sparse => single(course, images, "9", "sparse64g.raw"),
        Suite::Incompressible => single(course, images, "10", "incompressible.raw"),
        Suite::Fleet => fleet::run(course),
        Suite::Running => running::run(course, images),
        Suite::Served => served::run(course, images),
        Suite::Instant => instant::run(course, images),
    }
}

fn single(course: &mut Course<'_>, images: &Images, row: &str, image: &str) -> Result<()> {
    course.place.link(&images.image(image))?;
    course.init()?;
    course.backup(row, usual("only", "single")).map(drop)
}

fn usual<'a>(label: &'a str, machine: &'a str) -> Backup<'a> {
    Backup {
        label,
        machine,
        how: How::Usual,
    }
}

fn machines(course: &mut Course<'_>, images: &Images) -> Result<()> {
    course.init()?;
    let vm_a = images.image("vm-a.raw");
    course.place.link(&vm_a)?;
    course.backup("1", usual(FIRST_DAY[0], VM_A))?;
    by_changes(course, images)?;
    again(course, images, &vm_a)?;
    if course.wants(&["4", "6", "7", "8", "13", "14"]) {
        course.place.link(&images.image("vm-a.day2.raw"))?;
        course.backup("4", usual("day2", VM_A))?;
    }
    if course.wants(&["6", "7", "8", "13", "14"]) {
        course.place.link(&images.image("vm-b.raw"))?;
        course.backup("6", usual("second", VM_B))?;
    }
    stored(course)?;
    on_another_file_system(course, images)?;
    restore(course, "11", Form::Dense, &vm_a)?;
    restore(course, "12", Form::Sparse, &vm_a)?;
    verify(course)?;
    prune(course, &vm_a)
}

/// Row 5 begins where only the first day of vm-a is there, in a copy of the repository.
fn by_changes(course: &mut Course<'_>, images: &Images) -> Result<()> {
    if course.wants(&["5"]) && course.tool.name() == LIFEBOAT {
        let (list, marked) = images.changed()?;
        let backup = Backup {
            how: How::Changed(&list),
            ..usual("changed", VM_A)
        };
        let counts = Counts::from([("changed".to_owned(), marked)]);
        branch(course, "5", &images.image("vm-a.day2.raw"), backup, counts)?;
    }
    Ok(())
}

/// Row 7 begins where vm-b is there on its first file system, in a copy of the repository.
fn on_another_file_system(course: &mut Course<'_>, images: &Images) -> Result<()> {
    if !course.wants(&["7"]) {
        return Ok(());
    }
    let (image, backup) = (images.image("vm-b-xfs.raw"), usual("other", VM_B));
    branch(course, "7", &image, backup, Counts::new())
}

fn branch(
    course: &mut Course<'_>,
    row: &str,
    image: &Path,
    backup: Backup<'_>,
    counts: Counts,
) -> Result<()> {
    let copy = course.place.copy_to(&course.place.beside("branch"))?;
    copy.link(image)?;
    let trunk = mem::replace(&mut course.place, copy);
    let result = course.backup_and_count(row, backup, counts);
    let branch = mem::replace(&mut course.place, trunk);
    course.snapshots.pop_if(|last| last.label == backup.label);
    result?;
    branch.remove()
}

/// Rows 2 and 3: the same disk once more.
fn again(course: &mut Course<'_>, images: &Images, image: &Path) -> Result<()> {
    if course.wants(&["2"]) {
        let how = How::Reread;
        course.backup(
            "2",
            Backup {
                how,
                ..usual(FIRST_DAY[1], VM_A)
            },
        )?;
    }
    if course.wants(&["3"]) {
        let list = images.unchanged(image)?;
        let how = How::Unchanged(&list);
        course.backup(
            "3",
            Backup {
                how,
                ..usual(FIRST_DAY[2], VM_A)
            },
        )?;
    }
    Ok(())
}

fn stored(course: &mut Course<'_>) -> Result<()> {
    let bytes = measure::stored_bytes(&course.place.repository())?;
    let counts = Counts::from([("stored".to_owned(), bytes)]);
    course.keep("8", String::new(), Measured::default(), counts)
}

fn restore(course: &mut Course<'_>, row: &str, form: Form, image: &Path) -> Result<()> {
    if !course.wants(&[row]) {
        return Ok(());
    }
    let snapshot = course.snapshot(FIRST_DAY[0])?;
    let Some(calls) = course.tool.restore(&course.place, &snapshot, form) else {
        return Ok(());
    };
    course.place.empty_target()?;
    measure::warm(&course.place.repository())?;
    let (shown, measured) = course.step(calls, "restore")?;
    let file = restored(&course.place.target())?;
    let allocated = measure::allocated_bytes(&file)?;
    if course.round == 1 {
        let is_equal = changed::are_equal(&file, image)?;
        ensure!(is_equal, "{} is not what was backed up", file.display());
    }
    course.place.empty_target()?;
    let counts = Counts::from([("allocated".to_owned(), allocated)]);
    course.keep(row, shown, measured, counts)
}

fn verify(course: &mut Course<'_>) -> Result<()> {
    if !course.wants(&["13"]) {
        return Ok(());
    }
    let Some(calls) = course.tool.verify(&course.place) else {
        return Ok(());
    };
    measure::warm(&course.place.repository())?;
    let (shown, measured) = course.step(calls, "verify")?;
    course.keep("13", shown, measured, Counts::new())
}

/// Row 14: more history, half of it forgotten again.
fn prune(course: &mut Course<'_>, base: &Path) -> Result<()> {
    if !course.wants(&["14"]) {
        return Ok(());
    }
    let going = add_states(course, base)?;
    let Some(calls) = course.tool.remove(&course.place, &going) else {
        return Ok(());
    };
    let repository = course.place.repository();
    measure::warm(&repository)?;
    let before = measure::files(&repository)?;
    let (shown, measured) = course.step(calls, "prune")?;
    let counts = pruned(
        &before,
        &measure::files(&repository)?,
        &repository.join("data"),
    );
    course.keep("14", shown, measured, counts)
}

/// Bytes in new files of data, and by how much all files became smaller.
fn pruned(before: &[StoredFile], after: &[StoredFile], data: &Path) -> Counts {
    let names: BTreeSet<_> = before.iter().map(|(path, _)| path).collect();
    let new = after.iter().filter(|(path, _)| !names.contains(path));
    let of_data = new.filter(|(path, _)| path.starts_with(data));
    let rewritten = of_data.map(|(_, bytes)| bytes).sum();
    let sum = |files: &[StoredFile]| files.iter().map(|(_, bytes)| bytes).sum::<u64>();
    let freed = sum(before).saturating_sub(sum(after));
    Counts::from([
        ("rewritten".to_owned(), rewritten),
        ("freed".to_owned(), freed),
    ])
}

/// Adds the states of a disk that pages are written to; gives the snapshots to forget.
fn add_states(course: &mut Course<'_>, base: &Path) -> Result<Vec<Snapshot>> {
    let mut going: Vec<String> = FIRST_DAY.map(ToOwned::to_owned).into();
    copy_beginning(base, &course.place)?;
    for state in 0..STATES {
        if state > 0 {
            let source = course.place.source();
            let writes = fs::metadata(&source)?.len() / BYTES_PER_WRITE;
            pages::write(&source, writes, state)?;
        }
        let label = format!("state{state}");
        course.backup("", usual(&label, "states"))?;
        if state % 2 == 0 {
            going.push(label);
        }
    }
    let mut snapshots = course.snapshots.clone();
    snapshots.retain(|it| going.contains(&it.label));
    Ok(snapshots)
}

/// A source of its own that may be written to: the first part of an image.
fn copy_beginning(image: &Path, place: &Place) -> Result<()> {
    place.unlink()?;
    let mut source = File::create(place.source()).context("creating the disk of states")?;
    let image = File::open(image).with_context(|| format!("opening {}", image.display()))?;
    io::copy(&mut image.take(STATE_BYTES_MAX), &mut source)
        .context("copying the disk of states")?;
    Ok(())
}
