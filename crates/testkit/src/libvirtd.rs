//! A libvirt daemon of a test's own, with machines that have disks and no system.
//!
//! Takes the folder in which tests of one crate share what libvirt learned of QEMU. Gives a
//! session daemon of an ordinary user (`nobody` where tests run as root, for a session is never
//! root's) with `virsh` as its judge, and machines that are written to by QEMU's monitor, which
//! is deterministic and takes no boot.
//! Does not know the product: whoever tests an adapter or the program wraps these.
//!
//! Source: libvirt's documentation, "Connection URIs", `qemu:///session` and its `socket`.

mod machine;

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::tool;

pub use machine::{MIB, TestDisk, TestMachine, qcow2, raw};

/// The user whose daemon it is where tests run as root.
const NOBODY: u32 = 65534;

/// For what takes a moment: much more than a busy computer needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// A daemon and its folder; everything of it ends with this.
#[derive(Debug)]
pub struct Daemon {
    folder: TempDir,
    process: RefCell<Child>,
    libvirtd: PathBuf,
    virsh: PathBuf,
    cache: PathBuf,
}

impl Daemon {
    /// Nothing where libvirt is not installed; says so.
    ///
    /// `shared` is a folder of the caller's crate, as in `env!("CARGO_TARGET_TMPDIR")`.
    pub fn begin(shared: &Path) -> Option<Self> {
        let (libvirtd, virsh) = (tool("libvirtd")?, tool("virsh")?);
        tool("qemu-system-x86_64")?;
        // Sockets need short paths.
        let folder = tempfile::Builder::new().prefix("lb").tempdir().unwrap();
        let home = folder.path();
        for name in ["run", "scratch", "images", "data/libvirt", "cfg/libvirt"] {
            fs::create_dir_all(home.join(name)).unwrap();
        }
        // The usual place of a session's scratch files is the one that tests look into.
        symlink("../../scratch", home.join("data/libvirt/lifeboat")).unwrap();
        let conf = home.join("cfg/libvirt/qemu.conf");
        fs::write(conf, "stdio_handler = \"file\"\n").unwrap();
        give_away(home);
        let cache = home.join("xdg-cache");
        fs::create_dir_all(cache.join("libvirt/qemu")).unwrap();
        symlink(shared_cache(shared), cache.join("libvirt/qemu/cache")).unwrap();
        give_away(&cache);
        let process = start(&libvirtd, home, &cache);
        let daemon = Self {
            process: RefCell::new(process),
            folder,
            libvirtd,
            virsh,
            cache,
        };
        wait_for(|| daemon.socket().exists());
        Some(daemon)
    }

    /// Kills the daemon; machines go on.
    pub fn kill(&self) {
        let mut process = self.process.borrow_mut();
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// Starts the daemon that was killed.
    pub fn start(&self) {
        let started = start(&self.libvirtd, self.folder.path(), &self.cache);
        *self.process.borrow_mut() = started;
    }

    /// Kills the daemon and starts another; machines go on.
    pub fn restart(&self) {
        self.kill();
        self.start();
    }

    /// What QEMU said of a machine, since the daemon's folder was made.
    pub fn emulator_log(&self, name: &str) -> String {
        let log = self.cache.join(format!("libvirt/qemu/log/{name}.log"));
        fs::read_to_string(log).unwrap()
    }

    /// The number of the daemon's process.
    pub fn process_id(&self) -> u32 {
        self.process.borrow().id()
    }

    /// A place in the daemon's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.path("run/libvirt/libvirt-sock")
    }

    /// What leads a client to it.
    pub fn uri(&self) -> String {
        uri_of(&self.socket())
    }

    /// A program as the daemon's user would start it.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        command_of_user(program.as_ref(), self.folder.path(), &self.cache)
    }

    /// Runs virsh, the judge, and gives what it says.
    pub fn virsh(&self, arguments: &[&str]) -> String {
        let output = self.try_virsh(arguments);
        output.unwrap_or_else(|said| panic!("virsh {}: {said}", arguments.join(" ")))
    }

    /// As [`Self::virsh`]; complaints are the error.
    pub fn try_virsh(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(&self.virsh);
        command.args(["-q", "-c", &self.uri()]).args(arguments);
        let output = command.env("LC_ALL", "C").output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Makes the images, defines the machine and starts it.
    pub fn machine(&self, name: &str, disks: &[TestDisk]) -> TestMachine<'_> {
        let machine = self.defined(name, disks, "");
        machine.start();
        machine
    }

    /// Makes the images and defines the machine, with more devices.
    pub fn defined(&self, name: &str, disks: &[TestDisk], devices: &str) -> TestMachine<'_> {
        TestMachine::define(self, name, disks, devices)
    }

    /// The number of the process that runs a machine, if it runs.
    pub fn emulator(&self, name: &str) -> Option<u32> {
        let file = self.path(&format!("run/libvirt/qemu/run/{name}.pid"));
        fs::read_to_string(file).ok()?.trim().parse().ok()
    }

    /// Kills the machine's process.
    pub fn kill_emulator_at_once(&self, name: &str) {
        kill(self.emulator(name));
    }

    /// Kills the machine's process and waits until libvirt has seen it.
    pub fn kill_emulator(&self, name: &str) {
        self.kill_emulator_at_once(name);
        wait_for(|| self.virsh(&["domstate", name]).trim() == "shut off");
    }

    /// Names of a machine's checkpoints, sorted.
    pub fn checkpoints(&self, name: &str) -> Vec<String> {
        let list = self.virsh(&["checkpoint-list", name, "--name"]);
        let names = list.split_whitespace().map(str::to_owned);
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    /// Names of everything in the scratch folder.
    pub fn scratch(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("scratch")).unwrap();
        entries
            .map(|it| it.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let running = fs::read_dir(self.path("run/libvirt/qemu/run"));
        for entry in running.into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(name) = name.strip_suffix(".pid").filter(|it| *it != "driver") {
                kill(self.emulator(name));
            }
        }
        self.process.get_mut().kill().ok();
        self.process.get_mut().wait().ok();
    }
}

/// What leads a client to the daemon behind a socket.
pub fn uri_of(socket: &Path) -> String {
    format!("qemu:///session?socket={}", socket.display())
}

/// Runs qemu-img, which must succeed, and gives what it says.
pub fn qemu_img(arguments: &[&str]) -> String {
    let output = Command::new("qemu-img").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "qemu-img {}: {said}",
        arguments.join(" ")
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A path as text: those of tests are.
pub fn shown(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Waits for something that takes a moment; panics when it takes much too long.
pub fn wait_for(mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < end, "it did not happen within two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Makes the daemon's user the owner of everything there.
pub fn give_away(path: &Path) {
    if !geteuid().is_root() || path.is_symlink() {
        return;
    }
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            give_away(&entry.unwrap().path());
        }
    }
}

/// What libvirt learned of QEMU serves every test.
fn shared_cache(shared: &Path) -> PathBuf {
    let cache = shared.join("libvirt-knows");
    if fs::create_dir_all(&cache).is_ok() {
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o777)).ok();
    }
    cache
}

fn start(libvirtd: &Path, home: &Path, cache: &Path) -> Child {
    let mut appending = fs::File::options();
    appending.create(true).append(true);
    let log = appending.open(home.join("libvirtd.log")).unwrap();
    command_of_user(libvirtd.as_os_str(), home, cache)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn command_of_user(program: &OsStr, home: &Path, cache: &Path) -> Command {
    let mut command = match geteuid().is_root() {
        true => {
            let mut command = Command::new("setpriv");
            let user = NOBODY.to_string();
            command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
            command.arg(program);
            command
        }
        false => Command::new(program),
    };
    command
        .env("HOME", home)
        .env("XDG_RUNTIME_DIR", home.join("run"))
        .env("XDG_CONFIG_HOME", home.join("cfg"))
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_CACHE_HOME", cache)
        // A client that finds no daemon would start one more.
        .env("LIBVIRT_AUTOSTART", "0");
    command
}

fn kill(process: Option<u32>) {
    let process = process.and_then(|it| i32::try_from(it).ok());
    if let Some(process) = process.and_then(Pid::from_raw) {
        kill_process(process, Signal::KILL).ok();
    }
}
