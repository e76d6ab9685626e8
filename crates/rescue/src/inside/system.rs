//! Puts volumes together to the tree that the system inside the disks sees.

use super::devices::split_name;
use super::fstab::{self, Line, Source};
use super::mounts::{self, Mount};
use super::places;
use super::serve::exists;
use super::survey::Survey;
use crate::wire::VolumePlace;

/// Where installers put the root of a system on btrfs, the plain one first.
const ROOTS: [Option<&str>; 4] = [
    None,
    Some("subvol=@"),
    Some("subvol=@rootfs"),
    Some("subvol=root"),
];
/// A folder with one of these besides `etc` is the root of a Linux system.
const MARKS: [&str; 3] = ["etc/fstab", "etc/os-release", "usr/lib/os-release"];
/// Drives of Windows are counted from here.
const FIRST_LETTER: u8 = b'C';
const LETTERS: usize = 24;

/// Finds the root: of Linux, else of Windows, else the only volume that can be read.
pub(super) fn assemble(survey: &mut Survey) {
    if let Some((number, subvolume)) = linux_root(survey) {
        if put_root(survey, number, subvolume) {
            add_others(survey, number);
        }
        return;
    }
    let windows = readable(survey).find(|number| is_windows(survey, *number));
    if let Some(number) = windows {
        give_letters(survey, number);
        put_root(survey, number, None);
        return;
    }
    let mut all = readable(survey);
    if let (Some(number), None) = (all.next(), all.next()) {
        drop(all);
        put_root(survey, number, None);
    }
}

fn readable(survey: &Survey) -> impl Iterator<Item = usize> + '_ {
    (0..survey.volumes.len()).filter(|number| survey.volumes[*number].is_readable)
}

fn folder_of(number: usize) -> String {
    format!("{}/{number}", places::VOLUMES)
}

fn linux_root(survey: &Survey) -> Option<(usize, Option<&'static str>)> {
    readable(survey).find_map(|number| {
        let is_btrfs = survey.volumes[number].content == "btrfs";
        let candidates = if is_btrfs { &ROOTS[..] } else { &ROOTS[..1] };
        candidates.iter().find_map(|subvolume| {
            let below = subvolume.and_then(|option| option.strip_prefix("subvol="));
            let below = below.map(|name| format!("{name}/")).unwrap_or_default();
            let has = |path: &str| exists(&folder_of(number), &format!("/{below}{path}"));
            let is_root = has("etc") && MARKS.iter().any(|mark| has(mark));
            is_root.then_some((number, *subvolume))
        })
    })
}

fn put_root(survey: &mut Survey, number: usize, subvolume: Option<&str>) -> bool {
    let put = match subvolume {
        Some(_) => again(survey, number, subvolume, places::SYSTEM),
        None => rustix::mount::mount_bind(folder_of(number), places::SYSTEM)
            .map_err(|error| error.to_string()),
    };
    survey.has_system = put.is_ok();
    note_place(survey, number, "/", &put)
}

/// Mounts a volume's device once more, with another subvolume.
fn again(
    survey: &Survey,
    number: usize,
    subvolume: Option<&str>,
    place: &str,
) -> Result<(), String> {
    let mount = Mount {
        device: &survey.devices[number].node,
        content: &survey.volumes[number].content,
        is_writable: survey.is_writable,
        subvolume,
    };
    mount.at(place).map(drop)
}

/// Mounts what the system's own table says, where it can.
fn add_others(survey: &mut Survey, root: usize) {
    let text = mounts::with_place("/etc/fstab", |place| {
        std::fs::read_to_string(place).map_err(|error| error.to_string())
    });
    let (_, lines) = fstab::read(&text.unwrap_or_default());
    for line in lines {
        let Some(number) = find(survey, &line) else {
            if line.is_expected {
                let text = format!("{} of its /etc/fstab is on none of the disks", line.source);
                survey.missing.push((line.path, text));
            }
            continue;
        };
        if !survey.volumes[number].is_readable {
            let text = format!("its volume cannot be read: {}", survey.volumes[number].note);
            survey.missing.push((line.path, text));
            continue;
        }
        if number == root && line.subvolume.is_none() {
            continue;
        }
        let put = match &line.subvolume {
            Some(option) => mounts::with_place(&line.path, |place| {
                again(survey, number, Some(option), place)
            }),
            None => mounts::show(&folder_of(number), &line.path),
        };
        note_place(survey, number, &line.path, &put);
        if let Err(text) = put {
            survey.missing.push((line.path, text));
        }
    }
}

fn note_place(survey: &mut Survey, number: usize, path: &str, put: &Result<(), String>) -> bool {
    let volume = &mut survey.volumes[number];
    match put {
        Ok(()) if volume.mounted_at.is_none() => volume.mounted_at = Some(path.to_owned()),
        Ok(()) => {}
        Err(error) => volume.note += &format!("not shown at {path}: {error}"),
    }
    put.is_ok()
}

fn find(survey: &Survey, line: &Line) -> Option<usize> {
    let mut numbers = 0..survey.volumes.len();
    numbers.find(|number| {
        let (volume, device) = (&survey.volumes[*number], &survey.devices[*number]);
        let equal = |ours: &str, theirs: &str| !ours.is_empty() && ours == theirs;
        match &line.source {
            Source::Uuid(uuid) => equal(&volume.uuid.to_lowercase(), &uuid.to_lowercase()),
            Source::Label(label) => equal(&volume.label, label),
            Source::PartitionUuid(uuid) => equal(&device.partition_uuid, &uuid.to_lowercase()),
            Source::PartitionLabel(label) => equal(&device.partition_label, label),
            Source::Device(name) => place_of(name).is_some_and(|place| place == volume.place),
        }
    })
}

/// What a name below `/dev` means on the machine that the disks come from: `sda1`, `vdb`,
/// `nvme0n1p2`, `group/name`, `mapper/group-name`.
fn place_of(name: &str) -> Option<VolumePlace> {
    if let Some(mapped) = name.strip_prefix("mapper/") {
        let (group, name) = split_name(mapped)?;
        return Some(VolumePlace::Logical { group, name });
    }
    if let Some((group, name)) = name.split_once('/') {
        return Some(VolumePlace::Logical {
            group: group.into(),
            name: name.into(),
        });
    }
    let (disk, rest) = match name.strip_prefix("nvme") {
        Some(rest) => {
            let (disk, rest) = rest.split_once("n1")?;
            (disk.parse().ok()?, rest.strip_prefix('p').unwrap_or(rest))
        }
        None => {
            let kinds = ["xvd", "sd", "vd", "hd"];
            let rest = kinds.iter().find_map(|kind| name.strip_prefix(kind))?;
            let letter = *rest
                .as_bytes()
                .first()
                .filter(|it| it.is_ascii_lowercase())?;
            (u32::from(letter - b'a'), &rest[1..])
        }
    };
    if rest.is_empty() {
        return Some(VolumePlace::Disk(disk));
    }
    let number = rest.parse().ok()?;
    Some(VolumePlace::Partition { disk, number })
}

fn is_windows(survey: &Survey, number: usize) -> bool {
    let is_ntfs = survey.volumes[number].content == "ntfs";
    is_ntfs && exists(&folder_of(number), "/Windows/System32")
}

/// The drive with Windows is C; other volumes follow in order, but for those it hides itself.
fn give_letters(survey: &mut Survey, windows: usize) {
    let others: Vec<_> = readable(survey)
        .filter(|number| *number != windows && is_drive(survey, *number))
        .collect();
    let drives = [windows].into_iter().chain(others).take(LETTERS);
    for (letter, number) in (FIRST_LETTER..).zip(drives.collect::<Vec<_>>()) {
        survey.volumes[number].letter = Some(letter.into());
    }
}

fn is_drive(survey: &Survey, number: usize) -> bool {
    let known = ["ntfs", "vfat", "exfat"];
    let hidden = ["/EFI", "/bootmgr", "/Recovery/WindowsRE"];
    let folder = folder_of(number);
    known.contains(&&*survey.volumes[number].content)
        && !hidden.iter().any(|path| exists(&folder, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_of_the_old_machine_are_understood() {
        let partition = |disk, number| Some(VolumePlace::Partition { disk, number });
        let logical = |group: &str, name: &str| {
            let (group, name) = (group.into(), name.into());
            Some(VolumePlace::Logical { group, name })
        };
        assert_eq!(place_of("sda1"), partition(0, 1));
        assert_eq!(place_of("vdb12"), partition(1, 12));
        assert_eq!(place_of("xvdc"), Some(VolumePlace::Disk(2)));
        assert_eq!(place_of("nvme1n1p3"), partition(1, 3));
        assert_eq!(place_of("vg/root"), logical("vg", "root"));
        assert_eq!(place_of("mapper/my--vg-root"), logical("my-vg", "root"));
        assert_eq!(place_of("sr0"), None);
        assert_eq!(place_of("sd1"), None);
    }
}
