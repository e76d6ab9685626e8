//! Room for what several threads read at once.

use std::sync::{Condvar, Mutex, MutexGuard};

/// So many bytes that all threads share.
pub(super) struct Room {
    bytes_max: u64,
    free: Mutex<u64>,
    given_back: Condvar,
}

impl Room {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            free: Mutex::new(bytes_max),
            given_back: Condvar::new(),
        }
    }

    /// Waits until there is room for `bytes`; who wants more than all of it gets all of it.
    pub(super) fn take(&self, bytes: u64) -> Place<'_> {
        let bytes = bytes.min(self.bytes_max);
        let mut free = self.free();
        while *free < bytes {
            let waited = self.given_back.wait(free);
            free = waited.unwrap_or_else(|poison| poison.into_inner());
        }
        *free -= bytes;
        Place { room: self, bytes }
    }

    fn free(&self) -> MutexGuard<'_, u64> {
        self.free
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }
}

/// A part of the room; given back when it is dropped.
pub(super) struct Place<'a> {
    room: &'a Room,
    bytes: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.room.free() += self.bytes;
        self.room.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

    use super::*;

    #[test]
    fn no_more_is_taken_than_there_is_and_everybody_gets_a_turn() {
        let (room, used, turns) = (Room::new(10), AtomicU64::new(0), AtomicU64::new(0));
        let (room, used, turns) = (&room, &used, &turns);
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                scope.spawn(move || {
                    for turn in 0..200 {
                        let wanted = (thread * 7 + turn) % 23;
                        let bytes = wanted.min(10);
                        let place = room.take(wanted);
                        let before = used.fetch_add(bytes, SeqCst);
                        assert!(before + bytes <= 10);
                        turns.fetch_add(1, SeqCst);
                        used.fetch_sub(bytes, SeqCst);
                        drop(place);
                    }
                });
            }
        });
        assert_eq!((turns.load(SeqCst), *room.free()), (800, 10));
    }
}
