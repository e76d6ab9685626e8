//! A bounded memory of what was read last.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps the values used last; shared by threads.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    count_max: usize,
    state: Mutex<State<V>>,
}

#[derive(Debug)]
struct State<V> {
    values: HashMap<u64, (u64, V)>,
    /// Keys by the moment of their last use.
    order: BTreeMap<u64, u64>,
    now: u64,
}

impl<V: Clone> Cache<V> {
    /// Keeps at most `count_max` values, at least one.
    pub(crate) fn new(count_max: usize) -> Self {
        let state = State {
            values: HashMap::new(),
            order: BTreeMap::new(),
            now: 0,
        };
        Self {
            count_max: count_max.max(1),
            state: Mutex::new(state),
        }
    }

    pub(crate) fn find(&self, key: u64) -> Option<V> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let (used, value) = state.values.get_mut(&key)?;
        let value = value.clone();
        state.now += 1;
        state.order.remove(used);
        *used = state.now;
        state.order.insert(state.now, key);
        Some(value)
    }

    pub(crate) fn put(&self, key: u64, value: V) {
        let mut state = self.lock();
        state.now += 1;
        let now = state.now;
        if let Some((used, _)) = state.values.insert(key, (now, value)) {
            state.order.remove(&used);
        }
        state.order.insert(now, key);
        while state.values.len() > self.count_max {
            let Some((_, oldest)) = state.order.pop_first() else {
                break;
            };
            state.values.remove(&oldest);
        }
    }

    /// A panic elsewhere leaves the cache usable: each change of it is complete or repaired by
    /// the next.
    fn lock(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_unused_longest_is_dropped() {
        let cache = Cache::new(2);
        cache.put(1, 'a');
        cache.put(2, 'b');
        assert_eq!(cache.find(1), Some('a'));
        cache.put(3, 'c');
        assert_eq!(
            (cache.find(1), cache.find(2), cache.find(3)),
            (Some('a'), None, Some('c'))
        );
        cache.put(3, 'd');
        assert_eq!((cache.find(1), cache.find(3)), (Some('a'), Some('d')));
    }
}
