//! Upload threads and their bounded queue.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::{Scope, ScopedJoinHandle};

use super::WriteOptions;
use super::ledger::Ledger;
use super::packer::FilledPack;
use crate::{Error, Result};

/// Takes filled packs and stores them in the background.
pub(super) struct Outbox<'a> {
    queue: SyncSender<FilledPack>,
    threads: Vec<ScopedJoinHandle<'a, ()>>,
    ledger: &'a Ledger<'a>,
    spare: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl<'a> Outbox<'a> {
    pub(super) fn open<'scope, 'env>(
        scope: &'scope Scope<'scope, 'env>,
        ledger: &'env Ledger<'env>,
        options: WriteOptions,
    ) -> Outbox<'scope> {
        let (queue, packs) = sync_channel(1);
        let packs = Arc::new(Mutex::new(packs));
        let spare = Arc::new(Mutex::new(Vec::new()));
        let threads = (0..options.uploads.max(1))
            .map(|_| {
                let (packs, spare) = (Arc::clone(&packs), Arc::clone(&spare));
                scope.spawn(move || upload_all(&packs, &spare, ledger))
            })
            .collect();
        Outbox {
            queue,
            threads,
            ledger,
            spare,
        }
    }

    /// An empty buffer, used before if there is one.
    pub(super) fn buffer(&self, pack_bytes: usize) -> Vec<u8> {
        let spare = self
            .spare
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .pop();
        spare.unwrap_or_else(|| Vec::with_capacity(pack_bytes + pack_bytes / 8))
    }

    /// Gives the first error of the uploads so far.
    pub(super) fn check(&self) -> Result<()> {
        self.ledger.check()
    }

    /// Queues a pack; waits while all upload threads are busy.
    pub(super) fn send(&self, pack: FilledPack) -> Result<()> {
        self.check()?;
        self.queue.send(pack).map_err(|_| Error::cancelled())
    }

    /// Waits until everything queued is stored.
    pub(super) fn close(self) -> Result<()> {
        drop(self.queue);
        for thread in self.threads {
            assert!(thread.join().is_ok(), "an upload thread panicked");
        }
        self.ledger.check()
    }
}

fn upload_all(packs: &Mutex<Receiver<FilledPack>>, spare: &Mutex<Vec<Vec<u8>>>, ledger: &Ledger) {
    loop {
        let pack = packs
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .recv();
        let Ok(pack) = pack else { return };
        let mut buffer = ledger.store(pack);
        buffer.clear();
        spare
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
            .push(buffer);
    }
}
