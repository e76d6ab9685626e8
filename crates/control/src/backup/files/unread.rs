//! What could not be read.

use lifeboat_rescue::{Rescue, Volume};

use crate::job::{FilesJob, shown};

/// Told one by one; more are only counted.
const TOLD_MAX: usize = 100;
/// Volumes with this hold no files, and are not expected to.
const WITHOUT_FILES: [&str; 3] = ["", "swap", "LVM2_member"];

/// Things that could not be read, or not in full.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread {
    told: Vec<String>,
    count: u64,
}

impl Unread {
    /// Notes what was seen at a path from the root.
    pub(super) fn add(&mut self, path: &[u8], seen: &str) {
        self.push(&shown(path), seen);
    }

    fn push(&mut self, what: &str, seen: &str) {
        self.count += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(plain(&format!("{what}: {seen}")));
        }
    }

    /// Notes what of the system's tree is not there, as far as it is wanted.
    pub(super) fn survey(&mut self, rescue: &Rescue, files: &FilesJob) {
        if !files.mounts.is_empty() {
            return;
        }
        for (path, seen) in rescue.missing() {
            if !files.leaves_out(path) {
                self.push(&shown(path.as_bytes()), seen);
            }
        }
        if files.sources != ["/"] {
            return;
        }
        let is_broken = |it: &&Volume| {
            let holds_files = !WITHOUT_FILES.contains(&it.content.as_str());
            !it.is_readable && holds_files && it.mounted_at.is_none()
        };
        for volume in rescue.volumes().iter().filter(is_broken) {
            let what = format!("volume {} ({})", volume.name, volume.content);
            self.push(&what, &volume.note);
        }
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn first(&self) -> Option<&str> {
        self.told.first().map(String::as_str)
    }

    /// The lines to tell.
    pub(super) fn told(mut self) -> Vec<String> {
        let more = self.count - self.told.len() as u64;
        if more > 0 {
            self.told.push(format!("and {more} more"));
        }
        self.told
    }
}

/// Volumes with files that are nowhere in the system's tree, and so are not stored.
pub(super) fn left_aside(rescue: &Rescue, files: &FilesJob) -> Vec<String> {
    if !files.mounts.is_empty() || files.sources != ["/"] {
        return Vec::new();
    }
    let volumes = rescue.volumes().iter();
    let aside = volumes.filter(|it| it.is_readable && it.mounted_at.is_none());
    aside
        .map(|it| {
            plain(&format!(
                "the volume {} ({}) is nowhere in the system's tree and is left out; \
                 [files.mount] of a job puts it somewhere",
                it.name, it.content
            ))
        })
        .collect()
}

/// A text from inside, without what would steer a terminal.
fn plain(text: &str) -> String {
    let letters = text.chars().map(|letter| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_a_hundred_are_told_in_plain_text() {
        let mut unread = Unread::default();
        unread.add(b"", "a\u{1b}[2Jb");
        for number in 0..200 {
            unread.add(format!("/\n\\xff{number}").as_bytes(), "gone");
        }
        assert_eq!(unread.count(), 201);
        assert_eq!(unread.first(), Some("/: a\\u{1b}[2Jb"));
        let told = unread.told();
        assert_eq!((told.len(), &told[100][..]), (101, "and 101 more"));
        assert_eq!(told[1], "/\\n\\\\xff0: gone");
    }
}
