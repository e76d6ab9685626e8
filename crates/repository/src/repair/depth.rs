//! How deep a repair follows folders.

use lifeboat_model::ErrorKind;

use crate::{Error, Result};

/// Deepest nesting that is repaired: paths of more folders cannot be used anywhere.
const DEPTH_MAX: u32 = 1024;

/// Errors: `Unsupported` for a place that is nested too deeply.
pub(super) fn require_depth(depth: u32, place: &str) -> Result<()> {
    if depth <= DEPTH_MAX {
        return Ok(());
    }
    let tail = place.char_indices().rev().nth(60).map_or(0, |(at, _)| at);
    let doing = format!(
        "cannot repair the snapshots: \"...{}\" is nested deeper than {DEPTH_MAX} folders; \
         forget the snapshot that holds it",
        &place[tail..]
    );
    Err(Error::new(ErrorKind::Unsupported, doing))
}
