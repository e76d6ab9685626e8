//! What a snapshot says of the machine it holds.

use jiff::Timestamp;
use lifeboat_engine::backup::{DiskOutcome, PlainFile};
use lifeboat_format::{Chunking, DiskManifest, MANIFEST_NAME, MachineIdentity, MachineManifest};
use lifeboat_platform::{Consistency, Vm};
use lifeboat_repository::Repository;

use super::{DiskFacts, VmBackup};
use crate::hook::HookRun;

/// Makes the manifest when all disks are stored.
pub(super) struct Maker<'a> {
    pub(super) backup: &'a VmBackup<'a>,
    pub(super) vm: &'a Vm,
    pub(super) captured_at: Timestamp,
    pub(super) consistency: Consistency,
    pub(super) files: Vec<String>,
    pub(super) hooks: Vec<HookRun>,
}

impl Maker<'_> {
    pub(super) fn file(&self, facts: &[DiskFacts], outcomes: &[DiskOutcome]) -> PlainFile {
        let disks = facts.iter().zip(outcomes);
        let mut other = serde_json::Map::new();
        if !self.hooks.is_empty()
            && let Ok(hooks) = serde_json::to_value(&self.hooks)
        {
            other.insert("hooks".to_owned(), hooks);
        }
        let zone = jiff::tz::TimeZone::system();
        let manifest = MachineManifest {
            version: 1,
            program: self.backup.program.to_owned(),
            machine: MachineIdentity {
                platform: self.backup.platform.kind().to_owned(),
                id: Some(self.vm.id.to_string()),
                name: self.vm.name.to_string(),
            },
            captured_at: self.captured_at.to_zoned(zone).into(),
            consistency: self.consistency.to_string(),
            disks: disks
                .map(|(fact, outcome)| fact.manifest(self.backup.place.repository, outcome))
                .collect(),
            files: self.files.clone(),
            other,
        };
        PlainFile {
            name: MANIFEST_NAME.to_owned(),
            content: manifest.encode(),
        }
    }
}

impl DiskFacts {
    /// What the manifest of a snapshot says of the disk.
    pub fn manifest(&self, repository: &Repository, outcome: &DiskOutcome) -> DiskManifest {
        let seed = repository.config().chunker_polynomial;
        let sizes = outcome.sizes;
        DiskManifest {
            name: self.name.to_string(),
            path: format!("disks/{}", outcome.file_name),
            size: outcome.size,
            source_format: self.format.to_string(),
            chunking: Chunking::new(sizes.min(), sizes.gap(), sizes.max(), seed),
            mode: self.mode().to_owned(),
            reason: self.reason.clone(),
            parent: self.parent,
            changed_bytes: self.changed_bytes,
            read_bytes: outcome.read_bytes,
            checkpoint: self.checkpoint.clone(),
            root: outcome.root,
        }
    }
}
