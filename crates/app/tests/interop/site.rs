//! A folder with a repository, a disk that changes, and the programs that work on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use lifeboat_model::ExtentSet;
use lifeboat_testkit::{ChangeRule, DiskPattern, PatternDisk, SeededEntropy, tool};

/// Of every repository here.
pub(crate) const PASSWORD: &str = "secret";

/// A program that others made.
pub(crate) struct Stock {
    name: &'static str,
    path: PathBuf,
}

impl Stock {
    /// Nothing where it is missing.
    pub(crate) fn find(name: &'static str) -> Option<Self> {
        let path = tool(name)?;
        Some(Self { name, path })
    }

    pub(crate) fn is_rustic(&self) -> bool {
        self.name == "rustic"
    }
}

/// A snapshot and what the disk held then.
#[derive(Clone)]
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Site {
    folder: tempfile::TempDir,
    pub(crate) repository: PathBuf,
    pub(crate) disk: PatternDisk,
    pub(crate) entropy: SeededEntropy,
}

impl Site {
    pub(crate) fn new(seed: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let site = Self {
            repository: folder.path().join("repository"),
            folder,
            disk: DiskPattern::new(seed, 12 << 20).disk(),
            entropy: SeededEntropy::new(seed),
        };
        site.lifeboat(&["init"]);
        site
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command with everything it needs in its environment.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("RESTIC_REPOSITORY", &self.repository)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("RESTIC_FROM_PASSWORD", PASSWORD)
            .env("RESTIC_CACHE_DIR", self.path("cache"))
            .env("RUSTIC_REPOSITORY", &self.repository)
            .env("RUSTIC_PASSWORD", PASSWORD)
            .env("RUSTIC_NO_CACHE", "true")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn lifeboat_command(&self) -> Command {
        self.command(Path::new(env!("CARGO_BIN_EXE_lifeboat")))
    }

    pub(crate) fn lifeboat(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.lifeboat_command().args(arguments).output().unwrap();
        done("lifeboat", arguments, output)
    }

    pub(crate) fn stock(&self, stock: &Stock, arguments: &[&str]) -> Vec<u8> {
        let output = self.command(&stock.path).args(arguments).output().unwrap();
        done(stock.name, arguments, output)
    }

    pub(crate) fn stock_command(&self, stock: &Stock) -> Command {
        self.command(&stock.path)
    }

    /// Backs the disk up as it is; with what changed only that is read.
    pub(crate) fn backup(&self, changed: Option<&ExtentSet>) -> Taken {
        let file = std::fs::File::create(self.path("vda.raw")).unwrap();
        self.disk.write_to(&file).unwrap();
        let disk = format!("vda={}", self.path("vda.raw").display());
        let mut arguments = vec!["backup", "--json", "-m", "web1", "-d", &disk];
        let list = format!("vda={}", self.path("changed.json").display());
        if let Some(changed) = changed {
            std::fs::write(self.path("changed.json"), map(changed, self.disk.size())).unwrap();
            arguments.extend(["--changed", &list]);
        }
        let text = String::from_utf8(self.lifeboat(&arguments)).unwrap();
        assert_eq!(text.contains("incremental"), changed.is_some(), "{text}");
        let id = text.split("\"snapshot_id\":\"").nth(1);
        let id = id.unwrap_or_else(|| panic!("no snapshot in {text}"))[..64].to_owned();
        let bytes = self.disk.bytes();
        Taken { id, bytes }
    }

    /// Changes some of the disk, then backs up what changed.
    pub(crate) fn change_and_backup(&mut self) -> Taken {
        let rule = ChangeRule {
            area_count: 12,
            area_bytes_max: 300_000,
            grain: 512,
        };
        let changed = self.disk.change(&self.entropy, rule);
        self.backup(Some(&changed))
    }

    /// The stock program checks all data, lists, dumps and restores these snapshots.
    pub(crate) fn is_read_by(&self, stock: &Stock, taken: &[Taken], when: &str) {
        self.stock(stock, &["check", "--read-data"]);
        let list = self.stock(stock, &["snapshots", "--json"]);
        let list = String::from_utf8(list).unwrap();
        for taken in taken {
            assert!(
                list.contains(&taken.id),
                "{} lists {}: {list}",
                stock.name,
                taken.id
            );
            let dumped = if stock.is_rustic() {
                self.stock(stock, &["dump", &format!("{}:disks/vda.raw", taken.id)])
            } else {
                self.stock(stock, &["dump", &taken.id, "/disks/vda.raw"])
            };
            assert!(
                dumped == taken.bytes,
                "{when}: {} dumps other bytes",
                stock.name
            );
        }
        if let Some(last) = taken.last() {
            let target = self.path("restored");
            let place = target.to_str().unwrap();
            if stock.is_rustic() {
                self.stock(stock, &["restore", &last.id, place]);
            } else {
                self.stock(stock, &["restore", &last.id, "--target", place]);
            }
            let restored = std::fs::read(target.join("disks/vda.raw")).unwrap();
            assert!(
                restored == last.bytes,
                "{when}: {} restores other bytes",
                stock.name
            );
            std::fs::remove_dir_all(target).unwrap();
        }
    }

    /// lifeboat checks all data and dumps and restores these snapshots.
    pub(crate) fn is_read_by_lifeboat(&self, taken: &[Taken], when: &str) {
        self.lifeboat(&["check", "--read-data"]);
        for taken in taken {
            let dumped = self.lifeboat(&["dump", &taken.id, "disks/vda.raw"]);
            assert!(dumped == taken.bytes, "{when}: lifeboat dumps other bytes");
        }
        if let Some(last) = taken.last() {
            let target = self.path("restored.raw");
            let place = target.to_str().unwrap();
            self.lifeboat(&["restore", &last.id, "-d", "vda", "-t", place]);
            let restored = std::fs::read(&target).unwrap();
            assert!(
                restored == last.bytes,
                "{when}: lifeboat restores other bytes"
            );
            std::fs::remove_file(target).unwrap();
        }
    }

    /// Files of that kind, by their folder's name.
    pub(crate) fn files(&self, folder: &str) -> Vec<PathBuf> {
        crate::trial::files(&self.repository.join(folder))
    }
}

/// What a program wrote; panics with everything it said when it failed.
fn done(name: &str, arguments: &[&str], output: Output) -> Vec<u8> {
    assert!(
        output.status.success(),
        "{name} {arguments:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The list as `nbdinfo --map --json` prints a dirty bitmap.
fn map(changed: &ExtentSet, size: u64) -> String {
    let (mut entries, mut offset) = (Vec::new(), 0);
    let mut push = |start: u64, end: u64, kind: u8, word: &str| {
        if start < end {
            let length = end - start;
            entries.push(format!(
                "{{\"offset\":{start},\"length\":{length},\"type\":{kind},\
                 \"description\":\"{word}\"}}"
            ));
        }
    };
    for extent in changed.iter() {
        push(offset, extent.start(), 0, "clean");
        push(extent.start(), extent.end(), 1, "dirty");
        offset = extent.end();
    }
    push(offset, size, 0, "clean");
    format!("[{}]", entries.join(","))
}
