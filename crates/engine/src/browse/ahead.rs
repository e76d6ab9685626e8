//! Threads that load what a reader in order will want next.

use std::ops::Range;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, Weak};
use std::thread;

use super::Inner;

/// Chunks that one thread loads at a time.
const PART_CHUNKS: usize = 16;
/// Parts that may wait; more are left to the reader itself.
const WAITING_MAX: usize = 64;

/// Asks for chunks; its threads end when it is dropped.
pub(super) struct Ahead {
    wishes: Option<SyncSender<Range<usize>>>,
}

impl Ahead {
    /// Starts the threads: no more than processors, and none where there is only one.
    pub(super) fn start(inner: &Arc<Inner>, threads: usize) -> Self {
        if threads < 2 {
            return Self { wishes: None };
        }
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        for _ in 0..threads {
            let (inner, receiver) = (Arc::downgrade(inner), Arc::clone(&receiver));
            thread::spawn(move || work(&inner, &receiver));
        }
        Self {
            wishes: Some(sender),
        }
    }

    /// Asks for these chunks, if there is room for a wish.
    pub(super) fn ask(&self, numbers: Range<usize>) {
        let Some(wishes) = &self.wishes else {
            return;
        };
        let mut from = numbers.start;
        while from < numbers.end {
            let to = numbers.end.min(from + PART_CHUNKS);
            if wishes.try_send(from..to).is_err() {
                return;
            }
            from = to;
        }
    }
}

fn work(inner: &Weak<Inner>, wishes: &Mutex<Receiver<Range<usize>>>) {
    loop {
        let wish = wishes.lock().unwrap_or_else(|p| p.into_inner()).recv();
        let (Ok(numbers), Some(inner)) = (wish, inner.upgrade()) else {
            return;
        };
        inner.load_ahead(numbers);
    }
}
