//! Which inputs stay in the source tree.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What of a corpus is kept in the source tree.
const KEPT_FILES_MAX: usize = 190;
const KEPT_BYTES_MAX: u64 = 290 << 10;

/// Replaces the kept inputs by the smallest of the merged ones.
pub(super) fn keep_smallest(merged: &Path, kept: &Path) -> Result<()> {
    let mut inputs = Vec::new();
    for entry in fs::read_dir(merged).context("listing inputs")? {
        let entry = entry.context("listing inputs")?;
        let size = entry.metadata().context("looking at an input")?.len();
        inputs.push((size, entry.file_name()));
    }
    inputs.sort();
    fs::remove_dir_all(kept).context("removing old inputs")?;
    fs::create_dir_all(kept).context("making a folder for inputs")?;
    let mut bytes = 0;
    for (size, name) in inputs.into_iter().take(KEPT_FILES_MAX) {
        bytes += size;
        if bytes > KEPT_BYTES_MAX {
            break;
        }
        fs::copy(merged.join(&name), kept.join(&name)).context("keeping an input")?;
    }
    Ok(())
}
