//! Clusters that were written in part and wait for the rest.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use lifeboat_model::{Extent, ExtentSet};

use crate::port::capped;

/// Limit: memory for waiting clusters.
const BYTES_MAX: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Partials {
    cluster_length: usize,
    count_max: usize,
    waiting: HashMap<u64, Partial>,
    /// Clusters by age.
    order: BTreeMap<u64, u64>,
    now: u64,
}

/// A cluster of which only some ranges are known.
#[derive(Debug)]
pub(super) struct Partial {
    born: u64,
    /// A whole cluster, zeros where nothing was written.
    buffer: Vec<u8>,
    /// In bytes of the guest's view.
    written: ExtentSet,
}

impl Partials {
    pub(super) fn new(cluster_length: usize) -> Self {
        Self {
            cluster_length,
            count_max: BYTES_MAX / cluster_length,
            waiting: HashMap::new(),
            order: BTreeMap::new(),
            now: 0,
        }
    }

    pub(super) fn has(&self, cluster: u64) -> bool {
        self.waiting.contains_key(&cluster)
    }

    pub(super) fn remove(&mut self, cluster: u64) -> Option<Partial> {
        let partial = self.waiting.remove(&cluster)?;
        self.order.remove(&partial.born);
        Some(partial)
    }

    pub(super) fn remove_all(&mut self, clusters: Range<u64>) {
        let inside: Vec<u64> = self
            .waiting
            .keys()
            .copied()
            .filter(|cluster| clusters.contains(cluster))
            .collect();
        inside
            .into_iter()
            .for_each(|cluster| drop(self.remove(cluster)));
    }

    /// Adds a part; gives the cluster's bytes once all of `whole` is there.
    pub(super) fn add(
        &mut self,
        cluster: u64,
        whole: Extent,
        part: Extent,
        content: &[u8],
    ) -> Option<Vec<u8>> {
        let length = self.cluster_length;
        let (now, order) = (&mut self.now, &mut self.order);
        let partial = self.waiting.entry(cluster).or_insert_with(|| {
            *now += 1;
            order.insert(*now, cluster);
            Partial {
                born: *now,
                buffer: vec![0; length],
                written: ExtentSet::new(),
            }
        });
        copy(part, content, whole, &mut partial.buffer);
        partial.written.insert(part);
        if partial.written.byte_count() < whole.len() {
            return None;
        }
        let mut complete = self.remove(cluster)?.buffer;
        complete.truncate(capped(whole.len(), length));
        Some(complete)
    }

    /// The cluster that waits longest, if there are too many.
    pub(super) fn overflow(&mut self) -> Option<(u64, Partial)> {
        if self.waiting.len() <= self.count_max {
            return None;
        }
        let (_, cluster) = self.order.pop_first()?;
        Some((cluster, self.waiting.remove(&cluster)?))
    }

    /// All that still wait, by place.
    pub(super) fn take_all(&mut self) -> BTreeMap<u64, Partial> {
        self.order.clear();
        self.waiting.drain().collect()
    }
}

impl Partial {
    /// Takes the ranges that were not written from `below`, the bytes of `whole`.
    pub(super) fn fill_gaps(&mut self, whole: Extent, below: &[u8]) {
        let mut merged = below.to_vec();
        for part in self.written.iter() {
            let start = capped(part.start() - whole.start(), self.buffer.len());
            let content = self.buffer.get(start..).unwrap_or_default();
            copy(part, content, whole, &mut merged);
        }
        self.buffer = merged;
    }

    /// The bytes of `whole`.
    pub(super) fn content(&self, whole: Extent) -> &[u8] {
        self.buffer
            .split_at(capped(whole.len(), self.buffer.len()))
            .0
    }
}

/// Puts the first bytes of `content` to the place that `part` has in the buffer of `whole`.
fn copy(part: Extent, content: &[u8], whole: Extent, buffer: &mut [u8]) {
    let start = capped(part.start() - whole.start(), buffer.len());
    let place = buffer.get_mut(start..).unwrap_or_default();
    let length = capped(part.len(), place.len()).min(content.len());
    let (place, _) = place.split_at_mut(length);
    place.copy_from_slice(content.split_at(length).0);
}
