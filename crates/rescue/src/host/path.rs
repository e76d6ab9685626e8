//! Paths inside disks, as people write them.

use std::fmt;
use std::str::FromStr;

use lifeboat_model::{ErrorKind, ParseError};

use super::volume::Volume;
use crate::wire::{PATH_BYTES_MAX, Place};
use crate::{Error, Result};

const RULE: &str = "it is /path, C:/path or VOLUME:/path, as in vda1:/etc";

/// A file inside the disks: in the system's own tree (`/etc/fstab`), on a drive of Windows
/// (`C:/Users`), or on one volume (`vda1:/etc`, `vg/root:/etc`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestPath {
    /// Name of a volume, or a drive letter.
    volume: Option<String>,
    /// From the root, with a slash.
    path: Vec<u8>,
}

/// What is meant where the last name of a path is a symbolic link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastLink {
    /// What it leads to.
    Followed,
    /// The link itself.
    Kept,
}

impl GuestPath {
    /// A path in the system's own tree; need not be text.
    pub fn of_system(path: &[u8]) -> Self {
        Self {
            volume: None,
            path: path.to_vec(),
        }
    }

    /// A path on a volume of that name.
    pub fn on_volume(volume: &str, path: &[u8]) -> Self {
        Self {
            volume: Some(volume.into()),
            path: path.to_vec(),
        }
    }

    /// The volume's name, or a drive's letter; none for the system's own tree.
    pub fn volume(&self) -> Option<&str> {
        self.volume.as_deref()
    }

    /// The path from the root of the volume or the system, with a slash.
    pub fn path(&self) -> &[u8] {
        &self.path
    }

    /// The path as a request names it.
    ///
    /// Errors: `NotFound` for a volume that is not there, naming those that are; `Invalid` for a
    /// path longer than Linux has them.
    pub(super) fn place(&self, volumes: &[Volume], last: LastLink) -> Result<Place> {
        if self.path.len() > PATH_BYTES_MAX {
            let seen = format!(
                "a path of {} bytes; at most {PATH_BYTES_MAX} fit",
                self.path.len()
            );
            return Err(Error::new(ErrorKind::Invalid, "looking up", self.to_string()).seen(seen));
        }
        let number = match &self.volume {
            Some(name) => Some(number_of(volumes, name)?),
            None => None,
        };
        Ok(Place {
            volume: number,
            path: self.path.clone(),
            follows_last: last == LastLink::Followed,
        })
    }
}

fn number_of(volumes: &[Volume], wanted: &str) -> Result<u32> {
    let mut letters = wanted.chars();
    let letter = letters.next().filter(|_| letters.next().is_none());
    let letter = letter.map(|letter| letter.to_ascii_uppercase());
    let is_wanted = |it: &Volume| it.name == wanted || letter.is_some() && it.letter == letter;
    if let Some(number) = volumes.iter().position(is_wanted) {
        return Ok(number as u32);
    }
    let names: Vec<_> = volumes.iter().map(|it| it.name.as_str()).collect();
    let seen = format!("there is none; there are {}", names.join(", "));
    Err(Error::new(ErrorKind::NotFound, "finding the volume", wanted).seen(seen))
}

impl FromStr for GuestPath {
    type Err = ParseError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseError> {
        let error = || ParseError::new("path inside a machine", text, RULE);
        let text = text.replace('\\', "/");
        if text.starts_with('/') {
            return Ok(Self::of_system(text.as_bytes()));
        }
        let (volume, path) = text.split_once(':').ok_or_else(error)?;
        let path = if path.is_empty() { "/" } else { path };
        if volume.is_empty() || !path.starts_with('/') {
            return Err(error());
        }
        Ok(Self::on_volume(volume, path.as_bytes()))
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(volume) = &self.volume {
            write!(f, "{volume}:")?;
        }
        f.write_str(&String::from_utf8_lossy(&self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_drives_and_volumes_are_told_apart() {
        for (text, volume, path) in [
            ("/etc/a:b", None, "/etc/a:b"),
            ("C:\\Users\\x", Some("C"), "/Users/x"),
            ("c:", Some("c"), "/"),
            ("vg/root:/etc", Some("vg/root"), "/etc"),
        ] {
            let parsed: GuestPath = text.parse().unwrap();
            assert_eq!(parsed.volume.as_deref(), volume, "{text}");
            assert_eq!(parsed.path, path.as_bytes(), "{text}");
        }
        for text in ["", "etc/passwd", "vda1:etc", ":/etc"] {
            assert!(text.parse::<GuestPath>().is_err(), "{text}");
        }
    }
}
