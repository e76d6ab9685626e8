//! How deep a repair follows folders.

use lifeboat_format::TREE_DEPTH_MAX;
use lifeboat_model::ErrorKind;

use crate::{Error, Result};

/// Errors: `Unsupported` for a place that is nested too deeply.
pub(super) fn require_depth(depth: u32, place: &str) -> Result<()> {
    if depth <= TREE_DEPTH_MAX {
        return Ok(());
    }
    let tail = place.char_indices().rev().nth(60).map_or(0, |(at, _)| at);
    let doing = format!(
        "cannot repair the snapshots: \"...{}\" is nested deeper than {TREE_DEPTH_MAX} folders; \
         forget the snapshot that holds it",
        &place[tail..]
    );
    Err(Error::new(ErrorKind::Unsupported, doing))
}
