//! Promises of the program as a whole, one module each.

mod alerts_reach_people;
mod archives_carry_snapshots_anywhere;
mod captures_that_end_early_say_why;
mod catalogs_bring_records_back;
mod chains_become_snapshots_and_back;
mod configurations_and_schedules_are_told;
mod devices_take_disks;
mod documents_stand_alone_on_standard_output;
mod failures_have_their_own_words;
mod faults_are_told_and_leave_no_debris;
mod files;
mod files_inside_machines_are_shown;
mod files_of_machines_become_snapshots;
mod fleets_are_listed_by_everybody;
mod flips_agree_with_restic;
mod full_disk_is_told_and_prune_makes_room;
mod imported_schedules_begin_when_they_did_before;
mod interop;
mod interrupted_runs_are_taken_over;
mod kills_leave_whole_repositories;
mod kills_of_instant_machines_lose_no_write;
mod kills_of_machine_backups_leave_nothing;
mod kills_of_recoveries_are_taken_back;
mod large_disks_fit_into_memory;
mod machines;
mod machines_come_and_go_by_commands;
mod machines_come_back_through_libvirt;
mod operators;
mod repairs_reach_every_finding;
mod repositories_share_a_machine_without_loss;
mod runs_by_hand_leave_nothing_behind;
mod soak_a_guest_that_writes_is_kept_whole;
mod the_service_keeps_and_tells;
mod the_services_of_a_site_do_each_thing_once;
mod trial;
mod volumes_of_this_computer_come_back;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use lifeboat_model::ByteCount;
use lifeboat_testkit::{ChangeRule, DiskPattern, PatternDisk, SeededEntropy, lighten_key};
use serde_json::Value;

/// A folder to work in, with a password in the file `password`.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("password"), "geheim\n").unwrap();
        fs::write(folder.path().join("other"), "anders\n").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Output {
        Command::new(program)
            .args(arguments)
            .current_dir(self.folder.path())
            .env("RESTIC_PASSWORD_FILE", "password")
            .env("RESTIC_CACHE_DIR", self.path("cache"))
            .env("LIFEBOAT_THREADS", "2")
            .output()
            .unwrap()
    }

    /// Runs lifeboat; gives its exit code and what it said on standard error.
    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(Path::new(env!("CARGO_BIN_EXE_lifeboat")), arguments);
        let code = output.status.code().unwrap();
        assert_ne!(code, 0, "{arguments:?} is refused");
        (code, String::from_utf8(output.stderr).unwrap())
    }

    /// Runs lifeboat, which must succeed; gives what it said.
    fn lifeboat(&self, arguments: &[&str]) -> String {
        self.tool(Path::new(env!("CARGO_BIN_EXE_lifeboat")), arguments)
    }

    /// Runs a program, which must succeed.
    fn tool(&self, program: &Path, arguments: &[&str]) -> String {
        let output = self.command(program, arguments);
        let (told, failed) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{arguments:?}: {told}{failed}");
        told
    }

    /// Makes a repository `r` with a key that costs little.
    fn init_light(&self) {
        self.lifeboat(&["-r", "r", "init"]);
        lighten_key(&self.path("r"), "geheim");
    }

    /// The messages of one type that a command prints as JSON.
    fn messages(&self, kind: &str, arguments: &[&str]) -> Vec<Value> {
        messages(&self.lifeboat(&[&["--json"], arguments].concat()), kind)
    }

    /// The ids of all snapshots, oldest first.
    fn snapshots(&self, repository: &str) -> Vec<String> {
        let list = self.lifeboat(&["-r", repository, "--json", "snapshots"]);
        let list: Vec<Value> = serde_json::from_str(&list).unwrap();
        list.iter()
            .map(|snapshot| snapshot["id"].as_str().unwrap().to_owned())
            .collect()
    }

    fn write_disk(&self, name: &str, disk: &PatternDisk) {
        let file = File::create(self.path(name)).unwrap();
        file.set_len(disk.size()).unwrap();
        disk.write_to(&file).unwrap();
    }

    /// A repository `r` with two snapshots of a machine; gives the disk at both times.
    fn two_backups(&self) -> [Vec<u8>; 2] {
        self.init_light();
        let mut disk = DiskPattern::new(7, 9 << 20).disk();
        let before = disk.bytes();
        self.backup("r", &disk);
        let rule = ChangeRule {
            area_count: 5,
            area_bytes_max: 300_000,
            grain: 512,
        };
        disk.change(&SeededEntropy::new(3), rule);
        self.backup("r", &disk);
        [before, disk.bytes()]
    }

    fn backup(&self, repository: &str, disk: &PatternDisk) {
        self.write_disk("vda.raw", disk);
        fs::write(self.path("machine.xml"), "<domain/>").unwrap();
        let disk = "vda=vda.raw";
        let describe = "machine.xml=machine.xml";
        let arguments = ["-r", repository, "backup", "-m", "web01", "-d", disk];
        self.lifeboat(&[&arguments[..], &["--describe", describe, "--tag", "night"]].concat());
    }

    /// Restores the disk `vda` of a snapshot and gives its bytes.
    fn restored(&self, arguments: &[&str], snapshot: &str) -> Vec<u8> {
        let target = self.path("restored.raw");
        let _ = fs::remove_file(&target);
        let rest = ["restore", snapshot, "-d", "vda", "-t", "restored.raw"];
        self.lifeboat(&[arguments, &rest].concat());
        fs::read(target).unwrap()
    }
}

fn messages(told: &str, kind: &str) -> Vec<Value> {
    let lines = told.lines().map(|line| serde_json::from_str(line).unwrap());
    lines
        .filter(|line: &Value| line["message_type"] == kind)
        .collect()
}

/// What `lifeboat -v` tells of memory on standard error: the bound, if the command has one, and
/// the peak, in bytes.
fn memory_told(output: &Output) -> (Option<u64>, u64) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let amount = |text: &str| text.parse::<ByteCount>().unwrap().0;
    let lines = || {
        told.lines()
            .filter_map(|line| line.strip_prefix("memory: "))
    };
    let bound = lines().find_map(|line| line.strip_prefix("at most ")?.split_once(':'));
    let peak = lines().find_map(|line| line.strip_suffix(" at its peak"));
    (bound.map(|(bytes, _)| amount(bytes)), amount(peak.unwrap()))
}

/// Changes one byte of a file.
fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 1], offset).unwrap();
}
