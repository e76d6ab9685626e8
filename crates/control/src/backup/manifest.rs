//! What a snapshot says of the machine it holds.

use jiff::Timestamp;
use lifeboat_engine::backup::{DiskOutcome, PlainFile};
use lifeboat_format::{Chunking, DiskManifest, MANIFEST_NAME, MachineIdentity, MachineManifest};
use lifeboat_platform::{Consistency, Vm};

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
                .map(|(fact, outcome)| self.disk(fact, outcome))
                .collect(),
            files: self.files.clone(),
            other,
        };
        PlainFile {
            name: MANIFEST_NAME.to_owned(),
            content: manifest.encode(),
        }
    }

    fn disk(&self, fact: &DiskFacts, outcome: &DiskOutcome) -> DiskManifest {
        let seed = self.backup.place.repository.config().chunker_polynomial;
        let sizes = outcome.sizes;
        DiskManifest {
            name: fact.name.to_string(),
            path: format!("disks/{}", outcome.file_name),
            size: outcome.size,
            source_format: fact.format.to_string(),
            chunking: Chunking::new(sizes.min(), sizes.gap(), sizes.max(), seed),
            mode: fact.mode().to_owned(),
            reason: fact.reason.clone(),
            parent: fact.parent,
            changed_bytes: fact.changed_bytes,
            read_bytes: outcome.read_bytes,
            checkpoint: fact.checkpoint.as_ref().map(ToString::to_string),
            root: outcome.root,
        }
    }
}
