//! Many threads put blobs; each is stored once, failures are told once, nothing durable is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use lifeboat_backend::{Backend, Call, Fault, FaultRule, Faulty, FileKind};
use lifeboat_format::{BlobId, BlobKind};
use lifeboat_model::ErrorKind;
use lifeboat_repository::{
    BlobReader, BlobWriter, Error, Index, LockMode, LockWait, Put, Repository, lock, write,
};

use crate::world::{World, blob, small_packs};

/// Eight threads put the same blobs, each in its own order; gives how many were new.
fn put_from_many(writer: &BlobWriter<'_>, count: u64) -> Result<u64, Error> {
    let stored = AtomicU64::new(0);
    let work = |start: u64| {
        let mut bench = writer.bench();
        for step in 0..count {
            let bytes = blob((start + step) % count);
            let id = BlobId::of(&bytes);
            if let Put::Stored(_) = writer.put(BlobKind::Data, &id, &bytes, &mut bench)? {
                stored.fetch_add(1, Relaxed);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|n| scope.spawn(move || work(n * count / 8)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().unwrap())
    })?;
    Ok(stored.into_inner())
}

fn write_all(repository: &Repository, index: &Index, count: u64) -> Result<u64, Error> {
    let lock = lock::acquire(repository, LockMode::Shared, LockWait::default()).unwrap();
    let mut options = small_packs();
    options.uploads = 3;
    options.is_rechecked = true;
    write(repository, index, &lock, options, |writer| {
        put_from_many(writer, count)
    })
    .map(|(stored, totals, _)| {
        assert_eq!(stored, totals.data_blobs);
        stored
    })
}

#[test]
fn equal_blobs_of_many_threads_are_stored_once() {
    let world = World::new();
    let empty = world.repository.load_index().unwrap();
    assert_eq!(write_all(&world.repository, &empty, 200).unwrap(), 200);
    let index = world.repository.load_index().unwrap();
    assert_eq!(index.blob_count(), 200);
    let mut reader = BlobReader::new(&world.repository, &index);
    for seed in 0..200 {
        let bytes = blob(seed);
        assert!(reader.get(BlobKind::Data, &BlobId::of(&bytes)).unwrap() == bytes);
    }
    assert_eq!(write_all(&world.repository, &index, 200).unwrap(), 0);
}

#[test]
fn a_failure_is_told_by_its_cause_and_what_is_durable_is_used_again() {
    for (call, kind) in [(Call::Save, FileKind::Pack), (Call::Save, FileKind::Index)] {
        for nth in 1..6 {
            let world = World::new();
            let faulty = Arc::new(Faulty::new(world.memory.clone() as Arc<dyn Backend>));
            let repository = world.through(faulty.clone(), 2);
            faulty.add(FaultRule::nth(call, nth, Fault::Error(ErrorKind::Full)).of(kind));
            let index = repository.load_index().unwrap();
            let result = write_all(&repository, &index, 60);
            if faulty.fired() == 0 {
                assert_eq!(result.unwrap(), 60);
                continue;
            }
            assert_eq!(result.unwrap_err().kind(), ErrorKind::Full);
            let packs = repository.list(FileKind::Pack).unwrap().len();
            let index = repository.load_index().unwrap();
            if kind == FileKind::Pack {
                assert_eq!(index.packs().len(), packs, "every durable pack is indexed");
            }
            let again = write_all(&repository, &index, 60).unwrap();
            assert_eq!(again, 60 - index.blob_count() as u64);
        }
    }
}

#[test]
fn a_run_whose_index_could_not_be_stored_at_first_lists_everything_at_its_end() {
    let world = World::new();
    let faulty = Arc::new(Faulty::new(world.memory.clone() as Arc<dyn Backend>));
    let repository = world.through(faulty.clone(), 2);
    let fault = Fault::Error(ErrorKind::Unreachable);
    faulty.add(FaultRule::nth(Call::Save, 1, fault).of(FileKind::Index));
    let lock = lock::acquire(&repository, LockMode::Shared, LockWait::default()).unwrap();
    let index = Index::default();
    let failed = write(&repository, &index, &lock, small_packs(), |writer| {
        put_from_many(writer, 20)?;
        // An index file is due a minute later, with the next pack.
        world.hours(0);
        world.clock.advance(std::time::Duration::from_secs(61));
        lock.refresh_if_due();
        put_from_many(writer, 60)
    });
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unreachable);
    let packs = repository.list(FileKind::Pack).unwrap().len();
    assert_eq!(repository.load_index().unwrap().packs().len(), packs);
}

#[test]
fn a_stopped_run_keeps_what_it_has_sent() {
    let world = World::new();
    let lock = lock::acquire(&world.repository, LockMode::Shared, LockWait::default()).unwrap();
    let index = Index::default();
    let stopped = write(&world.repository, &index, &lock, small_packs(), |writer| {
        put_from_many(writer, 30)?;
        Err::<(), _>(Error::new(ErrorKind::Cancelled, "stopped"))
    });
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Cancelled);
    drop(lock);
    let index = world.repository.load_index().unwrap();
    assert_eq!(index.blob_count(), 30);
}
