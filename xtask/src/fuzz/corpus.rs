//! Which inputs stay in the source tree.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What of a corpus is kept in the source tree.
const KEPT_FILES_MAX: usize = 260;
const KEPT_BYTES_MAX: u64 = 290 << 10;

/// Adds the smallest of the merged inputs to the kept ones, as far as there is room.
///
/// What is kept already stays: made by hand or by real programs, it may be larger than inputs that
/// reach the same code, and other tests read it.
pub(super) fn keep_smallest(merged: &Path, kept: &Path) -> Result<()> {
    fs::create_dir_all(kept).context("making a folder for inputs")?;
    let there = sizes(kept)?;
    let (mut files, mut bytes) = (there.len(), there.iter().map(|it| it.0).sum::<u64>());
    let mut inputs = sizes(merged)?;
    inputs.retain(|(_, name)| there.iter().all(|it| it.1 != *name));
    inputs.sort();
    for (size, name) in inputs {
        (files, bytes) = (files + 1, bytes + size);
        if files > KEPT_FILES_MAX || bytes > KEPT_BYTES_MAX {
            break;
        }
        fs::copy(merged.join(&name), kept.join(&name)).context("keeping an input")?;
    }
    Ok(())
}

/// Sizes in bytes and names of the files of a folder.
fn sizes(folder: &Path) -> Result<Vec<(u64, OsString)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).context("listing inputs")? {
        let entry = entry.context("listing inputs")?;
        let size = entry.metadata().context("looking at an input")?.len();
        found.push((size, entry.file_name()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_stays_and_small_ones_join_it() {
        let [merged, kept] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        fs::write(kept.path().join("seed"), vec![0; 5000]).unwrap();
        fs::write(merged.path().join("small"), [1]).unwrap();
        fs::write(merged.path().join("large"), vec![2; 300 << 10]).unwrap();
        keep_smallest(merged.path(), kept.path()).unwrap();
        let mut names: Vec<_> = sizes(kept.path()).unwrap();
        names.sort();
        assert_eq!(names, [(1, "small".into()), (5000, "seed".into())]);
    }
}
