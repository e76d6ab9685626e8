//! The table of a system's file systems.
//!
//! Source: fstab(5).

use std::fmt;

/// A line that puts a volume somewhere below the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) source: Source,
    /// Where: an absolute path, not the root itself.
    pub(super) path: String,
    /// The option that chooses a subvolume of btrfs.
    pub(super) subvolume: Option<String>,
    /// The system has it whenever it runs; not so with media that come and go.
    pub(super) is_expected: bool,
}

/// How a line names its volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Uuid(String),
    Label(String),
    PartitionUuid(String),
    PartitionLabel(String),
    /// A file below `/dev`, without that.
    Device(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(value) => write!(f, "UUID={value}"),
            Self::Label(value) => write!(f, "LABEL={value}"),
            Self::PartitionUuid(value) => write!(f, "PARTUUID={value}"),
            Self::PartitionLabel(value) => write!(f, "PARTLABEL={value}"),
            Self::Device(name) => write!(f, "/dev/{name}"),
        }
    }
}

/// Beginnings of the names of drives whose media come and go.
const DRIVES: [&str; 5] = ["sr", "fd", "cdrom", "dvd", "floppy"];

/// The root's subvolume, and all lines that matter, shorter paths first.
pub(super) fn read(text: &str) -> (Option<String>, Vec<Line>) {
    let mut root = None;
    let mut lines = Vec::new();
    for line in text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
    {
        let mut words = line.split_whitespace();
        let (Some(source), Some(path)) = (words.next(), words.next()) else {
            continue;
        };
        let (kind, options) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let subvolume = options
            .split(',')
            .find(|option| option.starts_with("subvol=") || option.starts_with("subvolid="))
            .map(str::to_owned);
        let path = unescaped(path);
        if path == "/" {
            root = subvolume;
            continue;
        }
        let is_bind = options.split(',').any(|it| it == "bind" || it == "rbind");
        if let (Some(source), true) = (source_of(source), path.starts_with('/') && !is_bind)
            && kind != "swap"
        {
            let is_drive = matches!(&source, Source::Device(name)
                if DRIVES.iter().any(|drive| name.starts_with(drive)));
            let is_automatic = !options.split(',').any(|it| it == "noauto");
            lines.push(Line {
                source,
                path,
                subvolume,
                is_expected: is_automatic && !is_drive,
            });
        }
    }
    lines.sort_by_key(|line| line.path.split('/').count());
    (root, lines)
}

fn source_of(text: &str) -> Option<Source> {
    let text = unescaped(text);
    if let Some((tag, value)) = text.split_once('=') {
        let value = value.trim_matches('"').to_owned();
        return match tag {
            "UUID" => Some(Source::Uuid(value)),
            "LABEL" => Some(Source::Label(value)),
            "PARTUUID" => Some(Source::PartitionUuid(value)),
            "PARTLABEL" => Some(Source::PartitionLabel(value)),
            _ => None,
        };
    }
    let device = text.strip_prefix("/dev/")?;
    let by = |folder: &str| device.strip_prefix(folder).map(str::to_owned);
    let named = by("disk/by-uuid/")
        .map(Source::Uuid)
        .or_else(|| by("disk/by-label/").map(Source::Label))
        .or_else(|| by("disk/by-partuuid/").map(Source::PartitionUuid))
        .or_else(|| by("disk/by-partlabel/").map(Source::PartitionLabel));
    Some(named.unwrap_or_else(|| Source::Device(device.into())))
}

/// Spaces and such are written as three octal digits.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|_| first == b'\\');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_mount_volumes_are_read() {
        let text = "# comment\n\
            UUID=11 / btrfs subvol=@,noatime 0 1\n\
            /dev/vg/data /srv/my\\040data xfs defaults 0 2\n\
            LABEL=\"BOOT\" /boot ext4\n\
            UUID=22 none swap sw 0 0\n\
            /dev/sda3 swap swap sw 0 0\n\
            /srv /mnt none bind\n\
            tmpfs /tmp tmpfs defaults\n\
            //server/x /net cifs defaults\n\
            UUID=11 /home btrfs subvol=@home\n\
            /dev/sr0 /media/cdrom0 udf,iso9660 user,noauto\n\
            /dev/disk/by-uuid/33 /boot/efi vfat\n";
        let (root, lines) = read(text);
        assert_eq!(root.as_deref(), Some("subvol=@"));
        let found: Vec<_> = lines.iter().map(|it| (&it.source, &it.path[..])).collect();
        let wanted = [
            (&Source::Label("BOOT".into()), "/boot"),
            (&Source::Uuid("11".into()), "/home"),
            (&Source::Device("vg/data".into()), "/srv/my data"),
            (&Source::Device("sr0".into()), "/media/cdrom0"),
            (&Source::Uuid("33".into()), "/boot/efi"),
        ];
        assert_eq!(found, wanted);
        assert_eq!(lines[1].subvolume.as_deref(), Some("subvol=@home"));
        let expected: Vec<_> = lines.iter().map(|it| it.is_expected).collect();
        assert_eq!(expected, [true, true, true, false, true]);
    }
}
