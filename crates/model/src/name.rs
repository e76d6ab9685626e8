//! Names that people give to machines and disks.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// The name of a machine as people know it: 1 to 255 bytes.
///
/// Any character but control characters and `/`; no leading `-` or `.`, no space at either end.
/// Such a name is safe as an argument, as a file name and as a restic host name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VmName(String);

/// The name of a disk inside its machine, as in `vda`: 1 to 200 bytes, rules as for [`VmName`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskName(String);

const RULE: &str = "use 1 to 255 bytes (a disk: 200) without '/' or control characters, \
                    not starting with '-' or '.', no space at either end";

fn is_sound(text: &str, bytes_max: usize) -> bool {
    let edges = text.starts_with(['-', '.']) || text.trim() != text;
    !text.is_empty()
        && text.len() <= bytes_max
        && !edges
        && !text.contains(|c: char| c == '/' || c.is_control())
}

impl VmName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DiskName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for VmName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if is_sound(text, 255) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new("machine name", text, RULE))
        }
    }
}

impl FromStr for DiskName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if is_sound(text, 200) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ParseError::new("disk name", text, RULE))
        }
    }
}

impl fmt::Display for VmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for DiskName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_names_follow_their_rule() {
        for name in ["web01", "Büro Server 3", "a", "db;$(reboot)", "x'\"y"] {
            assert!(name.parse::<VmName>().is_ok(), "{name}");
        }
        for name in ["", "-rf", "..", "a/b", "a\nb", " a", "a ", &"x".repeat(256)] {
            assert!(name.parse::<VmName>().is_err(), "{name}");
        }
    }
}
