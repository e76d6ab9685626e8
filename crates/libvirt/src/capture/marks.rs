//! Checkpoints of ours on a machine: listing and removing them.

use lifeboat_model::ErrorKind;
use lifeboat_platform::{CheckpointId, Error, Result, VmId};

use crate::binding::{Called, Checkpoint, Code, Deletion, Domain, Failure};

use super::job::CheckpointRecord;

/// A checkpoint of ours.
pub(crate) struct Mark {
    pub(crate) id: CheckpointId,
    pub(crate) record: CheckpointRecord,
    pub(crate) checkpoint: Checkpoint,
}

/// What was removed of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    Whole,
    /// Its bitmap was gone already.
    Record,
    /// It was not there.
    Nothing,
}

/// All checkpoints with a name of ours, whatever their origin.
pub(crate) fn ours(domain: &Domain, vm: &VmId) -> Result<Vec<Mark>> {
    let failed = |failure: Failure| failure.of("listing the checkpoints of", vm.as_str());
    let mut marks = Vec::new();
    for checkpoint in domain.checkpoints().map_err(failed)? {
        let Ok(id) = checkpoint.name().parse() else {
            continue;
        };
        let xml = match checkpoint.xml() {
            Ok(xml) => xml,
            Err(failure) if failure.code == Code::NO_CHECKPOINT => continue,
            Err(failure) => return Err(failed(failure)),
        };
        marks.push(Mark {
            id,
            record: CheckpointRecord::parse(&xml)?,
            checkpoint,
        });
    }
    Ok(marks)
}

/// Removes a checkpoint by its name.
///
/// Errors: `Busy` while the machine is off, for libvirt removes bitmaps only of running ones.
pub(crate) fn remove_named(domain: &Domain, vm: &VmId, id: &CheckpointId) -> Result<Removed> {
    let found = domain.checkpoint(id.as_str());
    match found.map_err(|failure| failure.of("looking up a checkpoint of", vm.as_str()))? {
        Some(checkpoint) => remove(domain, vm, &checkpoint),
        None => Ok(Removed::Nothing),
    }
}

/// Removes a checkpoint and its bitmaps; of one whose bitmaps are gone, the record.
pub(crate) fn remove(domain: &Domain, vm: &VmId, checkpoint: &Checkpoint) -> Result<Removed> {
    let Err(whole) = checkpoint.delete(Deletion::Whole) else {
        return Ok(Removed::Whole);
    };
    if whole.code == Code::NO_CHECKPOINT {
        return Ok(Removed::Nothing);
    }
    if domain.number().is_none() {
        return Err(
            Error::new(ErrorKind::Busy, "removing a checkpoint of", vm.as_str())
                .seen("the machine is off; it goes when the machine runs"),
        );
    }
    // A connection that broke must not be taken for bitmaps that are gone.
    if whole.kind() == ErrorKind::Unreachable || whole.kind() == ErrorKind::Busy {
        return Err(whole.of("removing a checkpoint of", vm.as_str()));
    }
    let record = checkpoint.delete(Deletion::Record);
    record
        .map(|()| Removed::Record)
        .map_err(|_| whole.of("removing a checkpoint of", vm.as_str()))
}

/// Removes the record of a checkpoint and leaves its bitmaps in the images.
pub(crate) fn remove_record(mark: &Mark) -> Called<()> {
    match mark.checkpoint.delete(Deletion::Record) {
        Err(failure) if failure.code != Code::NO_CHECKPOINT => Err(failure),
        _ => Ok(()),
    }
}
