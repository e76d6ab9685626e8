//! A disk and what has not reached it yet.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lifeboat_backend::SystemCall;

use super::CrashState;
use super::image::{Entry, Image};

/// Of so many changes of names that were not synced, every combination is tried.
const COMBINED_MAX: usize = 4;

/// Of more changes than that, so many are lost alone and kept alone.
const ALONE_MAX: usize = 12;

/// What a name leads to.
#[derive(Clone, Debug)]
enum Name {
    Directory,
    /// A file that was there before.
    Old(Arc<[u8]>),
    /// A file of the journal.
    New(u64),
}

/// A change of one directory; both paths lie in it.
#[derive(Clone, Debug)]
struct Change {
    removed: Option<Arc<Path>>,
    set: Option<(Arc<Path>, Name)>,
}

impl Change {
    fn directory(&self) -> Option<&Path> {
        let set = self.set.as_ref().map(|(path, _)| path);
        set.or(self.removed.as_ref())?.parent()
    }

    fn apply(&self, names: &mut Names) {
        if let Some(path) = &self.removed {
            names.remove(path);
        }
        if let Some((path, name)) = &self.set {
            names.insert(Arc::clone(path), name.clone());
        }
    }
}

type Names = BTreeMap<Arc<Path>, Name>;

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    is_synced: bool,
}

/// How much of a content that was not synced is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tear {
    Whole,
    Empty,
    Half,
    AllButOne,
    /// The size is right, the bytes never came.
    Zeros,
    /// The first half came.
    HalfZeros,
}

impl Tear {
    const ALL: [Self; 6] = [
        Self::Whole,
        Self::Empty,
        Self::Half,
        Self::AllButOne,
        Self::Zeros,
        Self::HalfZeros,
    ];

    fn of(self, bytes: &[u8]) -> Arc<[u8]> {
        let (half, length) = (bytes.len() / 2, bytes.len());
        let kept = match self {
            Self::Whole | Self::AllButOne => length,
            Self::Empty | Self::Zeros => 0,
            Self::Half | Self::HalfZeros => half,
        };
        let mut torn = bytes[..kept].to_vec();
        match self {
            Self::AllButOne => drop(torn.pop()),
            Self::Zeros | Self::HalfZeros => torn.resize(length, 0),
            Self::Whole | Self::Empty | Self::Half => {}
        }
        torn.into()
    }
}

/// Names and contents, durable ones and others.
#[derive(Debug)]
pub(super) struct Disk {
    base: PathBuf,
    durable: Names,
    /// Not synced, oldest first.
    pending: Vec<Change>,
    contents: BTreeMap<u64, Content>,
}

impl Disk {
    pub(super) fn new(before: &Image, base: &Path) -> Self {
        let named = before.entries.iter().map(|(path, entry)| {
            let name = match entry {
                Entry::Directory => Name::Directory,
                Entry::File(content) => Name::Old(Arc::clone(content)),
            };
            (Arc::clone(path), name)
        });
        Self {
            base: base.to_owned(),
            durable: named.collect(),
            pending: Vec::new(),
            contents: BTreeMap::new(),
        }
    }

    /// Does what the call did; says it for people.
    pub(super) fn apply(&mut self, call: &SystemCall) -> String {
        match call {
            SystemCall::CreateDirectory { path } => {
                let path = self.relative(path);
                let shown = format!("create directory {}", path.display());
                self.change(None, Some((path, Name::Directory)));
                shown
            }
            SystemCall::CreateFile { path, file } => {
                let path = self.relative(path);
                let shown = format!("create {}", path.display());
                self.contents.insert(*file, Content::default());
                self.change(None, Some((path, Name::New(*file))));
                shown
            }
            SystemCall::Write { file, content } => {
                let written = self.contents.entry(*file).or_default();
                written.bytes.extend_from_slice(content);
                written.is_synced = false;
                format!("write {} bytes", content.len())
            }
            SystemCall::SyncFile { file } => {
                self.contents.entry(*file).or_default().is_synced = true;
                "sync file".to_owned()
            }
            SystemCall::Rename { source, target } => {
                let (source, target) = (self.relative(source), self.relative(target));
                let shown = format!("rename to {}", target.display());
                let name = self.names(&vec![true; self.pending.len()]).remove(&source);
                let name = name.unwrap_or_else(|| panic!("{shown}: the source has no name"));
                self.change(Some(source), Some((target, name)));
                shown
            }
            SystemCall::SyncDirectory { path } => {
                let path = self.relative(path);
                self.sync(&path);
                format!("sync directory {}", path.display())
            }
            SystemCall::Unlink { path } => {
                let path = self.relative(path);
                let shown = format!("unlink {}", path.display());
                self.change(Some(path), None);
                shown
            }
        }
    }

    /// Every state a crash may leave now.
    pub(super) fn states(&self) -> Vec<CrashState> {
        let mut states = Vec::new();
        for kept in combinations(self.pending.len()) {
            let names = self.visible(&kept);
            let open: Vec<u64> = names
                .values()
                .filter_map(|name| match name {
                    Name::New(file) if !self.contents[file].is_synced => Some(*file),
                    _ => None,
                })
                .collect();
            let lost = kept.iter().filter(|is_kept| !**is_kept).count();
            for tears in tears(&open) {
                let is_torn = tears.values().any(|tear| *tear != Tear::Whole);
                let torn: Vec<Tear> = tears.values().copied().collect();
                states.push(CrashState {
                    image: self.image(&names, &tears),
                    when: format!(
                        "{lost} of {} changes of names lost, open contents {torn:?}",
                        kept.len()
                    ),
                    is_power_loss: lost > 0 || is_torn,
                });
            }
        }
        states
    }

    fn relative(&self, path: &Path) -> Arc<Path> {
        // What lies above the base is not part of the image, and is there.
        path.strip_prefix(&self.base)
            .unwrap_or(Path::new(".."))
            .into()
    }

    fn change(&mut self, removed: Option<Arc<Path>>, set: Option<(Arc<Path>, Name)>) {
        self.pending.push(Change { removed, set });
    }

    fn sync(&mut self, directory: &Path) {
        let durable = &mut self.durable;
        self.pending.retain(|change| {
            let is_synced = change.directory() == Some(directory);
            if is_synced {
                change.apply(durable);
            }
            !is_synced
        });
    }

    fn names(&self, kept: &[bool]) -> Names {
        let mut names = self.durable.clone();
        let changes = self.pending.iter().zip(kept);
        for (change, _) in changes.filter(|(_, is_kept)| **is_kept) {
            change.apply(&mut names);
        }
        names
    }

    /// The names that can be reached from the base.
    fn visible(&self, kept: &[bool]) -> Names {
        let mut visible = Names::new();
        for (path, name) in self.names(kept) {
            let parent = path.parent().unwrap_or(Path::new(""));
            let is_there =
                parent == Path::new("") || matches!(visible.get(parent), Some(Name::Directory));
            if is_there {
                visible.insert(path, name);
            }
        }
        visible
    }

    fn image(&self, names: &Names, tears: &BTreeMap<u64, Tear>) -> Image {
        let entries = names.iter().map(|(path, name)| {
            let entry = match name {
                Name::Directory => Entry::Directory,
                Name::Old(content) => Entry::File(Arc::clone(content)),
                Name::New(file) => {
                    let tear = tears.get(file).copied().unwrap_or(Tear::Whole);
                    Entry::File(tear.of(&self.contents[file].bytes))
                }
            };
            (Arc::clone(path), entry)
        });
        Image {
            entries: entries.collect(),
        }
    }
}

/// Which of `count` changes reached the disk; everything first.
fn combinations(count: usize) -> Vec<Vec<bool>> {
    if count <= COMBINED_MAX {
        let masks = (0..1usize << count).rev();
        return masks
            .map(|mask| (0..count).map(|bit| mask >> bit & 1 == 1).collect())
            .collect();
    }
    let mut all = vec![vec![true; count], vec![false; count]];
    for number in 0..ALONE_MAX.min(count) {
        let at = number * (count - 1) / (ALONE_MAX.min(count) - 1);
        for others in [true, false] {
            let mut kept = vec![others; count];
            kept[at] = !others;
            all.push(kept);
        }
    }
    all
}

/// How contents that were not synced may be torn: two in every combination, more all alike.
fn tears(open: &[u64]) -> Vec<BTreeMap<u64, Tear>> {
    match open {
        [one, other] => Tear::ALL
            .iter()
            .flat_map(|first| Tear::ALL.map(|second| [(*one, *first), (*other, second)].into()))
            .collect(),
        [] => vec![BTreeMap::new()],
        _ => Tear::ALL
            .iter()
            .map(|tear| open.iter().map(|file| (*file, *tear)).collect())
            .collect(),
    }
}
