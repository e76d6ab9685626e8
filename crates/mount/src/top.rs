//! What is at the top: one folder inside disks, or folders of our own that lead to volumes.

use std::collections::BTreeMap;

use lifeboat_rescue::GuestPath;

use crate::source::Shown;

/// A folder inside disks that is shown.
#[derive(Debug)]
pub(crate) struct Root {
    volume: Option<String>,
    base: Vec<u8>,
}

impl Root {
    /// A path below it, as the source has it.
    pub(crate) fn path(&self, below: &[u8]) -> GuestPath {
        let mut path = self.base.clone();
        path.extend(below);
        if below.is_empty() {
            // Also where the folder was named by a symbolic link.
            path.extend(b"/.");
        }
        match &self.volume {
            Some(volume) => GuestPath::on_volume(volume, &path),
            None => GuestPath::of_system(&path),
        }
    }
}

/// Where a name at the top leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A folder of our own, by number.
    Own(usize),
    /// A folder inside disks, by number of its root.
    Root(usize),
}

/// All roots and the folders that lead to them.
#[derive(Debug, Default)]
pub(crate) struct Top {
    pub(crate) roots: Vec<Root>,
    folders: Vec<BTreeMap<Vec<u8>, Step>>,
}

impl Top {
    pub(crate) fn of(shown: Shown) -> Self {
        match shown {
            Shown::Folder { volume, mut path } => {
                while path.last() == Some(&b'/') {
                    path.pop();
                }
                let root = Root { volume, base: path };
                Self {
                    roots: vec![root],
                    folders: Vec::new(),
                }
            }
            Shown::Volumes(names) => {
                let mut top = Self {
                    folders: vec![BTreeMap::new()],
                    ..Self::default()
                };
                names.into_iter().for_each(|name| top.add(name));
                top
            }
        }
    }

    /// Where the mount begins.
    pub(crate) fn begin(&self) -> Step {
        match self.folders.is_empty() {
            true => Step::Root(0),
            false => Step::Own(0),
        }
    }

    /// What is in a folder of our own.
    pub(crate) fn folder(&self, number: usize) -> &BTreeMap<Vec<u8>, Step> {
        &self.folders[number]
    }

    /// Volumes name themselves: names that are none, or in the way of others, are left out.
    fn add(&mut self, name: String) {
        let parts: Vec<&str> = name.split('/').collect();
        let is_plain = |part: &&str| !matches!(*part, "" | "." | "..") && !part.contains('\0');
        let Some((last, above)) = parts.split_last().filter(|_| parts.iter().all(is_plain)) else {
            return;
        };
        let mut folder = 0;
        for part in above {
            let next = Step::Own(self.folders.len());
            let step = *self.folders[folder]
                .entry(part.as_bytes().to_vec())
                .or_insert(next);
            let Step::Own(number) = step else { return };
            if step == next {
                self.folders.push(BTreeMap::new());
            }
            folder = number;
        }
        let last = last.as_bytes().to_vec();
        if self.folders[folder].contains_key(&last) {
            return;
        }
        self.folders[folder].insert(last, Step::Root(self.roots.len()));
        self.roots.push(Root {
            volume: Some(name),
            base: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_become_folders_and_hostile_names_none() {
        let names = [
            "vda1", "vg/root", "vg/home", "vda1/x", "vg", "../etc", "a//b", "vda1",
        ];
        let top = Top::of(Shown::Volumes(names.map(String::from).to_vec()));
        let names = |number: usize| -> Vec<_> { top.folder(number).keys().cloned().collect() };
        assert_eq!(names(0), [b"vda1".to_vec(), b"vg".to_vec()]);
        let Step::Own(group) = top.folder(0)[&b"vg"[..]] else {
            panic!("vg is no folder");
        };
        assert_eq!(names(group), [b"home".to_vec(), b"root".to_vec()]);
        assert_eq!(top.roots.len(), 3);
        assert_eq!(top.roots[1].path(b"/etc").to_string(), "vg/root:/etc");
    }

    #[test]
    fn one_folder_is_the_top() {
        let path = b"/srv/".to_vec();
        let top = Top::of(Shown::Folder { volume: None, path });
        assert_eq!(top.begin(), Step::Root(0));
        assert_eq!(top.roots[0].path(b"").to_string(), "/srv/.");
        assert_eq!(top.roots[0].path(b"/a").to_string(), "/srv/a");
    }
}
