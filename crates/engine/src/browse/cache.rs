//! Opened chunks, up to a bound of bytes, shared by all disks of a process.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use lifeboat_format::BlobId;

/// The bytes of a chunk.
pub(super) type Bytes = Arc<Vec<u8>>;

/// How long somebody waits for another thread that loads the same chunk, before loading it too.
const PATIENCE: Duration = Duration::from_secs(60);

/// What becomes of a wish for a chunk.
pub(super) enum Claim {
    /// It is here.
    Known(Bytes),
    /// The caller loads it: `put` or `give_back` must follow.
    Ours,
    /// Another thread loads it.
    Theirs,
}

/// A cache of opened chunks: the longest unused ones make room.
#[derive(Debug)]
pub struct ChunkCache {
    bytes_max: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    bytes: usize,
    clock: u64,
    chunks: HashMap<BlobId, (u64, Bytes)>,
    by_use: BTreeMap<u64, BlobId>,
    loading: HashSet<BlobId>,
}

impl ChunkCache {
    /// A cache of at most `bytes_max` bytes, and at least the last chunk.
    pub fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Bytes it holds now.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The chunk, or the right to load it; waits while another thread does.
    pub(super) fn claim(&self, id: &BlobId) -> Claim {
        let mut state = self.lock();
        while !state.chunks.contains_key(id) && state.loading.contains(id) {
            let waited = self.changed.wait_timeout(state, PATIENCE);
            let (woken, timeout) = waited.unwrap_or_else(|p| p.into_inner());
            state = woken;
            if timeout.timed_out() {
                return Claim::Theirs;
            }
        }
        state.claim(id)
    }

    /// The same without waiting.
    pub(super) fn try_claim(&self, id: &BlobId) -> Claim {
        self.lock().claim(id)
    }

    /// Takes a loaded chunk.
    pub(super) fn put(&self, id: &BlobId, bytes: Bytes) {
        let mut state = self.lock();
        state.loading.remove(id);
        state.insert(id, bytes);
        while state.bytes > self.bytes_max && state.chunks.len() > 1 {
            state.drop_oldest();
        }
        drop(state);
        self.changed.notify_all();
    }

    /// The chunk could not be loaded; others may try.
    pub(super) fn give_back(&self, id: &BlobId) {
        self.lock().loading.remove(id);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|p| p.into_inner())
    }
}

impl State {
    fn claim(&mut self, id: &BlobId) -> Claim {
        if let Some(bytes) = self.touch(id) {
            return Claim::Known(bytes);
        }
        if self.loading.insert(*id) {
            Claim::Ours
        } else {
            Claim::Theirs
        }
    }

    fn touch(&mut self, id: &BlobId) -> Option<Bytes> {
        self.clock += 1;
        let now = self.clock;
        let (used, bytes) = self.chunks.get_mut(id)?;
        self.by_use.remove(used);
        self.by_use.insert(now, *id);
        *used = now;
        Some(Arc::clone(bytes))
    }

    fn insert(&mut self, id: &BlobId, bytes: Bytes) {
        if self.touch(id).is_some() {
            return;
        }
        self.bytes += bytes.len();
        self.by_use.insert(self.clock, *id);
        self.chunks.insert(*id, (self.clock, bytes));
    }

    fn drop_oldest(&mut self) {
        let Some((_, id)) = self.by_use.pop_first() else {
            return;
        };
        if let Some((_, bytes)) = self.chunks.remove(&id) {
            self.bytes -= bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> BlobId {
        BlobId::of(&[number])
    }

    #[test]
    fn the_longest_unused_chunks_make_room() {
        let cache = ChunkCache::new(30);
        for number in 0..3 {
            assert!(matches!(cache.claim(&id(number)), Claim::Ours));
            cache.put(&id(number), Arc::new(vec![number; 10]));
        }
        assert!(matches!(cache.claim(&id(0)), Claim::Known(_)));
        assert!(matches!(cache.claim(&id(9)), Claim::Ours));
        cache.put(&id(9), Arc::new(vec![9; 10]));
        assert!(matches!(cache.try_claim(&id(1)), Claim::Ours));
        assert!(matches!(cache.try_claim(&id(1)), Claim::Theirs));
        assert!(matches!(cache.claim(&id(0)), Claim::Known(_)));
        assert_eq!(cache.bytes(), 30);
        cache.give_back(&id(1));
        assert!(matches!(cache.claim(&id(1)), Claim::Ours));
    }
}
