//! The programs that are compared: how each is told to do the same.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::instant::Fallen;
use super::measure::Call;
use super::place::Place;
use super::rows::Suite;
use super::served::Service;
use super::site::Site;
use crate::process;

mod borg;
mod bupstash;
mod lifeboat;
mod qemu_img;
mod restic;
mod rustic;
mod virtnbdbackup;
mod ways;

pub(crate) use borg::Borg;
pub(crate) use bupstash::Bupstash;
pub(crate) use lifeboat::Lifeboat;
pub(crate) use qemu_img::QemuImg;
pub(crate) use restic::Restic;
pub(crate) use rustic::Rustic;
pub(crate) use virtnbdbackup::Virtnbdbackup;
pub(crate) use ways::{Copy, QemuNbd, Recovery, ResticDump};

/// The name of our own program in records.
pub(crate) const LIFEBOAT: &str = "lifeboat";
/// The peer whose sizes ours are compared with.
pub(crate) const RESTIC: &str = "restic";

/// A snapshot that the bench made: the label it gave, and the name in the repository, if its
/// snapshots are files.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) label: String,
    pub(crate) id: Option<String>,
}

/// What a backup may take for granted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How<'a> {
    /// Whatever the tool does by itself.
    Usual,
    /// Nothing: every byte of the source is read.
    Reread,
    /// The source is as it was, if the tool asks its metadata or an empty list of changes.
    Unchanged(&'a Path),
    /// Only these extents changed, since the machine's snapshot before.
    Changed(&'a Path),
}

/// One backup of the place's source.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Backup<'a> {
    pub(crate) label: &'a str,
    pub(crate) machine: &'a str,
    pub(crate) how: How<'a>,
}

/// What a restore makes of zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Dense,
    Sparse,
}

/// What is to be done with a machine of libvirt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Making the place for backups; not measured.
    Prepare,
    /// Backing up a machine that was not backed up before.
    Full,
    /// Backing up what changed since.
    Increment,
    /// Making its disk anew, in the place's target.
    BringBack,
}

/// A program under test. Where a method gives nothing, the tool has no such thing.
pub(crate) trait Tool {
    /// As in records and on the command line.
    fn name(&self) -> &'static str;
    /// As it says itself.
    fn version(&self) -> Result<String>;
    /// Whether it is measured there at all.
    fn takes_part(&self, suite: Suite) -> bool {
        suite.is_of_disks()
    }
    /// Makes an empty repository.
    fn init(&self, place: &Place) -> Vec<Call>;
    /// Stores the place's source; the label is new.
    fn backup(&self, place: &Place, backup: Backup<'_>) -> Option<Vec<Call>>;
    fn restore(&self, _place: &Place, _snapshot: &Snapshot, _form: Form) -> Option<Vec<Call>> {
        None
    }
    /// Reads all data and compares it with its names.
    fn verify(&self, _place: &Place) -> Option<Vec<Call>> {
        None
    }
    /// Forgets snapshots and frees what only they needed, at once.
    fn remove(&self, _place: &Place, _snapshots: &[Snapshot]) -> Option<Vec<Call>> {
        None
    }
    /// Lists all snapshots.
    fn list(&self, _place: &Place) -> Option<Vec<Call>> {
        None
    }
    /// A backup that stores nothing.
    fn trial(&self, _place: &Place) -> Option<Vec<Call>> {
        None
    }
    /// Does something with a machine of libvirt.
    fn on_site(
        &self,
        _place: &Place,
        _site: &Site,
        _machine: &str,
        _deed: Deed,
    ) -> Option<Vec<Call>> {
        None
    }
    /// Shows the only snapshot's disk to readers, over NBD at the socket or as a file.
    fn serve(&self, _place: &Place, _socket: &Path) -> Option<Service> {
        None
    }
    /// Writes the only snapshot's disk to where nobody keeps it.
    fn dump(&self, _place: &Place) -> Option<Call> {
        None
    }
    /// Lets a lost machine run again.
    fn start_again(&self, _place: &Place, _site: &Site, _fallen: &Fallen) -> Option<Vec<Call>> {
        None
    }
    /// Removes the machine that was started again, if ending it is not enough.
    fn remove_again(&self, _place: &Place, _site: &Site, _fallen: &Fallen) -> Option<Vec<Call>> {
        None
    }
    /// How many bytes of its source the backup that said these words has read.
    fn bytes_read(&self, _words: &str) -> Option<u64> {
        None
    }
}

/// A command in a place, away from the caches and settings of whoever runs the bench.
fn command(program: &Path, place: &Place) -> Command {
    let mut command = Command::new(program);
    command
        .current_dir(place.folder())
        .env("HOME", place.home())
        .env("XDG_CACHE_HOME", place.cache())
        .env("XDG_CONFIG_HOME", place.home())
        .env("TZ", "UTC");
    command
}

/// One word of what a program says when it is asked for its version.
fn version_word(program: &Path, argument: &str, index: usize) -> Result<String> {
    let words = process::output(Command::new(program).arg(argument))?;
    let word = words.split_whitespace().nth(index).unwrap_or("unknown");
    Ok(word.to_owned())
}

/// One command with these words, as most questions need.
fn asked(mut command: Command, words: &[&str]) -> Option<Vec<Call>> {
    command.args(words);
    Some(vec![command.into()])
}

/// Adds what restic and rustic call reading everything; nothing where they lack the way.
fn add_force(command: &mut Command, how: How<'_>) -> Option<()> {
    match how {
        How::Changed(_) => return None,
        How::Reread => drop(command.arg("--force")),
        How::Usual | How::Unchanged(_) => {}
    }
    Some(())
}

/// Names of snapshots that are files.
fn ids(snapshots: &[Snapshot]) -> Vec<String> {
    snapshots.iter().filter_map(|it| it.id.clone()).collect()
}
