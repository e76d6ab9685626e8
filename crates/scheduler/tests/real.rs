//! Machines that are real: small disks that change each day, in repositories in folders. They are
//! stored, forgotten, copied and pruned by the code of the commands; stock restic judges.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use lifeboat_backend::{Call, Fault, FaultRule, Faulty, FileKind, Local};
use lifeboat_chunker::ChunkSizes;
use lifeboat_disk::RawDisk;
use lifeboat_engine::backup::{BackupRequest, Change, DiskTask, ParentDisk, PlainFile, backup};
use lifeboat_engine::copy::{CopyEnds, copy, missing};
use lifeboat_engine::verify::{Subset, verify};
use lifeboat_engine::{Result, dump, place};
use lifeboat_format::{Node, ScryptCost, SnapshotId, label};
use lifeboat_model::{CancelToken, Clock, ErrorKind, Extent, ExtentSet, Progress, Secret};
use lifeboat_policy::{Grouping, Guard, RecoveryPoint, Retention, localized, plan_guarded};
use lifeboat_repository::prune::{self, PruneOptions};
use lifeboat_repository::{
    BlobReader, Environment, Index, InitOptions, LockMode, LockWait, Owner, Repository, Snapshot,
    WriteOptions, check, lock, snapshots,
};
use lifeboat_testkit::{ManualClock, SeededEntropy, tool};
use serde_json::Value;
use tempfile::TempDir;

use crate::oracle::Rules;
use crate::play::Held;

/// A disk is made of so many pieces of so many bytes; one changes each day.
const PIECES: i64 = 16;
const PIECE: usize = 32 << 10;
const PASSWORD: &str = "geheim";

/// Each piece of work is a process; those that were killed are known.
static PROCESSES: AtomicU32 = AtomicU32::new(1000);
static KILLED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

#[derive(Debug)]
pub(crate) struct Real {
    pub(crate) machines: BTreeSet<String>,
    /// What was done how often.
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// The next work is killed after so many calls to its repository.
    pub(crate) dies_after: Option<u64>,
    folder: TempDir,
    clock: Arc<ManualClock>,
    zone: TimeZone,
    seeds: SeededEntropy,
    restic: Option<PathBuf>,
}

/// The day of a moment, as disks change.
fn day(at: Timestamp) -> i64 {
    at.as_second() / 86_400
}

/// The day on which a piece last changed.
fn changed(piece: i64, day: i64) -> i64 {
    day - (day - piece).rem_euclid(PIECES)
}

/// The disk of a machine on a day.
fn disk(machine: &str, day: i64) -> Vec<u8> {
    let name = machine
        .bytes()
        .fold(7u64, |sum, byte| sum * 31 + u64::from(byte));
    let piece = |piece| {
        let seed = name ^ (changed(piece, day).unsigned_abs() << 20);
        SeededEntropy::new(seed).bytes(PIECE)
    };
    (0..PIECES).flat_map(piece).collect()
}

/// What differs between two days.
fn differences(from: i64, to: i64) -> ExtentSet {
    let pieces = (0..PIECES).filter(|piece| changed(*piece, from) != changed(*piece, to));
    let extents = pieces.map(|piece| {
        let start = piece.unsigned_abs() * PIECE as u64;
        Extent::new(start, start + PIECE as u64).unwrap()
    });
    extents.collect()
}

fn write_options() -> WriteOptions {
    WriteOptions {
        pack_bytes: 256 << 10,
        level: Some(1),
        ..WriteOptions::default()
    }
}

fn locked(repository: &Repository, mode: LockMode) -> Result<lock::Lock<'_>> {
    Ok(lock::acquire(repository, mode, LockWait::default())?)
}

fn job_of(snapshot: &Snapshot) -> String {
    let mut jobs = snapshot
        .file
        .tags
        .iter()
        .filter_map(|it| it.strip_prefix("job="));
    jobs.next().unwrap_or_default().to_owned()
}

fn held(snapshot: &Snapshot) -> Held {
    Held {
        id: snapshot.id.to_string(),
        machine: snapshot.file.hostname.clone(),
        job: job_of(snapshot),
        at: snapshot.file.time.timestamp(),
    }
}

impl Real {
    pub(crate) fn new(
        clock: Arc<ManualClock>,
        (machines, repositories): (&[&str], &[&str]),
        (zone, seed): (TimeZone, u64),
    ) -> Self {
        let made = Self {
            machines: machines.iter().map(|it| (*it).to_owned()).collect(),
            counts: BTreeMap::new(),
            dies_after: None,
            folder: tempfile::tempdir().unwrap(),
            clock,
            zone,
            seeds: SeededEntropy::new(seed),
            restic: tool("restic-new"),
        };
        for name in repositories {
            let place = Arc::new(Local::open(&made.place(name)).unwrap());
            let options = InitOptions {
                cost: ScryptCost {
                    n: 1 << 10,
                    r: 8,
                    p: 1,
                },
                ..InitOptions::default()
            };
            let environment = made.environment(PROCESSES.fetch_add(1, Relaxed));
            Repository::init(place, &password(), &options, environment).unwrap();
        }
        made
    }

    fn place(&self, repository: &str) -> PathBuf {
        self.folder.path().join(repository)
    }

    fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    fn environment(&self, pid: u32) -> Environment {
        Environment {
            clock: self.clock.clone(),
            entropy: Arc::new(SeededEntropy::new(self.seeds.number())),
            cancel: CancelToken::new(),
            progress: Arc::new(Progress::new()),
            owner: Owner {
                hostname: "host".to_owned(),
                username: "root".to_owned(),
                pid,
                uid: 0,
                gid: 0,
                instance: "00ff".to_owned(),
                is_alive: |pid| !KILLED.lock().unwrap().contains(&pid),
            },
            threads: 1,
        }
    }

    /// A repository as a new process opens it; `rule` breaks what it does with it.
    fn open(&mut self, repository: &str, rule: Option<FaultRule>) -> Repository {
        let pid = PROCESSES.fetch_add(1, Relaxed);
        let backend = Arc::new(Faulty::new(Arc::new(
            Local::open(&self.place(repository)).unwrap(),
        )));
        let environment = self.environment(pid);
        let opened = Repository::open(backend.clone(), &password(), environment).unwrap();
        if let Some(rule) = rule {
            backend.add(rule);
        }
        if let Some(calls) = self.dies_after.take() {
            KILLED.lock().unwrap().insert(pid);
            backend.add(FaultRule {
                call: None,
                kind: None,
                pass: calls,
                fail: u64::MAX,
                fault: Fault::Error(ErrorKind::Io),
            });
        }
        opened
    }

    /// What a repository holds.
    pub(crate) fn held(&mut self, repository: &str) -> Vec<Held> {
        let opened = self.open(repository, None);
        let list = snapshots::list(&opened).unwrap();
        list.iter().map(held).collect()
    }

    /// Stores a machine's disk as it was at a moment; a full repository takes one pack more.
    pub(crate) fn back_up(
        &mut self,
        (machine, job, repository): (&str, &str, &str),
        at: Timestamp,
        is_full: bool,
    ) -> Result<String> {
        let no_space = FaultRule {
            pass: 1,
            ..FaultRule::every(Call::Save, Fault::Error(ErrorKind::Full)).of(FileKind::Pack)
        };
        let opened = self.open(repository, is_full.then_some(no_space));
        let lock = locked(&opened, LockMode::Shared)?;
        let index = opened.load_index()?;
        let today = day(at);
        let image = self.folder.path().join("vda.raw");
        fs::write(&image, disk(machine, today)).unwrap();
        let list = snapshots::list(&opened)?;
        let own = list.iter().filter(|it| it.file.hostname == machine);
        let change = match own.max_by_key(|it| it.file.time.timestamp()) {
            None => Change::Unknown,
            Some(parent) => Change::Since {
                parent: ParentDisk::new(&node(&opened, &index, parent)?, &index).unwrap(),
                changed: differences(day(parent.file.time.timestamp()), today),
            },
        };
        let tags = [format!("job={job}")];
        let time = at.to_zoned(self.zone.clone()).into();
        let request = BackupRequest {
            disks: vec![DiskTask {
                file_name: "vda.raw".to_owned(),
                source: Arc::new(RawDisk::open(&image).unwrap()),
                change,
            }],
            files: Vec::new(),
            describe: &|_| {
                Ok(PlainFile {
                    name: "lifeboat.json".to_owned(),
                    content: b"{}".to_vec(),
                })
            },
            label: label::of(&machine.parse().unwrap(), time, &tags),
            sizes: ChunkSizes::new(16 << 10, 16 << 10, 64 << 10).unwrap(),
            write: write_options(),
            is_dry_run: false,
        };
        let done = backup(&opened, &index, &lock, request)?;
        self.count("backups");
        Ok(done.snapshot.unwrap().to_string())
    }

    /// Removes a job's points by its rules, as `lifeboat forget --job` does; stock restic would
    /// keep the same ones, and those that are spared.
    pub(crate) fn forget(
        &mut self,
        (repository, job): (&str, &str),
        (retention, guard, rules): (&Retention, &Guard, Rules),
        spared: &dyn Fn(&String) -> bool,
    ) -> Result<()> {
        let opened = self.open(repository, None);
        let lock = locked(&opened, LockMode::Shared)?;
        let list = snapshots::list(&opened)?.into_iter();
        let own = list.filter(|it| job_of(it) == job);
        let points: Vec<RecoveryPoint<String>> = own.map(|it| self.point(&it)).collect();
        let grouping = Grouping::parse("host").unwrap();
        let now = self.clock.now();
        let plans = plan_guarded((retention, guard), grouping, &points, now, spared).unwrap();
        let decisions = || plans.iter().flat_map(|it| &it.decisions);
        let kept = |is_kept: bool| {
            let them = decisions().filter(move |it| it.keep() == is_kept);
            them.map(|it| it.point.key.clone())
        };
        let stays: BTreeSet<String> = kept(true).collect();
        if let Some(of_stock) = self.stock_keeps(repository, job, rules) {
            let points = points.iter().map(|it| it.key.clone());
            let spared: BTreeSet<String> = points.filter(|id| spared(id)).collect();
            assert_eq!(
                stays,
                &of_stock | &spared,
                "forget of {job} in {repository} at {now}"
            );
            self.count("forgets as stock restic says");
        }
        for id in kept(false) {
            let id: SnapshotId = id.parse().unwrap();
            lock.check()?;
            snapshots::remove(&opened, id)?;
            self.count("forgotten");
        }
        Ok(())
    }

    fn point(&self, snapshot: &Snapshot) -> RecoveryPoint<String> {
        RecoveryPoint {
            time: localized(&snapshot.file.time.zoned(), &self.zone),
            host: snapshot.file.hostname.clone(),
            paths: snapshot.file.paths.clone(),
            tags: snapshot.file.tags.clone(),
            key: snapshot.id.to_string(),
        }
    }

    /// Copies the points of a job that the target lacks.
    pub(crate) fn copy(&mut self, (from, to): (&str, &str), job: &str) -> Result<()> {
        let target = self.open(to, None);
        let source = self.open(from, None);
        let target_lock = locked(&target, LockMode::Shared)?;
        let list = snapshots::list(&source)?.into_iter();
        let own: Vec<Snapshot> = list.filter(|it| job_of(it) == job).collect();
        let wanted: Vec<Snapshot> = missing(&target, &own)?.into_iter().cloned().collect();
        let ends = CopyEnds {
            source: &source,
            source_index: &source.load_index()?,
            target: &target,
            target_lock: &target_lock,
        };
        copy(ends, &wanted, write_options())?;
        self.count("copies");
        Ok(())
    }

    /// Removes what no snapshot needs, as `lifeboat prune` does.
    pub(crate) fn prune(&mut self, repository: &str) -> Result<()> {
        let opened = self.open(repository, None);
        let lock = locked(&opened, LockMode::Prune)?;
        let options = PruneOptions {
            write: write_options(),
            ..PruneOptions::default()
        };
        let planned = prune::plan(&opened, &lock, options)?;
        let done = prune::apply(&opened, &lock, &planned)?;
        self.count("prunes");
        *self.counts.entry("packs removed").or_default() += done.removed_packs;
        Ok(())
    }

    /// All is there, and all data is what its names say.
    pub(crate) fn check(&mut self, repository: &str) {
        let opened = self.open(repository, None);
        let (checked, index) = check(&opened).unwrap();
        let findings = &checked.findings;
        assert!(checked.is_whole(), "{repository}: {findings:?}");
        let read = verify(&opened, &index, Subset::All).unwrap();
        assert!(
            read.findings.is_empty(),
            "{repository}: {:?}",
            read.findings
        );
    }

    /// The same, by stock restic.
    pub(crate) fn check_by_stock(&mut self, repository: &str) {
        if self.stock(repository, &["check", "--read-data"]).is_some() {
            self.count("checks by stock restic");
        }
    }

    /// A point gives back the disk of its day, and so it does through stock restic.
    pub(crate) fn restores(&mut self, repository: &str, id: &str, by_stock: bool) {
        let opened = self.open(repository, None);
        let snapshot = snapshots::load(&opened, id.parse().unwrap()).unwrap();
        let wanted = disk(&snapshot.file.hostname, day(snapshot.file.time.timestamp()));
        let index = opened.load_index().unwrap();
        let content = place(&index, &node(&opened, &index, &snapshot).unwrap()).unwrap();
        let whole = Extent::new(0, wanted.len() as u64).unwrap();
        let mut bytes = Vec::new();
        dump(&opened, &index, &content, whole, &mut bytes).unwrap();
        assert!(bytes == wanted, "{id} of {}", snapshot.file.hostname);
        self.count("restores");
        if by_stock && let Some(bytes) = self.stock(repository, &["dump", id, "/disks/vda.raw"]) {
            assert!(bytes == wanted, "{id} by stock restic");
            self.count("restores by stock restic");
        }
    }

    /// The points of a job that restic would keep.
    fn stock_keeps(&self, repository: &str, job: &str, rules: Rules) -> Option<BTreeSet<String>> {
        let tag = format!("job={job}");
        let mut words = vec![
            "forget",
            "--dry-run",
            "--json",
            "--group-by",
            "host",
            "--tag",
        ];
        words.push(&tag);
        let counts = [
            ("--keep-daily", rules.daily.to_string()),
            ("--keep-weekly", rules.weekly.to_string()),
            ("--keep-monthly", rules.monthly.to_string()),
        ];
        for (option, count) in counts.iter().filter(|(_, count)| count != "0") {
            words.extend([option, count.as_str()]);
        }
        let within = format!("{}d", rules.within_days);
        if rules.within_days > 0 {
            words.extend(["--keep-within", &within]);
        }
        let told = self.stock(repository, &words)?;
        let groups: Vec<Value> = match told.is_empty() {
            true => Vec::new(),
            false => serde_json::from_slice(&told).unwrap(),
        };
        let kept = groups
            .iter()
            .flat_map(|group| group["keep"].as_array().into_iter().flatten());
        Some(
            kept.map(|it| it["id"].as_str().unwrap().to_owned())
                .collect(),
        )
    }

    /// What restic says, if it is there; it must end well.
    fn stock(&self, repository: &str, words: &[&str]) -> Option<Vec<u8>> {
        let mut command = Command::new(self.restic.as_ref()?);
        command.arg("-r").arg(self.place(repository));
        command.args(["--no-cache", "--no-lock", "-q"]).args(words);
        command.env("RESTIC_PASSWORD", PASSWORD);
        command.env("TZ", self.zone.iana_name().unwrap());
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?} of {repository}: {said}");
        Some(output.stdout)
    }
}

fn password() -> Secret {
    Secret::new(PASSWORD.as_bytes().to_vec())
}

/// The disk's node in a snapshot.
fn node(repository: &Repository, index: &Index, snapshot: &Snapshot) -> Result<Node> {
    let mut reader = BlobReader::new(repository, index);
    let disks = reader
        .tree(&snapshot.file.tree)?
        .find(b"disks")
        .unwrap()
        .subtree;
    let disks = reader.tree(&disks.unwrap())?;
    Ok(disks.find(b"vda.raw").unwrap().clone())
}
