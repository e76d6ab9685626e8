//! Operations that are broken off on purpose, and all that must hold afterwards.
//!
//! Every case works in a folder of its own, made of hard links: what a repository holds never
//! changes under its name. Sizes are small and keys cheap, so that a case takes a moment.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use lifeboat_testkit::{SeededEntropy, lighten_key};

/// Bytes of every disk here: several packs, and little to read back.
const DISK_BYTES: usize = 12 << 20;

/// What a failed or killed run may store again: trees, the manifest, headers.
const SMALL_BYTES: u64 = 128 << 10;

/// Cases that run beside each other: most of their time is restic's pause after locking.
const SIDE_BY_SIDE: usize = 4;

/// The folder of one case.
pub(crate) struct Site(pub(crate) PathBuf);

/// How a broken run ended.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) told: String,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Self {
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let status = output.status;
        Self { status, told }
    }

    /// Whether it was killed: by its parent, or below strace.
    pub(crate) fn is_killed(&self) -> bool {
        self.status.signal() == Some(9) || self.status.code() == Some(137)
    }
}

impl Site {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(&self.0)
            .env("RESTIC_PASSWORD_FILE", "password")
            .env("RESTIC_FROM_PASSWORD_FILE", "password")
            .env("RESTIC_CACHE_DIR", self.path("cache"))
            .env("LIFEBOAT_THREADS", "2")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(lifeboat(), arguments).output().unwrap();
        Ended::of(&output)
    }

    /// Runs lifeboat, which must succeed.
    pub(crate) fn lifeboat(&self, when: &str, arguments: &[&str]) {
        let ended = self.run(arguments);
        assert!(
            ended.status.success(),
            "{when}: {arguments:?}: {}",
            ended.told
        );
    }

    /// A repository with small packs and a key that costs little.
    pub(crate) fn init(&self, repository: &str) {
        let sizes = ["--pack-size", "4M", "init", "--chunk-sizes", "64K,64K,1M"];
        self.lifeboat("before", &[&["-r", repository][..], &sizes].concat());
        lighten_key(&self.path(repository), "geheim");
    }

    /// Writes random bytes as the disk `vda.raw` and stores them; gives the snapshot.
    pub(crate) fn backup(&self, repository: &str, disk: &[u8]) -> Taken {
        fs::write(self.path("vda.raw"), disk).unwrap();
        let before = snapshots(&self.path(repository));
        let backup = [
            "-r",
            repository,
            "backup",
            "-m",
            "web01",
            "-d",
            "vda=vda.raw",
        ];
        self.lifeboat("before", &backup);
        let mut new = snapshots(&self.path(repository));
        new.retain(|id| !before.contains(id));
        Taken {
            id: new.pop().unwrap(),
            disk: disk.to_vec(),
        }
    }

    /// All data of a repository reads back as its names say.
    pub(crate) fn verify(&self, when: &str, repository: &str) {
        self.lifeboat(when, &["-r", repository, "--no-lock", "-q", "verify"]);
    }

    /// The disk of a snapshot comes back.
    pub(crate) fn is_restored(&self, when: &str, repository: &str, taken: &Taken) {
        let target = self.path("proof.raw");
        let _ = fs::remove_file(&target);
        let restore = ["restore", &taken.id, "-d", "vda", "-t", "proof.raw"];
        self.lifeboat(
            when,
            &[&["-r", repository, "--no-lock"][..], &restore].concat(),
        );
        assert!(
            fs::read(&target).unwrap() == taken.disk,
            "{when}: {}",
            taken.id
        );
        fs::remove_file(target).unwrap();
    }

    /// Nothing of a dead run is left in a repository: no lock, no unfinished file.
    pub(crate) fn is_clean(&self, when: &str, repository: &str) {
        let root = self.path(repository);
        assert_eq!(
            files(&root.join("locks")),
            [""; 0].map(PathBuf::from),
            "{when}"
        );
        assert_eq!(unfinished(&root), [""; 0].map(PathBuf::from), "{when}");
    }
}

/// A snapshot and what it must give back.
#[derive(Clone)]
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) disk: Vec<u8>,
}

pub(crate) fn lifeboat() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_lifeboat"))
}

/// All files below a folder, hidden ones too; none if it does not exist.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else {
        return found;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Files that no finished run leaves.
pub(crate) fn unfinished(folder: &Path) -> Vec<PathBuf> {
    let is_work = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains(".lifeboat-")
    };
    files(folder).into_iter().filter(is_work).collect()
}

/// The names of all snapshots.
pub(crate) fn snapshots(repository: &Path) -> Vec<String> {
    let names = files(&repository.join("snapshots"));
    let names = names.iter().filter_map(|path| path.file_name()?.to_str());
    names
        .filter(|name| name.len() == 64)
        .map(str::to_owned)
        .collect()
}

/// Bytes of the packs of a repository.
pub(crate) fn pack_bytes(repository: &Path) -> u64 {
    let packs = files(&repository.join("data"));
    let packs = packs
        .iter()
        .filter(|path| path.file_name().is_some_and(|n| n.len() == 64));
    packs.map(|path| path.metadata().unwrap().len()).sum()
}

/// Makes `to` hold what `from` holds: links to what never changes, copies of the rest.
pub(crate) fn link_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            link_folder(&path, &target);
        } else if path.file_name() == Some(OsStr::new("target.raw")) {
            fs::copy(&path, &target).unwrap();
        } else {
            fs::hard_link(&path, &target).unwrap();
        }
    }
}

pub(crate) fn random(seed: u64) -> Vec<u8> {
    SeededEntropy::new(seed).bytes(DISK_BYTES)
}

/// Part of a disk written anew.
pub(crate) fn changed(disk: &[u8], seed: u64) -> Vec<u8> {
    let mut disk = disk.to_vec();
    let new = SeededEntropy::new(seed).bytes(2 << 20);
    disk[3 << 20..][..new.len()].copy_from_slice(&new);
    disk
}

/// An operation to break off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    FirstBackup,
    Increment,
    Forget,
    Prune,
    InstantPrune,
    Restore,
    RestoreInPlace,
    Copy,
    Import,
    RepairIndex,
    KeyAdd,
}

impl Operation {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::FirstBackup => "first backup",
            Self::Increment => "increment",
            Self::Forget => "forget",
            Self::Prune => "prune",
            Self::InstantPrune => "instant prune",
            Self::Restore => "restore",
            Self::RestoreInPlace => "restore in place",
            Self::Copy => "copy",
            Self::Import => "import",
            Self::RepairIndex => "repair index",
            Self::KeyAdd => "key add",
        }
    }

    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::FirstBackup | Self::Increment => {
                &["-r", "r", "backup", "-m", "web01", "-d", "vda=vda.raw"]
            }
            Self::Forget => &["-r", "r", "forget", "--keep-last", "1"],
            Self::Prune => &["-r", "r", "prune", "--max-unused", "0"],
            Self::InstantPrune => &["-r", "r", "prune", "--instant", "--max-unused", "0"],
            Self::Restore => &["-r", "r", "restore", "-d", "vda", "-t", "target.raw"],
            Self::RestoreInPlace => &[
                "-r",
                "r",
                "restore",
                "-d",
                "vda",
                "-t",
                "target.raw",
                "--in-place",
            ],
            Self::Copy => &["-r", "q", "copy", "--from-repo", "r"],
            Self::Import => &["-r", "q", "import", "a.tar"],
            Self::RepairIndex => &["-r", "r", "repair", "index"],
            Self::KeyAdd => &["-r", "r", "key", "add", "--new-password-file", "other"],
        }
    }

    /// Whether it brings data into a repository that an interrupted run need not bring again.
    fn is_sending(self) -> bool {
        matches!(self, Self::FirstBackup | Self::Copy | Self::Import)
    }

    /// The repository it writes to.
    pub(crate) fn repository(self) -> &'static str {
        match self {
            Self::Copy | Self::Import => "q",
            _ => "r",
        }
    }
}

/// An operation, the folder it starts from, and what must hold.
pub(crate) struct Trial {
    folder: tempfile::TempDir,
    pub(crate) operation: Operation,
    /// What `r` holds before and must always give back.
    kept: Vec<Taken>,
    /// The disk that the operation stores or restores.
    disk: Vec<u8>,
    /// Bytes of the packs after a run that nobody broke off.
    whole_bytes: u64,
    made: AtomicUsize,
}

impl Trial {
    pub(crate) fn new(operation: Operation) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("start")).unwrap();
        let mut trial = Self {
            folder,
            operation,
            kept: Vec::new(),
            disk: Vec::new(),
            whole_bytes: 0,
            made: AtomicUsize::new(0),
        };
        trial.prepare();
        let (site, when) = (trial.site(), "undisturbed");
        site.lifeboat(when, operation.arguments());
        trial.is_done(&site, when);
        trial.whole_bytes = pack_bytes(&site.path(operation.repository()));
        trial.leave(site);
        trial
    }

    fn start(&self) -> Site {
        Site(self.folder.path().join("start"))
    }

    /// Snapshots of three disks of which the first is forgotten where something shall be removed.
    fn prepare(&mut self) {
        let start = self.start();
        fs::write(start.path("password"), "geheim\n").unwrap();
        fs::write(start.path("other"), "anders\n").unwrap();
        start.init("r");
        let (first, last) = (random(1), changed(&random(2), 3));
        if self.operation != Operation::FirstBackup {
            let gone = start.backup("r", &first);
            let its_index = files(&start.path("r/index"));
            self.kept.push(start.backup("r", &random(2)));
            self.kept.push(start.backup("r", &last));
            match self.operation {
                Operation::Prune | Operation::InstantPrune => {
                    start.lifeboat("before", &["-r", "r", "forget", &gone.id]);
                }
                Operation::RepairIndex => {
                    start.lifeboat("before", &["-r", "r", "forget", &gone.id]);
                    fs::remove_file(&its_index[0]).unwrap();
                }
                Operation::Forget => self.kept.drain(..1).for_each(drop),
                _ => self.kept.insert(0, gone),
            }
        }
        self.disk = last;
        match self.operation {
            Operation::Copy => start.init("q"),
            Operation::Import => {
                start.init("q");
                start.lifeboat("before", &["-r", "r", "export", "-t", "a.tar"]);
            }
            Operation::FirstBackup => self.disk = first,
            Operation::Increment => self.disk = changed(&self.disk, 4),
            Operation::RestoreInPlace => fs::write(start.path("target.raw"), first).unwrap(),
            _ => {}
        }
        fs::write(start.path("vda.raw"), &self.disk).unwrap();
    }

    /// A folder as it is before the operation.
    pub(crate) fn site(&self) -> Site {
        let number = self.made.fetch_add(1, Relaxed);
        let site = self.folder.path().join(format!("case{number}"));
        link_folder(&self.start().0, &site);
        Site(site)
    }

    pub(crate) fn leave(&self, site: Site) {
        fs::remove_dir_all(site.0).unwrap();
    }

    /// What holds at every moment: all that was stored comes back, nothing half looks whole.
    pub(crate) fn is_whole(&self, site: &Site, when: &str, is_thorough: bool) {
        site.verify(when, "r");
        if self.operation.repository() == "q" {
            site.verify(when, "q");
        }
        if is_thorough {
            self.kept
                .iter()
                .for_each(|taken| site.is_restored(when, "r", taken));
        }
        let target = site.path("target.raw");
        let is_marked = site.path(".target.raw.lifeboat-restoring").exists();
        match self.operation {
            Operation::Restore if target.exists() => {
                assert!(
                    fs::read(target).unwrap() == self.disk,
                    "{when}: a half disk"
                );
            }
            Operation::RestoreInPlace if !is_marked => {
                let bytes = fs::read(target).unwrap();
                let is_either = bytes == self.disk || bytes == random(1);
                assert!(is_either, "{when}: a half disk without a mark");
            }
            _ => {}
        }
    }

    /// What holds after a run that said it succeeded.
    pub(crate) fn is_done(&self, site: &Site, when: &str) {
        let repository = self.operation.repository();
        site.is_clean(when, "r");
        site.is_clean(when, repository);
        self.is_whole(site, when, false);
        match self.operation {
            Operation::FirstBackup | Operation::Increment => {
                let known: Vec<&String> = self.kept.iter().map(|taken| &taken.id).collect();
                let new = snapshots(&site.path("r"));
                let new: Vec<_> = new.into_iter().filter(|id| !known.contains(&id)).collect();
                assert!(!new.is_empty(), "{when}: no snapshot");
                for id in new {
                    let disk = self.disk.clone();
                    site.is_restored(when, "r", &Taken { id, disk });
                }
            }
            Operation::Forget => assert_eq!(snapshots(&site.path("r")).len(), 1, "{when}"),
            Operation::Copy | Operation::Import => {
                assert_eq!(snapshots(&site.path("q")).len(), self.kept.len(), "{when}");
                let id = "latest".to_owned();
                let disk = self.disk.clone();
                site.is_restored(when, "q", &Taken { id, disk });
            }
            Operation::Restore | Operation::RestoreInPlace => {
                let bytes = fs::read(site.path("target.raw")).unwrap();
                assert!(bytes == self.disk, "{when}: another disk");
                assert_eq!(unfinished(&site.0), [""; 0].map(PathBuf::from), "{when}");
            }
            Operation::KeyAdd => {
                let list = ["-r", "r", "-p", "other", "--no-lock", "snapshots"];
                site.lifeboat(when, &list);
            }
            Operation::Prune | Operation::InstantPrune | Operation::RepairIndex => {}
        }
    }

    /// The same again, by a person who knows nothing of what happened.
    pub(crate) fn again(&self, site: &Site, when: &str) {
        let repository = site.path(self.operation.repository());
        let stored = pack_bytes(&repository);
        let mut arguments = self.operation.arguments().to_vec();
        if self.operation == Operation::Restore && site.path("target.raw").exists() {
            arguments.push("--overwrite");
        }
        let when = &format!("{when}, done again");
        site.lifeboat(when, &arguments);
        self.is_done(site, when);
        let sent = pack_bytes(&repository).saturating_sub(stored);
        let left = self.whole_bytes.saturating_sub(stored);
        if self.operation.is_sending() {
            let most = left + left / 5 + SMALL_BYTES;
            assert!(
                sent <= most,
                "{when}: {sent} bytes sent, {left} were left to send"
            );
        }
    }

    /// Another program's word on the repository.
    pub(crate) fn restic_agrees(&self, site: &Site, when: &str) {
        let Some(restic) = lifeboat_testkit::tool("restic") else {
            return;
        };
        let repository = self.operation.repository();
        let check = ["-r", repository, "check", "--no-lock", "--read-data"];
        let output = site.command(&restic, &check).output().unwrap();
        let told = Ended::of(&output).told;
        assert!(output.status.success(), "{when}: restic check: {told}");
    }
}

/// Works on the cases side by side; gives what each of them gave.
pub(crate) fn side_by_side<C: Sync, T: Send>(
    cases: &[C],
    work: impl Fn(usize, &C) -> T + Sync,
) -> Vec<T> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while let Some((number, case)) = {
                    let number = next.fetch_add(1, Relaxed);
                    cases.get(number).map(|case| (number, case))
                } {
                    let result = work(number, case);
                    done.lock().unwrap().push(result);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

/// A call of the operating system that a run made: which, and the how manyth of its thread.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SystemCall {
    pub(crate) name: String,
    pub(crate) number: usize,
}

/// Calls that read, write and name files.
///
/// Not `close`: what it could tell is asked before by a sync.
pub(crate) const FILE_CALLS: &str = "openat,read,pread64,write,pwrite64,pwritev,fsync,fdatasync,\
     rename,renameat2,unlink,unlinkat,mkdir,ftruncate,fallocate";

/// Below strace, which logs to `log` and does what `inject` says.
pub(crate) fn straced(
    site: &Site,
    strace: &Path,
    inject: Option<&str>,
    operation: &[&str],
) -> Ended {
    let log = site.path("log");
    let calls = format!("trace={FILE_CALLS}");
    let mut arguments = vec!["-f", "-qq", "-y", "-s", "0", "-o", log.to_str().unwrap()];
    arguments.extend(["-e", &calls, "-e", "signal=none"]);
    if let Some(inject) = inject {
        arguments.extend(["-e", inject]);
    }
    arguments.push(lifeboat().to_str().unwrap());
    arguments.extend(operation);
    let output = site.command(strace, &arguments).output().unwrap();
    Ended::of(&output)
}

/// Every call of an undisturbed run on a file of the site, in the order they were made.
pub(crate) fn calls_of(trial: &Trial, strace: &Path) -> Vec<SystemCall> {
    let site = trial.site();
    let ended = straced(&site, strace, None, trial.operation.arguments());
    assert!(ended.status.success(), "{}", ended.told);
    let log = fs::read_to_string(site.path("log")).unwrap();
    let place = site.0.file_name().unwrap().to_str().unwrap();
    let mut counts = std::collections::BTreeMap::new();
    let mut calls = Vec::new();
    for line in log.lines() {
        let Some((thread, call)) = line.split_once(' ') else {
            continue;
        };
        let Some((name, _)) = call.trim_start().split_once('(') else {
            continue;
        };
        if !name.bytes().all(|c| c.is_ascii_alphanumeric()) {
            continue;
        }
        let number = counts.entry((thread, name)).or_insert(0);
        *number += 1;
        let is_relative = call.contains("\"r/") || call.contains("\"q/");
        if call.contains(place) || is_relative {
            let (name, number) = (name.to_owned(), *number);
            calls.push(SystemCall { name, number });
        }
    }
    calls.sort();
    calls.dedup();
    trial.leave(site);
    calls
}

/// So many of them, from the first to the last at equal steps.
pub(crate) fn spread<T: Clone>(all: &[T], count: usize) -> Vec<T> {
    let count = count.min(all.len());
    let at = |step: usize| step * (all.len() - 1) / count.saturating_sub(1).max(1);
    (0..count).map(|step| all[at(step)].clone()).collect()
}

/// A small file that only takes room.
pub(crate) fn fill(path: &Path, leave: u64) {
    use std::io::Write;
    let mut file = File::create(path).unwrap();
    let step = vec![1; 64 << 10];
    while file.write_all(&step).is_ok() {}
    while file.write_all(&step[..1]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(leave)).unwrap();
    file.sync_all().unwrap();
}
