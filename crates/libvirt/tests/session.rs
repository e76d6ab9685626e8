//! A libvirt daemon of its own for each test, with machines that have disks and no system.
//!
//! Machines are written to by QEMU's monitor, which is deterministic and takes no boot.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_libvirt::{Libvirt, LibvirtOptions};
use lifeboat_model::{ByteCount, DiskName, SystemClock};
use lifeboat_platform::{
    Capture, CaptureRequest, CapturedChange, CapturedDisk, CheckpointId, Origin, Platform, Quiesce,
    Since, VmId,
};
use lifeboat_testkit::{SeededEntropy, tool};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The user whose daemon it is where tests run as root: a session is never root's.
const NOBODY: u32 = 65534;
/// Random numbers differ between tests that share nothing, and need not.
const SEED: u64 = 7;
pub(crate) const MIB: u64 = 1 << 20;

/// A daemon and its folder; everything of it ends with this.
pub(crate) struct Session {
    folder: TempDir,
    daemon: RefCell<Child>,
    libvirtd: PathBuf,
    virsh: PathBuf,
    pub(crate) platform: Libvirt,
    pub(crate) entropy: SeededEntropy,
}

/// A disk of a test's machine.
#[derive(Clone, Debug)]
pub(crate) struct TestDisk {
    pub(crate) target: &'static str,
    pub(crate) format: &'static str,
    pub(crate) size: u64,
}

/// A machine and what its disks must hold.
pub(crate) struct Machine<'a> {
    pub(crate) session: &'a Session,
    pub(crate) name: String,
    pub(crate) id: VmId,
    pub(crate) disks: Vec<TestDisk>,
    pub(crate) truth: BTreeMap<&'static str, Vec<u8>>,
}

pub(crate) fn qcow2(target: &'static str, mebibytes: u64) -> TestDisk {
    TestDisk {
        target,
        format: "qcow2",
        size: mebibytes * MIB,
    }
}

pub(crate) fn raw(target: &'static str, mebibytes: u64) -> TestDisk {
    TestDisk {
        format: "raw",
        ..qcow2(target, mebibytes)
    }
}

pub(crate) fn origin(digit: char) -> Origin {
    digit.to_string().repeat(16).parse().unwrap()
}

pub(crate) fn disk_name(name: &str) -> DiskName {
    name.parse().unwrap()
}

impl Session {
    /// Nothing where libvirt is not installed; says so.
    pub(crate) fn begin() -> Option<Self> {
        Self::begin_with(|_| {})
    }

    pub(crate) fn begin_with(adjust: impl FnOnce(&mut LibvirtOptions)) -> Option<Self> {
        let (libvirtd, virsh) = (tool("libvirtd")?, tool("virsh")?);
        tool("qemu-system-x86_64")?;
        // Sockets need short paths.
        let folder = tempfile::Builder::new().prefix("lb").tempdir().unwrap();
        let home = folder.path();
        fs::create_dir_all(home.join("cfg/libvirt")).unwrap();
        for name in ["run", "data", "scratch", "images"] {
            fs::create_dir(home.join(name)).unwrap();
        }
        fs::write(
            home.join("cfg/libvirt/qemu.conf"),
            "stdio_handler = \"file\"\n",
        )
        .unwrap();
        give_away(home);
        let daemon = start_daemon(&libvirtd, home);
        let socket = home.join("run/libvirt/libvirt-sock");
        wait_for(|| socket.exists());
        let uri = format!("qemu:///session?socket={}", socket.display());
        let mut options = LibvirtOptions::new(uri);
        options.scratch = Some(home.join("scratch"));
        options.stop_limit = Duration::ZERO;
        adjust(&mut options);
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SeededEntropy::new(SEED)));
        Some(Self {
            platform: Libvirt::new(options, clock, entropy),
            entropy: SeededEntropy::new(SEED + 1),
            folder,
            daemon: RefCell::new(daemon),
            libvirtd,
            virsh,
        })
    }

    /// Kills the daemon and starts another; machines go on.
    pub(crate) fn restart_daemon(&self) {
        let mut daemon = self.daemon.borrow_mut();
        daemon.kill().unwrap();
        daemon.wait().unwrap();
        *daemon = start_daemon(&self.libvirtd, self.folder.path());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn uri(&self) -> String {
        self.platform.place()
    }

    /// Runs virsh, the judge, and gives what it says.
    pub(crate) fn virsh(&self, arguments: &[&str]) -> String {
        let output = self.try_virsh(arguments);
        output.unwrap_or_else(|said| panic!("virsh {}: {said}", arguments.join(" ")))
    }

    pub(crate) fn try_virsh(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.virsh);
        command.args(["-q", "-c", &self.uri()]).args(arguments);
        let output = command.env("LC_ALL", "C").output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Makes the images, defines the machine and starts it.
    pub(crate) fn machine(&self, name: &str, disks: &[TestDisk]) -> Machine<'_> {
        let machine = self.defined(name, disks, "");
        machine.start();
        machine
    }

    /// Makes the images and defines the machine, with more devices.
    pub(crate) fn defined(&self, name: &str, disks: &[TestDisk], devices: &str) -> Machine<'_> {
        let mut machine = Machine {
            session: self,
            name: name.to_owned(),
            id: VmId::new(""),
            disks: disks.to_vec(),
            truth: BTreeMap::new(),
        };
        for disk in disks {
            machine.make_image(disk);
            let empty = vec![0; usize::try_from(disk.size).unwrap()];
            machine.truth.insert(disk.target, empty);
        }
        machine.define(devices);
        machine.id = VmId::new(self.virsh(&["domuuid", name]).trim());
        machine
    }

    pub(crate) fn kill_emulator(&self, name: &str) {
        let file = self.path(&format!("run/libvirt/qemu/run/{name}.pid"));
        kill_by(&file, Signal::KILL);
        wait_for(|| self.virsh(&["domstate", name]).trim() == "shut off");
    }

    pub(crate) fn checkpoints(&self, name: &str) -> Vec<String> {
        let list = self.virsh(&["checkpoint-list", name, "--name"]);
        let names = list.split_whitespace().map(str::to_owned);
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Names of everything below the scratch folder.
    pub(crate) fn scratch(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("scratch")).unwrap();
        entries
            .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let running = fs::read_dir(self.path("run/libvirt/qemu/run"));
        for entry in running.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".pid") && name != "driver.pid" {
                kill_by(&entry.path(), Signal::KILL);
            }
        }
        self.daemon.get_mut().kill().ok();
        self.daemon.get_mut().wait().ok();
    }
}

impl Machine<'_> {
    pub(crate) fn image(&self, target: &str) -> PathBuf {
        self.session.path(&format!("images/{}-{target}", self.name))
    }

    fn make_image(&self, disk: &TestDisk) {
        let path = self.image(disk.target);
        qemu_img(&[
            "create",
            "-q",
            "-f",
            disk.format,
            &shown(&path),
            &disk.size.to_string(),
        ]);
        give_away(&path);
    }

    fn define(&self, devices: &str) {
        let xml = self.xml(devices);
        let file = self.session.path(&format!("{}.xml", self.name));
        fs::write(&file, xml).unwrap();
        self.session.virsh(&["define", &shown(&file)]);
    }

    pub(crate) fn xml(&self, devices: &str) -> String {
        let disks = self.disks.iter().map(|disk| self.disk_xml(disk));
        format!(
            "<domain type='qemu'><name>{}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='q35'>hvm</type></os><cpu mode='maximum'/>\
             <on_poweroff>destroy</on_poweroff><devices>{}{devices}\
             <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
            self.name,
            disks.collect::<String>()
        )
    }

    pub(crate) fn disk_xml(&self, disk: &TestDisk) -> String {
        format!(
            "<disk type='file' device='disk'><driver name='qemu' type='{}'/>\
             <source file='{}'/><target dev='{}' bus='virtio'/></disk>",
            disk.format,
            shown(&self.image(disk.target)),
            disk.target
        )
    }

    pub(crate) fn start(&self) {
        self.session.virsh(&["start", &self.name]);
    }

    pub(crate) fn stop(&self) {
        self.session.virsh(&["destroy", &self.name]);
    }

    /// Adds a disk to the machine, for its next start.
    pub(crate) fn add(&mut self, disk: &TestDisk) {
        self.make_image(disk);
        let file = self.session.path("disk.xml");
        fs::write(&file, self.disk_xml(disk)).unwrap();
        let file = shown(&file);
        self.session
            .virsh(&["attach-device", &self.name, &file, "--config"]);
        self.disks.push(disk.clone());
        let empty = vec![0; usize::try_from(disk.size).unwrap()];
        self.truth.insert(disk.target, empty);
    }

    /// Takes what QEMU's tools read in the images for the truth.
    pub(crate) fn read_truth(&mut self) {
        for disk in &self.disks {
            let copy = self.session.path("copy.raw");
            let (from, to) = (shown(&self.image(disk.target)), shown(&copy));
            qemu_img(&["convert", "-U", "-f", disk.format, "-O", "raw", &from, &to]);
            self.truth.insert(disk.target, fs::read(copy).unwrap());
        }
    }

    /// Writes as the machine would, and notes it.
    pub(crate) fn write(&mut self, target: &'static str, byte: u8, offset: u64, length: u64) {
        self.write_unnoted(target, byte, offset, length);
        let start = usize::try_from(offset).unwrap();
        let end = start + usize::try_from(length).unwrap();
        self.truth.get_mut(target).unwrap()[start..end].fill(byte);
    }

    /// Writes what belongs to no capture that has begun.
    pub(crate) fn write_unnoted(&self, target: &str, byte: u8, offset: u64, length: u64) {
        let alias = format!("/machine/peripheral/{}/virtio-backend", self.alias(target));
        let line = format!("qemu-io -d {alias} \"write -P {byte} {offset} {length}\"");
        let said = self.session.platform.ask_monitor(&self.id, &line).unwrap();
        // What it wrote goes to QEMU's own output; complaints come here.
        assert_eq!(said.trim(), "");
    }

    /// The name of the device in QEMU.
    fn alias(&self, target: &str) -> String {
        let number = target.bytes().next_back().unwrap() - b'a';
        format!("virtio-disk{number}")
    }

    pub(crate) fn request(&self, origin: &Origin) -> CaptureRequest {
        CaptureRequest {
            vm: self.id.clone(),
            disks: Vec::new(),
            since: BTreeMap::new(),
            checkpoint: Some(CheckpointId::new(&self.session.entropy)),
            origin: origin.clone(),
            quiesce: Quiesce::Never,
            freeze_max: Duration::from_secs(5),
            scratch: None,
            scratch_bytes_min: Some(ByteCount(MIB)),
        }
    }

    /// A request for what changed since an earlier one.
    pub(crate) fn request_since(&self, origin: &Origin, kept: &Kept) -> CaptureRequest {
        let since = kept.marks.iter();
        CaptureRequest {
            since: since
                .map(|(name, since)| (name.clone(), since.clone()))
                .collect(),
            ..self.request(origin)
        }
    }

    pub(crate) fn capture(&self, request: &CaptureRequest) -> Box<dyn Capture> {
        self.session.platform.begin_capture(request).unwrap()
    }
}

/// What a repository would have: the disks' bytes and their marks.
#[derive(Clone, Default)]
pub(crate) struct Kept {
    pub(crate) content: BTreeMap<DiskName, Vec<u8>>,
    pub(crate) marks: BTreeMap<DiskName, Since>,
    /// Bytes that were read, by disk; nothing for disks that were read as a whole.
    pub(crate) changed: BTreeMap<DiskName, Option<u64>>,
    pub(crate) reasons: BTreeMap<DiskName, String>,
}

impl Kept {
    /// Takes over what the capture gives, on top of what was kept before.
    pub(crate) fn take(&mut self, capture: &dyn Capture) {
        self.reasons.clear();
        self.changed.clear();
        self.marks.clear();
        for disk in capture.disks() {
            self.take_disk(disk);
        }
    }

    fn take_disk(&mut self, disk: &CapturedDisk) {
        let size = disk.reader.size();
        let name = disk.name.clone();
        match &disk.change {
            CapturedChange::Everything { reason } => {
                self.content.insert(name.clone(), read_all(disk));
                self.reasons.insert(name.clone(), reason.clone());
                self.changed.insert(name.clone(), None);
            }
            CapturedChange::Since { changed } => {
                let content = self.content.get_mut(&name).expect("there is a parent");
                for extent in changed.iter() {
                    let (start, end) = (extent.start() as usize, extent.end() as usize);
                    disk.reader
                        .read_at(extent.start(), &mut content[start..end])
                        .unwrap();
                }
                self.changed
                    .insert(name.clone(), Some(changed.byte_count()));
            }
        }
        if let Some(checkpoint) = disk.checkpoint.clone() {
            self.marks.insert(name, Since { checkpoint, size });
        }
    }

    pub(crate) fn assert_equals(&self, truth: &BTreeMap<&'static str, Vec<u8>>) {
        let names: Vec<_> = self.content.keys().map(DiskName::as_str).collect();
        assert_eq!(names, truth.keys().copied().collect::<Vec<_>>());
        for (name, content) in &self.content {
            assert!(*content == truth[name.as_str()], "{name} is not as it was");
        }
    }
}

/// Reads a disk by its extents: zeros are not read.
fn read_all(disk: &CapturedDisk) -> Vec<u8> {
    let size = disk.reader.size();
    let mut content = vec![0; usize::try_from(size).unwrap()];
    let mut offset = 0;
    while offset < size {
        let mapped = disk.reader.next_extent(offset).unwrap();
        let (start, end) = (mapped.extent.start() as usize, mapped.extent.end() as usize);
        assert_eq!(mapped.extent.start(), offset);
        if mapped.state == lifeboat_disk::ExtentState::Data {
            disk.reader
                .read_at(offset, &mut content[start..end])
                .unwrap();
        }
        offset = mapped.extent.end();
    }
    content
}

pub(crate) fn qemu_img(arguments: &[&str]) -> String {
    let output = Command::new("qemu-img").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "qemu-img {}: {said}",
        arguments.join(" ")
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Waits for something that takes a moment; panics when it takes much too long.
pub(crate) fn wait_for(mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !happened() {
        assert!(Instant::now() < end, "it did not happen within two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Makes the daemon's user the owner of everything there.
pub(crate) fn give_away(path: &Path) {
    if !is_root() {
        return;
    }
    std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

/// What libvirt learned of QEMU serves every test.
fn cache() -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libvirt-cache");
    if fs::create_dir_all(&cache).is_ok() {
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).ok();
    }
    cache
}

fn start_daemon(libvirtd: &Path, home: &Path) -> Child {
    let mut command = match is_root() {
        true => {
            let mut command = Command::new("setpriv");
            let user = NOBODY.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
            command.arg(libvirtd);
            command
        }
        false => Command::new(libvirtd),
    };
    let log = fs::File::create(home.join("libvirtd.log")).unwrap();
    command
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home.join("run"))
        .env("XDG_CONFIG_HOME", home.join("cfg"))
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_CACHE_HOME", cache())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    command.spawn().unwrap()
}

fn kill_by(file: &Path, signal: Signal) {
    let text = fs::read_to_string(file).unwrap_or_default();
    let pid = text.trim().parse().ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        kill_process(pid, signal).ok();
    }
}
