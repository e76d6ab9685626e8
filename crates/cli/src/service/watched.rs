//! The files of the configuration, and whether they are as they were.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use lifeboat_config::{Loaded, SourceFile};

/// Changed at (seconds, nanoseconds), bytes, number of the file; none for what is not there or
/// was not looked at yet.
type Seen = Option<(i64, i64, u64, u64)>;

/// Files, and folders from which files are included.
pub(crate) struct Watched(Vec<(PathBuf, Seen)>);

impl Watched {
    /// What a configuration was read from. Nothing was looked at yet: whatever is written while
    /// it is read is a change.
    pub(crate) fn new<J>(path: &Path, loaded: &Loaded<J>, files: &[SourceFile]) -> Self {
        let mut watched = Self(vec![(path.to_owned(), None)]);
        watched.follow(path, loaded, files);
        watched
    }

    /// Goes on with what it was last read from.
    pub(crate) fn follow<J>(&mut self, path: &Path, loaded: &Loaded<J>, files: &[SourceFile]) {
        let folder = path.parent().unwrap_or(Path::new("."));
        let patterns = loaded.includes.iter().map(|it| folder.join(&it.pattern));
        let folders = patterns.filter_map(|pattern| Some(pattern.parent()?.to_owned()));
        let files = files.iter().map(|file| PathBuf::from(&file.name));
        let mut paths: Vec<PathBuf> = folders.chain(files).chain([path.to_owned()]).collect();
        paths.sort();
        paths.dedup();
        let known = |path: &PathBuf| self.0.iter().find(|it| it.0 == *path).and_then(|it| it.1);
        self.0 = paths
            .into_iter()
            .map(|path| {
                let seen = known(&path);
                (path, seen)
            })
            .collect();
    }

    /// Whether something was written since the last look.
    pub(crate) fn has_changed(&mut self) -> bool {
        let mut has_changed = false;
        for (path, seen) in &mut self.0 {
            let now = look(path);
            has_changed |= *seen != now;
            *seen = now;
        }
        has_changed
    }
}

fn look(path: &Path) -> Seen {
    let about = fs::metadata(path).ok()?;
    Some((about.ctime(), about.ctime_nsec(), about.size(), about.ino()))
}
