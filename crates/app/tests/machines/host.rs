//! A host with a libvirt daemon, machines and repositories, on which the program runs as an
//! ordinary user.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use lifeboat_testkit::libvirtd::{Daemon, TestMachine, give_away, shown, wait_for};
use serde_json::Value;

use super::wire::{Moment, Wire};
use crate::trial::{Ended, Site, files, lifeboat};

/// Between two looks at a run.
const PAUSE: Duration = Duration::from_millis(5);

pub(crate) struct Host {
    pub(crate) daemon: Daemon,
    site: Site,
}

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    Lifeboat,
    Emulator,
    Daemon,
}

/// What became of a run in the middle of which somebody was killed.
pub(crate) struct Struck {
    pub(crate) ended: Ended,
    /// Whether the moment came.
    pub(crate) is_hit: bool,
}

impl Host {
    /// Nothing where libvirt is not installed; says so.
    pub(crate) fn begin() -> Option<Self> {
        let daemon = Daemon::begin(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let site = Site(daemon.path(""));
        fs::write(site.path("password"), "geheim\n").unwrap();
        let host = Self { daemon, site };
        host.folder("restored");
        host.folder("cache");
        Some(host)
    }

    /// Makes a folder of the daemon's user.
    pub(crate) fn folder(&self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
        give_away(&self.path(name));
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.daemon.path(name)
    }

    /// Makes a repository with a key that costs little.
    pub(crate) fn init(&self, repository: &str) {
        self.site.init(repository);
        give_away(&self.path(repository));
    }

    /// The program as the daemon's user starts it; `uri` leads it to libvirt.
    pub(crate) fn command(&self, uri: &str, repository: &str, words: &[&str]) -> Command {
        let mut command = self.daemon.command(lifeboat());
        command
            .arg("-r")
            .arg(self.path(repository))
            .args(words)
            .current_dir(self.path(""))
            .env("RESTIC_PASSWORD_FILE", self.path("password"))
            .env("RESTIC_CACHE_DIR", self.path("cache"))
            .env("LIFEBOAT_PLATFORM", uri)
            .env("LIFEBOAT_INSTANT_STATE", self.path("instant"))
            .env("LIFEBOAT_THREADS", "2")
            .stdin(Stdio::null());
        command
    }

    fn output(&self, repository: &str, words: &[&str]) -> Output {
        let mut command = self.command(&self.daemon.uri(), repository, words);
        command.output().unwrap()
    }

    pub(crate) fn run(&self, repository: &str, words: &[&str]) -> Ended {
        Ended::of(&self.output(repository, words))
    }

    /// Runs the program, which must succeed; gives what it said.
    pub(crate) fn lifeboat(&self, when: &str, repository: &str, words: &[&str]) -> String {
        let output = self.output(repository, words);
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{when}: {words:?}: {told}{complaint}"
        );
        told
    }

    /// Runs the program, which must fail in this way; gives what it complains of.
    pub(crate) fn fails(&self, code: i32, repository: &str, words: &[&str]) -> String {
        let ended = self.run(repository, words);
        assert_eq!(ended.status.code(), Some(code), "{words:?}: {}", ended.told);
        ended.told
    }

    /// Backs a machine up; gives what is told of it.
    pub(crate) fn backup(&self, when: &str, repository: &str, machine: &str) -> Value {
        let told = self.lifeboat(when, repository, &["--json", "machine", "backup", machine]);
        let lines = told.lines().map(|line| serde_json::from_str(line).unwrap());
        let mut of_machine = lines.filter(|line: &Value| line["message_type"] == "machine");
        let line = of_machine.next().unwrap();
        assert_eq!(line["outcome"], "saved", "{when}: {line}");
        line
    }

    /// Every disk of the newest snapshot is what the machine has.
    pub(crate) fn is_restored(&self, when: &str, repository: &str, machine: &TestMachine<'_>) {
        for (disk, truth) in &machine.truth {
            let restored = self.restored(when, repository, disk);
            assert!(restored == *truth, "{when}: {disk} is not as it was");
        }
    }

    /// A disk of the newest snapshot.
    pub(crate) fn restored(&self, when: &str, repository: &str, disk: &str) -> Vec<u8> {
        let target = self.path("restored/disk");
        let _ = fs::remove_file(&target);
        let restore = ["--no-lock", "restore", "-d", disk, "-t", &shown(&target)];
        self.lifeboat(when, repository, &restore);
        fs::read(&target).unwrap()
    }

    /// Nothing of a run is left: no job, no scratch, no socket, no lock, and of checkpoints those
    /// that snapshots need.
    pub(crate) fn is_clean(
        &self,
        when: &str,
        repository: &str,
        machine: &TestMachine<'_>,
        wanted: &[&Value],
    ) {
        let job = self.daemon.virsh(&["domjobinfo", &machine.name]);
        assert!(job.contains("None"), "{when}: {job}");
        assert_eq!(self.daemon.scratch(), [""; 0], "{when}");
        assert_eq!(self.sockets(), [""; 0].map(PathBuf::from), "{when}");
        let marks = wanted.iter().flat_map(|it| checkpoints(it));
        let marks: BTreeSet<String> = marks.collect();
        let found: BTreeSet<String> = self.daemon.checkpoints(&machine.name).into_iter().collect();
        assert_eq!(found, marks, "{when}");
        self.site.is_clean(when, repository);
    }

    /// Sockets of lifeboat's below the daemon's folder.
    fn sockets(&self) -> Vec<PathBuf> {
        let is_socket = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("lifeboat-") && name.ends_with(".sock")
        };
        let all = ["cfg", "run", "scratch"].map(|name| files(&self.path(name)));
        all.into_iter().flatten().filter(is_socket).collect()
    }

    /// Runs the program through a wire, and kills somebody when the moment has come; the daemon
    /// is started again as a supervisor does it.
    pub(crate) fn strike(
        &self,
        (wire, moment): (&Wire, Moment),
        (victim, machine): (Victim, &str),
        repository: &str,
        words: &[&str],
    ) -> Struck {
        wire.aim(Some(moment));
        let mut command = self.command(&wire.uri(), repository, words);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut is_hit = false;
        loop {
            match wire.reached(PAUSE) {
                Some(held) => {
                    is_hit = true;
                    self.kill((victim, machine), &mut child);
                    drop(held);
                    if victim == Victim::Daemon {
                        self.daemon.start();
                    }
                }
                None if child.try_wait().unwrap().is_some() => break,
                None => {}
            }
        }
        let ended = Ended::of(&child.wait_with_output().unwrap());
        if victim == Victim::Daemon && is_hit {
            wait_for(|| self.daemon.try_virsh(&["list"]).is_ok());
        }
        Struck { ended, is_hit }
    }

    fn kill(&self, (victim, machine): (Victim, &str), child: &mut Child) {
        match victim {
            Victim::Lifeboat => child.kill().unwrap(),
            Victim::Daemon => self.daemon.kill(),
            Victim::Emulator => self.daemon.kill_emulator_at_once(machine),
        }
    }
}

/// The checkpoints that a snapshot needs.
fn checkpoints(told: &Value) -> Vec<String> {
    let disks = told["disks"].as_array().unwrap().iter();
    disks
        .filter_map(|disk| disk["checkpoint"].as_str())
        .map(str::to_owned)
        .collect()
}
