//! Names as LVM allows them.
//!
//! Source: lvm(8), "VALID NAMES"; the kernel's limit of 127 bytes for a device mapper name.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use lifeboat_model::ParseError;

/// Limit: bytes of a device mapper name.
const MAPPER_BYTES_MAX: usize = 127;
/// What LVM appends to the names of the devices below a volume, at most.
const SUFFIX_BYTES_MAX: usize = 6;

/// How a new volume may not begin.
const RESERVED_STARTS: [&str; 2] = ["snapshot", "pvmove"];
/// What a new volume may not contain.
const RESERVED_PARTS: [&str; 15] = [
    "_cdata", "_cmeta", "_corig", "_cvol", "_iorig", "_mimage", "_mlog", "_pmspare", "_rimage",
    "_rmeta", "_tdata", "_tmeta", "_vdata", "_vorigin", "_wcorig",
];

/// The name of a volume group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupName(String);

/// The name of a volume within its group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeName(String);

/// A volume's name with its group's, as commands take it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullName {
    /// The group.
    pub group: GroupName,
    /// The volume.
    pub volume: VolumeName,
}

const RULE: &str = "use 1 to 127 letters, digits and + _ . -, not starting with -, not . or ..";

fn is_sound(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte);
    (1..=MAPPER_BYTES_MAX).contains(&text.len())
        && text.bytes().all(is_plain)
        && !text.starts_with('-')
        && !matches!(text, "." | "..")
}

impl GroupName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl VolumeName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for GroupName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match is_sound(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseError::new("volume group's name", text, RULE)),
        }
    }
}

impl FromStr for VolumeName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match is_sound(text) {
            true => Ok(Self(text.to_owned())),
            false => Err(ParseError::new("volume's name", text, RULE)),
        }
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for VolumeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.volume)
    }
}

impl FullName {
    /// The name of a volume that is to be made: none that LVM reserves, none too long for the
    /// kernel.
    pub fn for_new(group: &GroupName, volume: &str) -> Result<Self, ParseError> {
        let name = Self {
            group: group.clone(),
            volume: volume.parse()?,
        };
        let is_reserved = RESERVED_STARTS.iter().any(|it| volume.starts_with(it))
            || RESERVED_PARTS.iter().any(|it| volume.contains(it));
        if is_reserved {
            let rule = "LVM keeps names that start with snapshot or pvmove, or hold words as in \
                        _tdata, for itself";
            return Err(ParseError::new("new volume's name", volume, rule));
        }
        if name.mapper_name().len() + SUFFIX_BYTES_MAX > MAPPER_BYTES_MAX {
            let rule = "it and its group's name together are too long for the device mapper";
            return Err(ParseError::new("new volume's name", volume, rule));
        }
        Ok(name)
    }

    /// The device mapper's name: hyphens inside of names are doubled.
    pub(crate) fn mapper_name(&self) -> String {
        let doubled = |name: &str| name.replace('-', "--");
        let (group, volume) = (doubled(&self.group.0), doubled(&self.volume.0));
        format!("{group}-{volume}")
    }

    /// A device that LVM keeps below or beside the volume, as in `-cow` or `_tmeta`.
    pub(crate) fn device_below(&self, suffix: &str) -> PathBuf {
        PathBuf::from(format!("/dev/mapper/{}{suffix}", self.mapper_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_options_or_paths_are_refused() {
        for text in ["vg0", "a.b", "0", "A+_-.z"] {
            assert!(text.parse::<GroupName>().is_ok(), "{text}");
            assert!(text.parse::<VolumeName>().is_ok(), "{text}");
        }
        let long = "x".repeat(128);
        for text in ["", "-f", ".", "..", "a b", "a/b", "é", "[x]", "a\n", &long] {
            assert!(text.parse::<GroupName>().is_err(), "{text}");
            assert!(text.parse::<VolumeName>().is_err(), "{text}");
        }
    }

    #[test]
    fn new_names_leave_lvms_own_alone() {
        let group: GroupName = "vg-0".parse().unwrap();
        let name = FullName::for_new(&group, "web-1").unwrap();
        assert_eq!(name.mapper_name(), "vg--0-web--1");
        assert_eq!(
            name.device_below("-cow").to_str(),
            Some("/dev/mapper/vg--0-web--1-cow")
        );
        for text in [
            "snapshot1",
            "pvmove0",
            "a_tdata",
            &"-a".repeat(60),
            &"a".repeat(116),
        ] {
            assert!(FullName::for_new(&group, text).is_err(), "{text}");
        }
    }
}
