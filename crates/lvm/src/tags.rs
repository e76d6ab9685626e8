//! How a volume of ours is known.

use lifeboat_model::Entropy;
use lifeboat_platform::{CHECKPOINT_PREFIX, CheckpointId, Origin};

use crate::report::{Volume, VolumeKind};

/// On every snapshot of ours.
const OURS: &str = "lifeboat";
/// Whose it is.
const ORIGIN: &str = "lifeboat_origin_";
/// LVM's id of the volume of which it is.
const OF: &str = "lifeboat_of_";
/// The checkpoint that it is, if it is to stay.
const CHECKPOINT: &str = "lifeboat_checkpoint_";

/// The tags of a snapshot that is to be made.
pub(crate) fn of_new(
    origin: &Origin,
    volume: &Volume,
    checkpoint: Option<&CheckpointId>,
) -> Vec<String> {
    let mut tags = vec![
        OURS.to_owned(),
        format!("{ORIGIN}{origin}"),
        format!("{OF}{}", volume.uuid),
    ];
    tags.extend(checkpoint.map(checkpoint_tag));
    tags
}

fn checkpoint_tag(checkpoint: &CheckpointId) -> String {
    let digits = checkpoint.as_str().trim_start_matches(CHECKPOINT_PREFIX);
    format!("{CHECKPOINT}{digits}")
}

/// `lifeboat-` and 16 digits of chance: what all snapshots of a capture begin with.
pub(crate) fn name_start(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    format!("{CHECKPOINT_PREFIX}{:016x}", u64::from_be_bytes(bytes))
}

/// Says whether a volume is a snapshot that a run for `origin` made.
pub(crate) fn is_ours(volume: &Volume, origin: &Origin) -> bool {
    let is_snapshot = matches!(volume.kind, VolumeKind::ClassicSnapshot | VolumeKind::Thin);
    is_snapshot
        && volume.name.volume.as_str().starts_with(CHECKPOINT_PREFIX)
        && volume.has_tag(OURS)
        && volume.has_tag(&format!("{ORIGIN}{origin}"))
}

/// LVM's id of the volume of which a snapshot of ours was made.
pub(crate) fn made_of(volume: &Volume) -> Option<&str> {
    volume.tagged(OF)
}

/// Says whether a snapshot of ours is that checkpoint.
pub(crate) fn is_checkpoint(volume: &Volume, checkpoint: &CheckpointId) -> bool {
    volume.has_tag(&checkpoint_tag(checkpoint))
}
