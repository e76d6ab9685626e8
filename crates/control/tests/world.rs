//! A platform and repositories in memory.

use std::path::Path;
use std::sync::{Arc, Mutex};

use lifeboat_backend::Memory;
use lifeboat_chunker::ChunkSizes;
use lifeboat_control::{
    BackupPlace, Job, JobText, Parent, Step, Turns, VmBackup, VmOutcome, Watch, node_at,
    snapshots_of,
};
use lifeboat_engine::{dump, place};
use lifeboat_format::{MachineManifest, ScryptCost};
use lifeboat_model::{CancelToken, Clock, DiskName, Extent, Progress, Secret, VmName};
use lifeboat_platform::{Finding, Platform, Vm};
use lifeboat_repository::{
    BlobReader, Environment, InitOptions, LockMode, LockWait, Owner, Repository, WriteOptions, lock,
};
use lifeboat_rescue::Settings;
use lifeboat_testkit::{FakePlatform, ManualClock, SeededEntropy};

pub(crate) const ID: &str = "7f3c";
pub(crate) const DISK_BYTES: usize = 1 << 20;

pub(crate) fn name(text: &str) -> VmName {
    text.parse().unwrap()
}

pub(crate) fn disk(text: &str) -> DiskName {
    text.parse().unwrap()
}

pub(crate) fn job(text: &str) -> Job {
    JobText::from_toml(text).unwrap().parse().unwrap()
}

/// A running machine with two disks.
pub(crate) fn platform() -> FakePlatform {
    let platform = FakePlatform::new();
    let disks = [(&disk("vda"), DISK_BYTES), (&disk("vdb"), DISK_BYTES / 2)];
    platform.add(ID, &name("web01"), &disks);
    platform.write(
        ID,
        &disk("vda"),
        4096,
        &SeededEntropy::new(1).bytes(400_000),
    );
    platform
}

/// Remembers the steps.
#[derive(Default)]
pub(crate) struct Seen(pub(crate) Mutex<Vec<String>>);

impl Watch for Seen {
    fn step(&self, _vm: &VmName, step: Step) {
        self.0.lock().unwrap().push(step.to_string());
    }

    fn finding(&self, _vm: &VmName, finding: &Finding) {
        self.0.lock().unwrap().push(finding.text.clone());
    }
}

/// A repository in memory.
pub(crate) struct Site {
    pub(crate) repository: Repository,
    pub(crate) seen: Seen,
}

impl Site {
    pub(crate) fn new(seed: u64) -> Self {
        let environment = Environment {
            clock: Arc::new(ManualClock::default()) as Arc<dyn Clock>,
            entropy: Arc::new(SeededEntropy::new(seed)),
            cancel: CancelToken::new(),
            progress: Arc::new(Progress::new()),
            owner: Owner {
                hostname: "host".to_owned(),
                username: "root".to_owned(),
                pid: 4711,
                uid: 0,
                gid: 0,
                instance: "00ff".to_owned(),
                is_alive: |_| true,
            },
            threads: 2,
        };
        let options = InitOptions {
            cost: ScryptCost { n: 2, r: 8, p: 1 },
            ..InitOptions::default()
        };
        let password = Secret::new(b"correct horse".to_vec());
        let backend = Arc::new(Memory::new());
        let repository = Repository::init(backend, &password, &options, environment).unwrap();
        Self {
            repository,
            seen: Seen::default(),
        }
    }

    pub(crate) fn back_up(&self, platform: &FakePlatform, job: &Job) -> VmOutcome {
        let index = self.repository.load_index().unwrap();
        let wait = LockWait::default();
        let lock = lock::acquire(&self.repository, LockMode::Shared, wait).unwrap();
        let place = BackupPlace {
            repository: &self.repository,
            index: &index,
            lock: &lock,
            sizes: ChunkSizes::new(16 << 10, 16 << 10, 64 << 10).unwrap(),
            write: WriteOptions::default(),
        };
        // Only made where a job has limits for all runs.
        let folder = std::env::temp_dir().join("lifeboat-turns-of-no-job");
        let environment = self.repository.environment();
        let (clock, cancel) = (Arc::clone(&environment.clock), environment.cancel.clone());
        let turns = Turns::new(folder, clock, cancel);
        let backup = VmBackup {
            platform,
            place: &place,
            job,
            is_forced: false,
            pacer: None,
            turns: &turns,
            watch: &self.seen,
            program: "lifeboat of a test",
            rescue: &Settings::new(Path::new("unused")),
        };
        backup.run(&vm(platform))
    }

    /// The newest snapshot of a machine, and what it says.
    pub(crate) fn manifest(&self, machine: &str) -> MachineManifest {
        let index = self.repository.load_index().unwrap();
        let all = snapshots_of(&self.repository, &name(machine)).unwrap();
        Parent::of(&self.repository, &index, all.last().unwrap())
            .manifest
            .unwrap()
    }

    pub(crate) fn snapshot_count(&self, machine: &str) -> usize {
        snapshots_of(&self.repository, &name(machine))
            .unwrap()
            .len()
    }

    /// A disk of the newest snapshot.
    pub(crate) fn bytes(&self, machine: &str, disk: &str) -> Vec<u8> {
        let index = self.repository.load_index().unwrap();
        let all = snapshots_of(&self.repository, &name(machine)).unwrap();
        let mut reader = BlobReader::new(&self.repository, &index);
        let tree = all.last().unwrap().file.tree;
        let node = node_at(&mut reader, &tree, &format!("disks/{disk}.raw")).unwrap();
        let content = place(&index, &node).unwrap();
        let mut bytes = Vec::new();
        let all = Extent::new(0, node.size).unwrap();
        dump(&self.repository, &index, &content, all, &mut bytes).unwrap();
        bytes
    }
}

/// The one machine of a platform.
pub(crate) fn vm(platform: &FakePlatform) -> Vm {
    platform.inventory().unwrap().vms.remove(0)
}
