//! Which member of an archive is which file of a repository.

use lifeboat_model::Id;

use crate::{FileHandle, FileKind};

/// Folders of a repository, as restic lays it out.
pub(super) const FOLDERS: [&str; 5] = ["keys/", "locks/", "snapshots/", "index/", "data/"];

/// The member that holds `file`; its folder for packs comes from [`pack_folder`].
pub(super) fn name(file: FileHandle) -> String {
    let folder = match file.kind {
        FileKind::Config => return "config".to_owned(),
        FileKind::Key => "keys/",
        FileKind::Lock => "locks/",
        FileKind::Snapshot => "snapshots/",
        FileKind::Index => "index/",
        FileKind::Pack => return format!("{}{}", pack_folder(file.id), file.id),
    };
    format!("{folder}{}", file.id)
}

/// The folder of a pack: one of 256 by its first byte.
pub(super) fn pack_folder(id: Id) -> String {
    format!("data/{:02x}/", id.0[0])
}

/// The file that a member holds; nothing for everything that is no file of a repository.
pub(super) fn file(name: &[u8]) -> Option<FileHandle> {
    let name = name.strip_prefix(b"./").unwrap_or(name);
    if name == b"config" {
        return Some(FileHandle::CONFIG);
    }
    let (folder, digits) = name.split_at(name.iter().rposition(|byte| *byte == b'/')? + 1);
    let id = Id::from_hex(digits)?;
    let kind = match folder {
        b"keys/" => FileKind::Key,
        b"locks/" => FileKind::Lock,
        b"snapshots/" => FileKind::Snapshot,
        b"index/" => FileKind::Index,
        _ if folder == pack_folder(id).as_bytes() => FileKind::Pack,
        _ => return None,
    };
    Some(FileHandle::new(kind, id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_one_name() {
        let id = Id([0xab; 32]);
        for kind in FileKind::ALL {
            let id = if kind == FileKind::Config {
                Id::default()
            } else {
                id
            };
            let handle = FileHandle::new(kind, id);
            assert_eq!(file(name(handle).as_bytes()), Some(handle), "{kind}");
            assert_eq!(file(format!("./{}", name(handle)).as_bytes()), Some(handle));
        }
        let digits = id.to_string();
        for foreign in [
            format!("data/cd/{digits}"),
            format!("/keys/{digits}"),
            format!("x/../keys/{digits}"),
            "keys/".to_owned(),
            "README".to_owned(),
            String::new(),
        ] {
            assert_eq!(file(foreign.as_bytes()), None, "{foreign}");
        }
    }
}
