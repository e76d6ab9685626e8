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
    /// Reads a path as it was typed; names in it need not be text. A backslash is that of Windows
    /// where the path begins with one, else a part of a name.
    pub fn parse(typed: &[u8]) -> std::result::Result<Self, ParseError> {
        let error = || {
            ParseError::new(
                "path inside a machine",
                &String::from_utf8_lossy(typed),
                RULE,
            )
        };
        if matches!(typed.first(), Some(b'/' | b'\\')) {
            return Ok(Self::of_system(&slashes(typed)));
        }
        let at = typed.iter().position(|byte| *byte == b':');
        let (volume, path) = typed.split_at(at.ok_or_else(error)?);
        let volume = std::str::from_utf8(volume).map_err(|_| error())?;
        let path = match &path[1..] {
            [] => b"/".to_vec(),
            path => slashes(path),
        };
        if volume.is_empty() || path.first() != Some(&b'/') {
            return Err(error());
        }
        Ok(Self::on_volume(volume, &path))
    }

    /// What is at `name` below this folder.
    pub fn below(&self, name: &[u8]) -> Self {
        let mut path = self.path.clone();
        if path.last() != Some(&b'/') {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        Self {
            volume: self.volume.clone(),
            path,
        }
    }

    /// The path as it is typed.
    pub fn typed(&self) -> Vec<u8> {
        let mut typed = Vec::new();
        if let Some(volume) = &self.volume {
            typed.extend_from_slice(volume.as_bytes());
            typed.push(b':');
        }
        typed.extend_from_slice(&self.path);
        typed
    }

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
        Self::parse(text.as_bytes())
    }
}

/// The path with slashes, if it is written as on Windows.
fn slashes(path: &[u8]) -> Vec<u8> {
    let mut path = path.to_vec();
    if path.first() == Some(&b'\\') {
        for byte in path.iter_mut().filter(|byte| **byte == b'\\') {
            *byte = b'/';
        }
    }
    path
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
            ("/etc/system\\x2dcrypt", None, "/etc/system\\x2dcrypt"),
        ] {
            let parsed: GuestPath = text.parse().unwrap();
            assert_eq!(parsed.volume.as_deref(), volume, "{text}");
            assert_eq!(parsed.path, path.as_bytes(), "{text}");
        }
        let odd = GuestPath::parse(b"vda1:/srv").unwrap().below(b"\xff");
        assert_eq!(odd.typed(), b"vda1:/srv/\xff");
        assert_eq!(GuestPath::parse(&odd.typed()).unwrap(), odd);
        for text in ["", "etc/passwd", "vda1:etc", ":/etc"] {
            assert!(text.parse::<GuestPath>().is_err(), "{text}");
        }
    }
}
