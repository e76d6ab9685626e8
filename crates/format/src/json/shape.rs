//! How much a small file may hold, before it is made into values that cost more than its text.

use crate::{Error, Result};

/// Limit: objects and lists; each costs up to 900 bytes of memory for three bytes of text.
const NESTS_MAX: usize = 1 << 16;

/// Limit: separate values; each costs up to 100 bytes of memory for two bytes of text.
const VALUES_MAX: usize = 1 << 20;

/// Refuses JSON whose values would cost far more than its text.
///
/// Marks inside of strings count too: the limits are far above what real files have.
///
/// Errors: `Corrupt`.
pub(crate) fn require_modest_shape(what: &str, json: &[u8]) -> Result<()> {
    let (mut nests, mut values) = (0, 0);
    for byte in json {
        nests += usize::from(matches!(byte, b'{' | b'['));
        values += usize::from(*byte == b',');
    }
    if nests <= NESTS_MAX && values <= VALUES_MAX {
        return Ok(());
    }
    Err(Error::corrupt(format!(
        "{what} holds {nests} lists and objects and {values} values: more than any sound one"
    )))
}
