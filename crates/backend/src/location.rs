//! Where a repository is, as people write it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use lifeboat_model::ErrorKind;

use crate::{Backend, Doing, Error, Local, Result};

/// A place that can keep a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A directory of this machine, mounted ones included.
    Local(PathBuf),
}

/// Ways of restic and rustic to write other places.
const OTHER_SCHEMES: [&str; 10] = [
    "sftp", "s3", "rest", "rclone", "b2", "gs", "azure", "swift", "opendal", "ssh",
];

impl Location {
    /// Reads `/srv/backup`, `local:/srv/backup` or `backup` (below the current directory).
    ///
    /// Errors: `Unsupported` for places known to restic but not here yet; `Invalid`.
    /// The text is never repeated in an error: it may hold a password.
    pub fn parse(text: &str) -> Result<Self> {
        let error = |kind, seen: &str| Error::new(kind, Doing::ParseLocation, "").seen(seen);
        let colon = text.find(':').filter(|end| !text[..*end].contains('/'));
        let path = match colon.map(|end| (&text[..end], &text[end + 1..])) {
            None => text,
            Some(("local", path)) => path,
            Some((scheme, _)) if OTHER_SCHEMES.contains(&scheme) => {
                let seen = format!(
                    "{scheme}: is not supported yet; use a directory, for example one that is \
                     mounted from there"
                );
                return Err(error(ErrorKind::Unsupported, &seen));
            }
            Some(_) => {
                let seen = "the part before the colon is no known kind of place; write \
                            local:PATH for a directory with a colon in its name";
                return Err(error(ErrorKind::Invalid, seen));
            }
        };
        if path.is_empty() || path.contains('\0') {
            let seen = "no directory is named; write an absolute path like /srv/backup";
            return Err(error(ErrorKind::Invalid, seen));
        }
        Ok(Self::Local(PathBuf::from(path)))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Makes a place usable; whether a repository is there shows with the first call.
pub fn open(location: &Location) -> Result<Arc<dyn Backend>> {
    match location {
        Location::Local(path) => Ok(Arc::new(Local::open(path)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_understood() {
        for (text, path) in [
            ("/srv/backup", "/srv/backup"),
            ("local:/srv/backup", "/srv/backup"),
            ("local:a:b", "a:b"),
            ("/srv/a:b", "/srv/a:b"),
            ("backup", "backup"),
        ] {
            assert_eq!(Location::parse(text).unwrap(), Location::Local(path.into()));
        }
    }

    #[test]
    fn other_places_are_refused_without_showing_a_secret() {
        for (text, kind) in [
            ("s3:https://key:geheim@host/bucket", ErrorKind::Unsupported),
            ("sftp:user@host:/path", ErrorKind::Unsupported),
            ("rest:https://u:geheim@host/", ErrorKind::Unsupported),
            ("ftp:geheim", ErrorKind::Invalid),
            ("", ErrorKind::Invalid),
            ("local:", ErrorKind::Invalid),
        ] {
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(!format!("{error:?} {error}").contains("geheim"), "{text}");
        }
    }
}
