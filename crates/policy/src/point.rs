//! What keep rules look at.

use jiff::Zoned;
use jiff::tz::TimeZone;

/// A moment one can return to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveryPoint<T> {
    /// When it was made, on the clock of the place where it was made. See [`localized`].
    pub time: Zoned,
    /// Whose it is.
    pub host: String,
    /// What it covers.
    pub paths: Vec<String>,
    /// Marks that people gave it.
    pub tags: Vec<String>,
    /// What the caller knows it by.
    pub key: T,
}

impl<T> RecoveryPoint<T> {
    /// Says whether it has all of `tags`; the empty tag stands for having none.
    pub fn has_tags(&self, tags: &[String]) -> bool {
        for tag in tags {
            if tag.is_empty() && self.tags.is_empty() {
                return true;
            }
            if !self.tags.contains(tag) {
                return false;
            }
        }
        true
    }
}

/// Puts a stored time, which has only an offset, into the zone it most likely comes from.
///
/// Where `local` had the same offset at that moment, days are counted back over the changes
/// of `local`'s clocks, else by the stored offset alone. Hours, days and weeks are the same.
///
/// Source: Go reads a stored time so, and restic takes it as it comes.
pub fn localized(time: &Zoned, local: &TimeZone) -> Zoned {
    let is_utc = *time.time_zone() == TimeZone::UTC;
    if !is_utc && local.to_offset(time.timestamp()) == time.offset() {
        time.with_time_zone(local.clone())
    } else {
        time.clone()
    }
}
