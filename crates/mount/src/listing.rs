//! Folders as they were listed: for whoever has one open, and for lookups that follow.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::node::{Facts, Place};

/// Entries kept for lookups, in all folders together; about 200 bytes each.
const KEPT_MAX: usize = 200_000;

/// What is in a folder, sorted by the bytes of names.
pub(crate) type Listing = Arc<Vec<(Box<[u8]>, Facts)>>;

/// Listings of open folders, and the latest others.
#[derive(Debug, Default)]
pub(crate) struct Listings {
    open: HashMap<u64, Listing>,
    next_handle: u64,
    kept: VecDeque<(Place, Listing)>,
    kept_entries: usize,
}

impl Listings {
    /// A kept listing, which counts as new again.
    pub(crate) fn kept(&mut self, place: &Place) -> Option<Listing> {
        let at = self.kept.iter().position(|(kept, _)| kept == place)?;
        let found = self.kept.remove(at)?;
        let listing = Arc::clone(&found.1);
        self.kept.push_back(found);
        Some(listing)
    }

    /// Keeps a listing as long as there is room; one that is larger than all room is not kept.
    pub(crate) fn keep(&mut self, place: Place, listing: &Listing) {
        if listing.len() > KEPT_MAX {
            return;
        }
        self.kept_entries += listing.len() + 1;
        self.kept.push_back((place, Arc::clone(listing)));
        while self.kept_entries > KEPT_MAX {
            let Some((_, oldest)) = self.kept.pop_front() else {
                break;
            };
            self.kept_entries -= oldest.len() + 1;
        }
    }

    /// Opens a folder; gives its handle.
    pub(crate) fn open(&mut self, listing: Listing) -> u64 {
        self.next_handle += 1;
        self.open.insert(self.next_handle, listing);
        self.next_handle
    }

    pub(crate) fn of(&self, handle: u64) -> Option<Listing> {
        self.open.get(&handle).map(Arc::clone)
    }

    pub(crate) fn close(&mut self, handle: u64) {
        self.open.remove(&handle);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(length: usize) -> Listing {
        Arc::new(vec![(Box::default(), Facts::own()); length])
    }

    #[test]
    fn what_is_kept_has_a_bound_and_the_oldest_goes() {
        let mut listings = Listings::default();
        let place = |number| Place::Own(number);
        listings.keep(place(0), &listing(KEPT_MAX + 1));
        assert!(listings.kept(&place(0)).is_none());
        listings.keep(place(1), &listing(KEPT_MAX / 2));
        listings.keep(place(2), &listing(KEPT_MAX / 3));
        assert!(listings.kept(&place(1)).is_some());
        listings.keep(place(3), &listing(KEPT_MAX / 3));
        assert!(listings.kept(&place(2)).is_none());
        assert!(listings.kept(&place(1)).is_some());
        let handle = listings.open(listing(3));
        assert_eq!(listings.of(handle).unwrap().len(), 3);
        listings.close(handle);
        assert!(listings.of(handle).is_none());
    }
}
