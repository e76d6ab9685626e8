//! The machine, its daemon, and its backups by the real program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use lifeboat_testkit::journal::{EmptyDisk, JournalDuty, JournalGuest, Said};
use lifeboat_testkit::libvirtd::{Daemon, give_away, shown};
use lifeboat_testkit::tool;
use serde_json::Value;

use crate::messages;

/// A whole Debian takes half a minute to boot on a computer with nothing else to do.
const PATIENCE: Duration = Duration::from_secs(900);
/// New records between two points.
const RECORDS_BETWEEN: u64 = 12;
const MIB: u64 = 1 << 20;
/// What the guest's agent listens to.
const CHANNEL: &str = "<channel type='unix'><target type='virtio' \
                       name='org.qemu.guest_agent.0'/></channel>";

/// How a point comes about, and what it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// The machine stands still while the instant is fixed; its images are copied meanwhile.
    Paused,
    /// It goes on; another client of QEMU's export of the instant copies it.
    Running,
    /// As running; its agent freezes the file systems while the instant is fixed.
    Frozen,
}

/// A point and what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) snapshot: String,
    pub(super) manner: Manner,
    /// The last record that was acknowledged before the instant.
    pub(super) acknowledged: u64,
}

/// A machine with two disks that writes for ever.
pub(super) struct Life {
    daemon: Daemon,
    pub(super) guest: JournalGuest,
    /// A copy that the daemon's user may run.
    program: PathBuf,
    memory_mib: u32,
    duty: JournalDuty<'static>,
    /// Where the journal is on the first disk.
    pub(super) journal: &'static str,
    pub(super) points: Vec<Point>,
}

/// The seed of the life: `LIFEBOAT_SEED`, or always the same.
pub(super) fn seed() -> u64 {
    let given = std::env::var("LIFEBOAT_SEED").ok();
    given.map_or(1, |text| text.parse().expect("LIFEBOAT_SEED is a number"))
}

impl Life {
    /// A guest whose only process keeps the journal, beside QEMU's agent.
    pub(super) fn of_small_guest() -> Option<Self> {
        let life = Self::new(JournalDuty::Keep(seed()), 256, "")?;
        EmptyDisk::Ext4(32 * MIB).make(&life.image("vda"));
        Some(life)
    }

    /// Everything but the first disk; nothing where a part of it is not installed.
    pub(super) fn new(
        duty: JournalDuty<'static>,
        memory_mib: u32,
        journal: &'static str,
    ) -> Option<Self> {
        tool("mkfs.xfs")?;
        let daemon = Daemon::begin(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        for name in ["guest", "truth", "again", "restored"] {
            fs::create_dir(daemon.path(name)).unwrap();
        }
        let guest = JournalGuest::build(&daemon.path("guest"))?;
        let program = daemon.path("lifeboat");
        fs::copy(env!("CARGO_BIN_EXE_lifeboat"), &program).unwrap();
        fs::write(daemon.path("password"), "geheim\n").unwrap();
        let life = Self {
            daemon,
            guest,
            program,
            memory_mib,
            duty,
            journal,
            points: Vec::new(),
        };
        EmptyDisk::Xfs(300 * MIB).make(&life.image("vdb"));
        Some(life)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.daemon.path(name)
    }

    /// A folder as an argument.
    pub(super) fn folder(&self, name: &str) -> String {
        format!("{}/", shown(&self.path(name)))
    }

    pub(super) fn image(&self, disk: &str) -> PathBuf {
        self.path(&format!("images/life-{disk}"))
    }

    /// What another reader than lifeboat saw of a disk at a point.
    pub(super) fn truth(&self, point: usize, disk: &str) -> PathBuf {
        self.path(&format!("truth/{point}-{disk}.raw"))
    }

    /// Runs lifeboat as the daemon's user; it must succeed.
    pub(super) fn lifeboat(&self, arguments: &[&str]) -> String {
        let mut command = self.daemon.command(&self.program);
        command
            .args(arguments)
            .current_dir(self.path("."))
            .env("RESTIC_REPOSITORY", self.path("r"))
            .env("RESTIC_PASSWORD_FILE", self.path("password"))
            .env("RESTIC_CACHE_DIR", self.path("cache"))
            .env("LIFEBOAT_PLATFORM", self.daemon.uri())
            .env("LIFEBOAT_INSTANT_STATE", self.path("instant"))
            .env("LIFEBOAT_THREADS", "2");
        self.succeeds(command)
    }

    fn succeeds(&self, mut command: Command) -> String {
        let output = command.output().unwrap();
        let (told, failed) = (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(
            output.status.success(),
            "seed {}: {command:?}: {told}{failed}{}",
            seed(),
            self.console()
        );
        told
    }

    fn console(&self) -> String {
        let bytes = fs::read(self.path("console")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What the machine has said; a complaint of it ends the test.
    fn said(&self) -> Said {
        let said = Said::of(&self.console());
        assert_eq!(said.complaints, [""; 0], "seed {}", seed());
        said
    }

    fn wait_for(&self, what: &str, happened: impl Fn(&Said) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !happened(&self.said()) {
            let console = self.console();
            assert!(Instant::now() < end, "no {what}; the console: {console}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Makes a repository, and starts the machine.
    pub(super) fn start(&self) {
        give_away(&self.path("."));
        self.lifeboat(&["init"]);
        let file = self.path("life.xml");
        fs::write(&file, self.definition()).unwrap();
        self.daemon.virsh(&["define", &shown(&file)]);
        self.daemon.virsh(&["start", "life"]);
        self.wait_for("word of an empty journal", |said| {
            said.found == Some([0, 0])
        });
    }

    fn definition(&self) -> String {
        let disks = ["vda", "vdb"].map(|disk| {
            let image = shown(&self.image(disk));
            format!(
                "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>\
                 <source file='{image}'/><target dev='{disk}' bus='virtio'/></disk>"
            )
        });
        format!(
            "<domain type='qemu'><name>life</name><memory unit='MiB'>{}</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='q35'>hvm</type><kernel>{}</kernel>\
             <initrd>{}</initrd><cmdline>{}</cmdline></os><features><acpi/></features>\
             <cpu mode='maximum'><feature policy='disable' name='la57'/></cpu>\
             <on_poweroff>destroy</on_poweroff><devices>{}{CHANNEL}\
             <serial type='file'><source path='{}'/></serial>\
             <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
            self.memory_mib,
            shown(&self.guest.kernel),
            shown(&self.guest.initramfs),
            JournalGuest::line(self.duty),
            disks.concat(),
            shown(&self.path("console"))
        )
    }

    /// Makes a point when the machine has written on since the last one.
    pub(super) fn back_up(&mut self, manner: Manner) {
        let number = self.points.len();
        let earlier = self.points.last().map_or(0, |point| point.acknowledged);
        self.wait_for("new records", |said| said.kept >= earlier + RECORDS_BETWEEN);
        if manner == Manner::Frozen {
            self.wait_for_agent();
        }
        let mut acknowledged = self.said().kept;
        let job = self.path("job.toml");
        fs::write(&job, self.job(manner, number)).unwrap();
        let arguments = ["--json", "machine", "backup", "life", "--job"];
        let told = self.lifeboat(&[&arguments[..], &[shown(&job).as_str()]].concat());
        let told = messages(&told, "machine").pop().unwrap();
        self.is_as_wanted(&told, manner, number);
        if manner == Manner::Paused {
            let console = fs::read(self.path(&format!("truth/{number}.console"))).unwrap();
            acknowledged = Said::of(&String::from_utf8_lossy(&console)).kept;
        }
        self.points.push(Point {
            snapshot: told["snapshot_id"].as_str().unwrap().to_owned(),
            manner,
            acknowledged,
        });
    }

    fn wait_for_agent(&self) {
        let ping = ["qemu-agent-command", "life", "{\"execute\":\"guest-ping\"}"];
        let end = Instant::now() + PATIENCE;
        while let Err(said) = self.daemon.try_virsh(&ping) {
            assert!(Instant::now() < end, "no agent: {said}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Every point but the first reads only what changed, and says what it is worth.
    fn is_as_wanted(&self, told: &Value, manner: Manner, number: usize) {
        let when = format!("seed {}, point {number}: {told}", seed());
        assert_eq!(told["outcome"], "saved", "{when}");
        let mode = if number == 0 { "full" } else { "incremental" };
        let disks = told["disks"].as_array().unwrap();
        let names: Vec<_> = disks.iter().map(|disk| &disk["disk"]).collect();
        assert_eq!(names, ["vda", "vdb"], "{when}");
        for disk in disks {
            assert_eq!(disk["mode"], mode, "{when}");
            let (size, changed) = (disk["size"].as_u64(), disk["changed_bytes"].as_u64());
            assert_eq!(changed.is_some(), number > 0, "{when}");
            assert!(changed < size, "{when}");
        }
        let worth = match manner {
            Manner::Frozen => "filesystem",
            Manner::Paused | Manner::Running => "crash",
        };
        assert_eq!(told["consistency"], worth, "{when}");
    }

    /// A job whose hooks copy both disks at the instant, by other programs than lifeboat.
    fn job(&self, manner: Manner, number: usize) -> String {
        let virsh = shown(&tool("virsh").unwrap());
        let uri = self.daemon.uri();
        let (console, kept) = (
            shown(&self.path("console")),
            shown(&self.path(&format!("truth/{number}.console"))),
        );
        let control = |word: &str| vec![virsh.clone(), "-c".into(), uri.clone(), word.into()];
        let copies = ["vda", "vdb"].map(|disk| {
            let truth = shown(&self.truth(number, disk));
            match manner {
                Manner::Paused => {
                    let image = shown(&self.image(disk));
                    let words = "qemu-img convert -U -f qcow2 -O raw".split(' ');
                    let words = words.map(str::to_owned);
                    words.chain([image, truth]).collect::<Vec<_>>()
                }
                Manner::Running | Manner::Frozen => {
                    let find = "sed -n \"s/.*<server .*socket='\\([^']*\\)'.*/\\1/p\"";
                    let script = format!(
                        "socket=$({virsh} -c '{uri}' backup-dumpxml life | {find}) && \
                         qemu-img convert -f raw -O raw nbd+unix:///{disk}?socket=$socket {truth}"
                    );
                    vec!["sh".to_owned(), "-c".to_owned(), script]
                }
            }
        });
        let named = |words: Vec<String>| [words, vec!["life".to_owned()]].concat();
        let mut text = match manner {
            Manner::Frozen => "quiesce = \"required\"\n".to_owned(),
            Manner::Paused | Manner::Running => "quiesce = \"never\"\n".to_owned(),
        };
        if manner == Manner::Paused {
            text += &hook("pre_snapshot", &named(control("suspend")));
        }
        for copy in copies {
            text += &hook("on_snapshot", &copy);
        }
        if manner == Manner::Paused {
            text += &hook("on_snapshot", &["cp".to_owned(), console, kept]);
            text += &hook("on_snapshot", &named(control("resume")));
        }
        text
    }

    /// The machine and its disks are gone, as after a disaster.
    pub(super) fn is_lost(&self) {
        self.remove("life");
        for disk in ["vda", "vdb"] {
            fs::remove_file(self.image(disk)).unwrap();
        }
    }

    /// Ends a machine and forgets it.
    pub(super) fn remove(&self, name: &str) {
        self.daemon.virsh(&["destroy", name]);
        let metadata = ["undefine", name, "--checkpoints-metadata"];
        self.daemon.virsh(&metadata);
    }

    /// A command brings the machine back: its journal is whole, ends where the point ended, and
    /// goes on.
    pub(super) fn comes_back(&self, last: [u64; 2], name: &str, command: &[&str]) {
        fs::remove_file(self.path("console")).unwrap();
        self.lifeboat(command);
        self.wait_for("word of the journal", |said| said.found.is_some());
        assert_eq!(self.said().found, Some(last), "{name}, seed {}", seed());
        let more = last[0] + RECORDS_BETWEEN;
        self.wait_for("records that go on", |said| said.kept >= more);
        assert_eq!(self.daemon.virsh(&["domstate", name]).trim(), "running");
    }
}

fn hook(when: &str, words: &[String]) -> String {
    let run = Value::from(words.to_vec());
    format!("[[{when}]]\nrun = {run}\nseconds_max = 600\n")
}
