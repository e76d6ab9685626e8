//! `lifeboat files`: files inside the disks of a machine.

mod dump;
mod folders;
mod mount;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_control::{Inside, of_rescue};
use lifeboat_model::ByteCount;
use lifeboat_repository::{LockMode, Repository, Snapshot};
use lifeboat_rescue::wire::{Entry, FileKind, Moment};
use lifeboat_rescue::{GuestPath, LastLink, Listed, Rescue, Settings, Volume, unpack};
use serde::Serialize;

use crate::args::{FilesCommand, FilesGetArguments, FilesLsArguments, RescueArguments};
use crate::context::Context;
use crate::error::{EXIT_PARTIAL, Error, Result};
use crate::select;
use crate::tables::{Table, count, moment, shown};

/// How long a rescue VM may take to boot: a busy host takes its time, and a person can stop it.
const BOOT_PATIENCE: Duration = Duration::from_secs(300);

/// Runs a command about files inside disks.
pub(crate) fn run(context: &Context, command: &FilesCommand) -> Result<u8> {
    match command {
        FilesCommand::Ls(arguments) => list(context, arguments),
        FilesCommand::Get(arguments) => get(context, arguments),
        FilesCommand::Dump(arguments) => dump::run(context, arguments),
        FilesCommand::Mount(arguments) => mount::run(context, arguments),
    }
}

/// A machine's snapshot, and a path inside its disks, in which names need not be text.
fn place(
    context: &Context,
    repository: &Repository,
    typed: &OsStr,
) -> Result<(Snapshot, Option<GuestPath>)> {
    let typed = typed.as_bytes();
    let Some(at) = typed.windows(2).position(|pair| pair == b":/") else {
        return volume_or_none(context, repository, &String::from_utf8_lossy(typed));
    };
    let left = String::from_utf8_lossy(&typed[..at]);
    let path = &typed[at + 1..];
    match (
        select::machine_point(context, repository, &left),
        left.rsplit_once(':'),
    ) {
        (Ok(snapshot), _) => Ok((snapshot, Some(GuestPath::parse(path)?))),
        (Err(error), None) => Err(error),
        (Err(_), Some((machine, volume))) => {
            let snapshot = select::machine_point(context, repository, machine)?;
            Ok((snapshot, Some(GuestPath::on_volume(volume, path))))
        }
    }
}

/// Without a path: a machine alone, or the root of one of its volumes.
fn volume_or_none(
    context: &Context,
    repository: &Repository,
    text: &str,
) -> Result<(Snapshot, Option<GuestPath>)> {
    match (
        select::machine_point(context, repository, text),
        text.rsplit_once(':'),
    ) {
        (Ok(snapshot), _) => Ok((snapshot, None)),
        (Err(error), None) => Err(error),
        (Err(error), Some((machine, volume))) => {
            // Times have colons, too: then the first complaint is the right one.
            let Ok(snapshot) = select::machine_point(context, repository, machine) else {
                return Err(error);
            };
            Ok((snapshot, Some(format!("{volume}:/").parse()?)))
        }
    }
}

/// Boots a rescue VM on the disks of the snapshot that `place` names, and ends it well.
fn enter(
    context: &Context,
    place: &OsStr,
    arguments: &RescueArguments,
    work: impl FnOnce(&mut Inside, Option<GuestPath>) -> Result<u8>,
) -> Result<u8> {
    enter_owned(context, place, arguments, |mut inside, path, _| {
        let code = work(&mut inside, path)?;
        inside.finish()?;
        Ok(code)
    })
}

/// Boots a rescue VM on the disks of the snapshot that is meant, and gives it away.
fn enter_owned(
    context: &Context,
    typed: &OsStr,
    arguments: &RescueArguments,
    work: impl FnOnce(Inside, Option<GuestPath>, &Snapshot) -> Result<u8>,
) -> Result<u8> {
    let repository = Arc::new(context.open()?);
    let _locked = context.lock(&repository, LockMode::Shared)?;
    let (snapshot, path) = place(context, &repository, typed)?;
    let index = Arc::new(context.load_index_to_read(&repository)?);
    let settings = rescue_settings(arguments);
    let id = snapshot.id.short();
    context
        .output
        .detail_aside(format!("booting a rescue VM on the disks of snapshot {id}"));
    let cancel = &context.environment.cancel;
    let inside = Inside::start(&repository, &index, &snapshot, &settings, cancel)?;
    work(inside, path, &snapshot)
}

/// How rescue VMs are started.
pub(super) fn rescue_settings(arguments: &RescueArguments) -> Settings {
    let mut settings = Settings::new(&cache_folder());
    settings.kernel.clone_from(&arguments.kernel);
    settings.memory_mib = arguments.memory;
    settings.patience.boot = BOOT_PATIENCE;
    settings
}

/// Where packed systems for the rescue VM are kept.
fn cache_folder() -> PathBuf {
    let named = |name: &str| {
        std::env::var_os(name)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from)
    };
    let base = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    base.unwrap_or_else(|| Path::new("/var/cache").to_owned())
        .join("lifeboat")
}

fn inner(error: lifeboat_rescue::Error) -> Error {
    of_rescue("cannot read inside the disks", error).into()
}

#[derive(Serialize)]
struct VolumeLine<'a> {
    name: &'a str,
    size: u64,
    content: &'a str,
    label: &'a str,
    uuid: &'a str,
    is_readable: bool,
    mounted_at: Option<&'a str>,
    note: &'a str,
}

#[derive(Serialize)]
struct EntryLine {
    name: String,
    /// The name's bytes in digits, where they are not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    name_bytes: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: i64,
    link_target: Option<String>,
}

fn list(context: &Context, arguments: &FilesLsArguments) -> Result<u8> {
    enter(
        context,
        &arguments.place,
        &arguments.rescue,
        |inside, path| {
            let rescue = inside.rescue();
            if arguments.depth > 0 {
                return folders::list(context, rescue, path, arguments.depth);
            }
            let Some(path) = path else {
                return volumes(context, rescue.volumes());
            };
            let (entries, faults) = listed(rescue, &path)?;
            for fault in &faults {
                context.output.warn(shown(fault));
            }
            let code = if faults.is_empty() { 0 } else { EXIT_PARTIAL };
            if context.output.is_json() {
                let lines: Vec<EntryLine> = entries.iter().map(line).collect();
                context.output.json(&lines)?;
                return Ok(code);
            }
            context.output.result(table(&entries).lines().join("\n"))?;
            Ok(code)
        },
    )
}

fn table(entries: &[Entry]) -> Table {
    let mut table = Table::new(&["Mode", ">Owner", ">Size", "Modified", "Name"]);
    for entry in entries {
        table.row(row(entry));
    }
    table
}

/// What is in a folder, or the one entry that is no folder; and what could not be read.
fn listed(rescue: &mut Rescue, path: &GuestPath) -> Result<(Vec<Entry>, Vec<String>)> {
    let (mut entries, mut faults) = (Vec::new(), Vec::new());
    let each = rescue.each(path, |listed| match listed {
        Listed::Entry(entry) => entries.push(*entry),
        Listed::Fault(text) => faults.push(text),
    });
    each.map_err(inner)?;
    if entries
        .first()
        .is_some_and(|it| it.kind == FileKind::Folder)
    {
        entries.remove(0);
    }
    Ok((entries, faults))
}

fn volumes(context: &Context, list: &[Volume]) -> Result<u8> {
    if context.output.is_json() {
        let lines = list.iter().map(|volume| VolumeLine {
            name: &volume.name,
            size: volume.size,
            content: &volume.content,
            label: &volume.label,
            uuid: &volume.uuid,
            is_readable: volume.is_readable,
            mounted_at: volume.mounted_at.as_deref(),
            note: &volume.note,
        });
        context.output.json(&lines.collect::<Vec<_>>())?;
        return Ok(0);
    }
    let mut table = Table::new(&["Volume", ">Size", "Content", "Label", "At", "Note"]);
    for volume in list {
        table.row([
            volume.name.clone(),
            ByteCount(volume.size).to_string(),
            volume.content.clone(),
            volume.label.clone(),
            volume.mounted_at.clone().unwrap_or_default(),
            volume.note.clone(),
        ]);
    }
    context.output.result(table.lines().join("\n"))?;
    Ok(0)
}

fn row(entry: &Entry) -> [String; 5] {
    let name = shown(&String::from_utf8_lossy(&entry.name));
    let name = match &entry.link_target {
        Some(target) => format!("{name} -> {}", shown(&String::from_utf8_lossy(target))),
        None => name,
    };
    [
        mode_of(entry),
        format!("{}:{}", entry.uid, entry.gid),
        ByteCount(entry.size).to_string(),
        time_of(entry.mtime),
        name,
    ]
}

fn time_of(time: Moment) -> String {
    let second = jiff::Timestamp::from_second(time.seconds);
    second.map(moment).unwrap_or_default()
}

/// As `ls -l` writes it, without the special bits.
fn mode_of(entry: &Entry) -> String {
    let kind = match entry.kind {
        FileKind::File => '-',
        FileKind::Folder => 'd',
        FileKind::Symlink => 'l',
        FileKind::BlockDevice => 'b',
        FileKind::CharDevice => 'c',
        FileKind::Fifo => 'p',
        FileKind::Socket => 's',
        FileKind::Other => '?',
    };
    let bits = (0..9).rev().zip("rwxrwxrwx".chars());
    let bits = bits.map(|(bit, letter)| {
        if entry.mode >> bit & 1 == 1 {
            letter
        } else {
            '-'
        }
    });
    std::iter::once(kind).chain(bits).collect()
}

fn line(entry: &Entry) -> EntryLine {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kind = match entry.kind {
        FileKind::File => "file",
        FileKind::Folder => "dir",
        FileKind::Symlink => "symlink",
        FileKind::BlockDevice => "dev",
        FileKind::CharDevice => "chardev",
        FileKind::Fifo => "fifo",
        FileKind::Socket => "socket",
        FileKind::Other => "other",
    };
    EntryLine {
        name: text(&entry.name),
        name_bytes: not_text(&entry.name),
        kind,
        mode: entry.mode,
        uid: entry.uid,
        gid: entry.gid,
        size: entry.size,
        mtime: entry.mtime.seconds,
        link_target: entry.link_target.as_deref().map(text),
    }
}

/// The digits of bytes that are not text.
fn not_text(bytes: &[u8]) -> Option<String> {
    let digits = || bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    std::str::from_utf8(bytes).is_err().then(digits)
}

/// What is wrong with a place that names no path.
fn path_wanted() -> Error {
    Error::usage("what is wanted? write MACHINE:PATH, as in web01:/etc/hosts")
}

fn get(context: &Context, arguments: &FilesGetArguments) -> Result<u8> {
    let folder = &arguments.folder;
    if !folder.is_dir() {
        let message = format!("{} is no folder: make it first", folder.display());
        return Err(Error::usage(message));
    }
    enter(
        context,
        &arguments.place,
        &arguments.rescue,
        |inside, path| {
            let path = path.ok_or_else(path_wanted)?;
            let names = path.path().split(|byte| *byte == b'/');
            let name = names.rev().find(|name| !name.is_empty());
            let name = name.unwrap_or(b"root");
            let mut walk = inside.rescue().walk(&path, LastLink::Kept).map_err(inner)?;
            let done = unpack(&mut walk, folder, name).map_err(inner)?;
            for (path, seen) in &done.findings {
                context.output.warn(format!("{}: {seen}", shown(path)));
            }
            let to = folder.join(OsStr::from_bytes(name));
            context.output.result(format!(
                "{}, {} and {} copied to {}",
                count(done.files, "file"),
                count(done.folders, "folder"),
                ByteCount(done.bytes),
                to.display()
            ))?;
            Ok(if done.finding_count == 0 {
                0
            } else {
                EXIT_PARTIAL
            })
        },
    )
}
