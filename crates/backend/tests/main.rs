//! Promises of the crate, one module each.

mod a_crash_leaves_whole_files_or_none;
mod a_full_disk_is_said_and_leaves_nothing;
mod archives_hold_a_repository;
mod calls_and_bytes_are_counted;
mod every_place_keeps_the_contract;
mod faults_are_made_as_ruled;
mod large_files_come_back_whole;
mod local_layout_is_restics;
mod rates_are_kept;
mod repeatable_failures_are_repeated;
mod strays_are_found_and_leftovers_swept;
mod what_happened_can_be_replayed;

use std::sync::Arc;

use lifeboat_backend::{Backend, FileHandle, FileKind, Memory};
use lifeboat_model::Id;

/// A memory place with a repository's layout.
fn memory() -> Arc<Memory> {
    let memory = Memory::new();
    memory.create().unwrap();
    Arc::new(memory)
}

fn pack(first: u8) -> FileHandle {
    let mut id = Id([7; 32]);
    id.0[0] = first;
    FileHandle::new(FileKind::Pack, id)
}
