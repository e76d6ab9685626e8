//! LVM's commands with typed arguments and answers.
//!
//! Does not decide anything; every call is one program, bounded in time and output.
//!
//! Source: lvcreate(8), lvchange(8), lvremove(8), dmsetup(8), thin_delta(8).

use std::sync::Arc;
use std::time::Duration;

use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Result};

use crate::report::{self, GROUP_COLUMNS, Group, VOLUME_COLUMNS, Volume};
use crate::system::{Answer, AtLimit, Command, System};
use crate::{FullName, GroupName};

/// Reports take a moment, unless a device does not answer or somebody holds LVM's lock.
const REPORT_LIMIT: Duration = Duration::from_secs(60);
/// Changes may wait for the devices to become quiet.
const CHANGE_LIMIT: Duration = Duration::from_secs(120);
/// Reads metadata of up to 16 GiB.
const DELTA_LIMIT: Duration = Duration::from_secs(30 * 60);
/// Limit: bytes of a report; a thousand volumes are one megabyte.
const REPORT_BYTES_MAX: usize = 64 << 20;
/// Limit: bytes of a list of changes.
const DELTA_BYTES_MAX: usize = 256 << 20;
/// Lines of a program's complaints that an error repeats.
const ERROR_LINES_MAX: usize = 4;

/// The commands.
#[derive(Clone, Debug)]
pub(crate) struct Tools {
    system: Arc<dyn System>,
}

/// A volume to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NewVolume<'a> {
    /// Of that many bytes, in the group.
    Classic { size: u64 },
    /// Of that many bytes, in the pool.
    Thin { size: u64, pool: &'a str },
    /// Of a classic volume, with a store of that many bytes.
    ClassicSnapshot { origin: &'a FullName, store: u64 },
    /// Of a thin volume; not active yet.
    ThinSnapshot { origin: &'a FullName },
}

impl Tools {
    pub(crate) fn new(system: Arc<dyn System>) -> Self {
        Self { system }
    }

    pub(crate) fn system(&self) -> &Arc<dyn System> {
        &self.system
    }

    /// All volumes of this computer, hidden ones too.
    pub(crate) fn volumes(&self) -> Result<Vec<Volume>> {
        let answer = self.report(&["lvs", "-a", "-o", VOLUME_COLUMNS], "all volumes")?;
        report::volumes(&answer)
    }

    /// One volume. Errors: `NotFound`.
    pub(crate) fn volume(&self, name: &FullName) -> Result<Volume> {
        let name = name.to_string();
        let answer = self.report(&["lvs", "-a", "-o", VOLUME_COLUMNS, &name], &name)?;
        let missing = || Error::new(ErrorKind::NotFound, "asking for", &name);
        report::volumes(&answer)?
            .into_iter()
            .next()
            .ok_or_else(missing)
    }

    /// One volume group. Errors: `NotFound`.
    pub(crate) fn group(&self, name: &GroupName) -> Result<Group> {
        let name = name.as_str();
        let answer = self.report(&["vgs", "-o", GROUP_COLUMNS, name], name)?;
        let missing = || Error::new(ErrorKind::NotFound, "asking for", name);
        report::groups(&answer)?
            .into_iter()
            .next()
            .ok_or_else(missing)
    }

    fn report(&self, words: &[&str], object: &str) -> Result<Vec<u8>> {
        let (command, columns) = words.split_first().unwrap_or((&"", &[]));
        let format = ["--reportformat", "json", "--units", "b", "--nosuffix"];
        let all = [[*command].as_slice(), &format, columns].concat();
        Ok(self.lvm("asking for", object, &all, AtLimit::Kill)?.output)
    }

    /// Makes a volume.
    ///
    /// Errors: `Full`, `Exists`, `NotFound` for group, pool and origin.
    pub(crate) fn create(
        &self,
        name: &FullName,
        kind: NewVolume<'_>,
        tags: &[String],
    ) -> Result<()> {
        let mut words = vec!["lvcreate", "-qq", "-y", "-n", name.volume.as_str()];
        for tag in tags {
            words.extend(["--addtag", tag]);
        }
        let (size, place);
        match kind {
            NewVolume::Classic { size: bytes } => {
                size = format!("{bytes}b");
                words.extend(["-Wy", "-L", &size, name.group.as_str()]);
            }
            NewVolume::Thin { size: bytes, pool } => {
                size = format!("{bytes}b");
                place = format!("{}/{pool}", name.group);
                words.extend(["-V", &size, "-T", &place]);
            }
            NewVolume::ClassicSnapshot { origin, store } => {
                size = format!("{store}b");
                place = origin.to_string();
                words.extend(["-s", "-pr", "-L", &size, &place]);
            }
            NewVolume::ThinSnapshot { origin } => {
                place = origin.to_string();
                words.extend(["-s", "-pr", "-ky", &place]);
            }
        }
        self.change("creating", name, &words)
    }

    /// Makes a volume's device appear, also that of a thin snapshot.
    pub(crate) fn activate(&self, name: &FullName) -> Result<()> {
        self.change(
            "activating",
            name,
            &["lvchange", "-qq", "-ay", "-K", &name.to_string()],
        )
    }

    /// Makes a volume's device disappear.
    pub(crate) fn deactivate(&self, name: &FullName) -> Result<()> {
        self.change(
            "deactivating",
            name,
            &["lvchange", "-qq", "-an", &name.to_string()],
        )
    }

    pub(crate) fn add_tag(&self, name: &FullName, tag: &str) -> Result<()> {
        let words = ["lvchange", "-qq", "--addtag", tag, &name.to_string()];
        self.change("marking", name, &words)
    }

    pub(crate) fn remove_tag(&self, name: &FullName, tag: &str) -> Result<()> {
        let words = ["lvchange", "-qq", "--deltag", tag, &name.to_string()];
        self.change("marking", name, &words)
    }

    /// Removes a volume and all it holds.
    ///
    /// Errors: `Busy` while somebody has it open.
    pub(crate) fn remove(&self, name: &FullName) -> Result<()> {
        self.change(
            "removing",
            name,
            &["lvremove", "-qq", "-y", &name.to_string()],
        )
    }

    fn change(&self, doing: &'static str, name: &FullName, words: &[&str]) -> Result<()> {
        self.lvm(doing, &name.to_string(), words, AtLimit::Ask)?;
        Ok(())
    }

    fn lvm(
        &self,
        doing: &'static str,
        object: &str,
        words: &[&str],
        at_limit: AtLimit,
    ) -> Result<Answer> {
        let limit = match at_limit {
            AtLimit::Kill => REPORT_LIMIT,
            AtLimit::Ask => CHANGE_LIMIT,
        };
        let command = command("lvm", words, limit, at_limit);
        good(doing, object, self.system.run(&command)?)
    }

    /// What the kernel says about a device mapper device, in its own words.
    pub(crate) fn status(&self, mapper_name: &str) -> Result<String> {
        let words = ["status", mapper_name];
        let command = command("dmsetup", &words, REPORT_LIMIT, AtLimit::Kill);
        let answer = good(
            "asking for the state of",
            mapper_name,
            self.system.run(&command)?,
        )?;
        Ok(String::from_utf8_lossy(&answer.output).into_owned())
    }

    /// Sends a word to a device mapper device.
    pub(crate) fn message(&self, mapper_name: &str, word: &str) -> Result<()> {
        let words = ["message", mapper_name, "0", word];
        let command = command("dmsetup", &words, CHANGE_LIMIT, AtLimit::Ask);
        good(
            "sending a message to",
            mapper_name,
            self.system.run(&command)?,
        )?;
        Ok(())
    }

    /// The differences of two volumes of a pool by its reserved metadata snapshot, as XML.
    pub(crate) fn thin_delta(&self, metadata: &str, from: u32, to: u32) -> Result<Vec<u8>> {
        let (from, to) = (from.to_string(), to.to_string());
        let words = ["-m", "--thin1", &from, "--thin2", &to, metadata];
        let command = Command {
            output_bytes_max: DELTA_BYTES_MAX,
            ..command("thin_delta", &words, DELTA_LIMIT, AtLimit::Kill)
        };
        Ok(good("comparing volumes by", metadata, self.system.run(&command)?)?.output)
    }
}

fn command(program: &'static str, words: &[&str], limit: Duration, at_limit: AtLimit) -> Command {
    Command {
        program,
        arguments: words.iter().map(|it| (*it).to_owned()).collect(),
        limit,
        at_limit,
        output_bytes_max: REPORT_BYTES_MAX,
    }
}

fn good(doing: &'static str, object: &str, answer: Answer) -> Result<Answer> {
    if answer.code == Some(0) {
        return Ok(answer);
    }
    let complaints = complaints(&answer.errors);
    let kind = kind_of(&complaints);
    let seen = match (kind, answer.code) {
        (ErrorKind::Denied, _) => format!("{complaints}; run it as root"),
        (_, Some(_)) if !complaints.is_empty() => complaints,
        (_, Some(code)) => format!("it ended with code {code} and said nothing"),
        (_, None) => format!("a signal ended it {complaints}"),
    };
    Err(Error::new(kind, doing, object).seen(seen))
}

/// The last lines that are no warnings, joined; without control characters.
fn complaints(errors: &str) -> String {
    let is_kept = |line: &&str| {
        let is_root_warning = line.contains("non-root user");
        !line.is_empty() && (!line.starts_with("WARNING") || is_root_warning)
    };
    let mut lines: Vec<&str> = errors.lines().map(str::trim).filter(is_kept).collect();
    lines.drain(..lines.len().saturating_sub(ERROR_LINES_MAX));
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    lines.join("; ").chars().map(plain).collect()
}

/// What sort of failure a program means, by its words in the C locale.
fn kind_of(complaints: &str) -> ErrorKind {
    const WORDS: [(&str, ErrorKind); 14] = [
        ("non-root user", ErrorKind::Denied),
        ("Permission denied", ErrorKind::Denied),
        ("Operation not permitted", ErrorKind::Denied),
        ("insufficient free space", ErrorKind::Full),
        ("Insufficient free space", ErrorKind::Full),
        ("Insufficient suitable", ErrorKind::Full),
        ("free extents", ErrorKind::Full),
        ("already exists", ErrorKind::Exists),
        ("Failed to find", ErrorKind::NotFound),
        ("not found", ErrorKind::NotFound),
        ("No such device", ErrorKind::NotFound),
        ("in use", ErrorKind::Busy),
        ("resource busy", ErrorKind::Busy),
        ("not supported", ErrorKind::Unsupported),
    ];
    let found = WORDS.iter().find(|(words, _)| complaints.contains(words));
    found.map_or(ErrorKind::Io, |(_, kind)| *kind)
}
