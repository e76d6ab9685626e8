//! Machines of a real libvirt through the program: hooks inside their restored disks, and
//! captures by snapshots of volumes.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lifeboat_testkit::tool;

/// The user whose daemon it is where tests run as root: a session is never root's.
const NOBODY: u32 = 65534;
const LVM: &str = include_str!("machines_come_back_through_libvirt/lvm.sh");
const DISK_BYTES: u64 = 32 << 20;

/// A daemon of its own with one machine, and a repository.
struct Host {
    folder: tempfile::TempDir,
    daemon: Child,
    uri: String,
}

impl Host {
    /// Nothing, said loudly, where a part is missing.
    fn new() -> Option<Self> {
        let libvirtd = tool("libvirtd")?;
        let others = [
            "virsh",
            "qemu-img",
            "qemu-system-x86_64",
            "mke2fs",
            "debugfs",
            "busybox",
        ];
        if !others.iter().all(|name| tool(name).is_some()) {
            return None;
        }
        // Sockets need short paths.
        let folder = tempfile::Builder::new().prefix("lb").tempdir().unwrap();
        let home = folder.path();
        for name in ["run", "data", "cfg", "images", "new", "bin"] {
            fs::create_dir(home.join(name)).unwrap();
            give_away(&home.join(name));
        }
        give_away(home);
        let daemon = start_daemon(&libvirtd, home);
        let socket = home.join("run/libvirt/libvirt-sock");
        wait_for(|| socket.exists());
        let uri = format!("qemu:///session?socket={}", socket.display());
        Some(Self {
            folder,
            daemon,
            uri,
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn shown(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// The end of lifeboat with these words, on a computer with only our LVM.
    fn lifeboat(&self, words: &[&str]) -> Output {
        let path = std::env::var("PATH").unwrap();
        Command::new(env!("CARGO_BIN_EXE_lifeboat"))
            .args(words)
            .env("PATH", format!("{}:{path}", self.shown("bin")))
            .env("LVM_FOLDER", self.path("images"))
            .env("LIFEBOAT_REPOSITORY", self.path("repository"))
            .env("RESTIC_PASSWORD", "secret")
            .env("RESTIC_CACHE_DIR", self.path("cache"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_DATA_HOME", self.path("data"))
            .env("LIFEBOAT_THREADS", "2")
            .output()
            .unwrap()
    }

    /// What lifeboat says, which must succeed.
    fn does(&self, words: &[&str]) -> String {
        let output = self.lifeboat(words);
        let told = all_said(&output);
        assert!(output.status.success(), "{words:?}: {told}");
        told
    }

    /// What lifeboat says, which must fail.
    fn refuses(&self, words: &[&str]) -> String {
        let output = self.lifeboat(words);
        let told = all_said(&output);
        assert!(!output.status.success(), "{words:?}: {told}");
        told
    }

    fn virsh(&self, words: &[&str]) -> String {
        run(Command::new("virsh")
            .args(["-q", "-c", &self.uri])
            .args(words))
    }

    fn machines(&self) -> String {
        self.virsh(&["list", "--all", "--name"]).trim().to_owned()
    }

    /// A machine that is off, with a small system on its disk in a raw file.
    fn define(&self) {
        let stage = self.path("stage");
        for folder in ["etc", "bin", "dev", "proc", "sys", "run", "tmp"] {
            fs::create_dir_all(stage.join(folder)).unwrap();
        }
        fs::write(stage.join("etc/os-release"), "ID=small\n").unwrap();
        fs::write(stage.join("etc/hostname"), "before\n").unwrap();
        fs::copy(tool("busybox").unwrap(), stage.join("bin/busybox")).unwrap();
        symlink("busybox", stage.join("bin/sh")).unwrap();
        let disk = self.path("images/vda");
        let file = fs::File::create(&disk).unwrap();
        file.set_len(DISK_BYTES).unwrap();
        let mut made = Command::new(tool("mke2fs").unwrap());
        run(made.args(["-q", "-t", "ext4", "-d"]).arg(&stage).arg(&disk));
        give_away(&disk);
        let xml = format!(
            "<domain type='qemu'><name>web</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>\
             <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>\
             <disk type='file' device='disk'><driver name='qemu' type='raw'/>\
             <source file='{}'/><target dev='vda' bus='virtio'/></disk>\
             <controller type='usb' model='none'/><memballoon model='none'/></devices></domain>",
            disk.display()
        );
        fs::write(self.path("web.xml"), xml).unwrap();
        self.virsh(&["define", &self.shown("web.xml")]);
    }

    fn write_job(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.shown(name)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = Command::new("virsh")
            .args(["-q", "-c", &self.uri, "destroy", "web"])
            .output();
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

fn start_daemon(libvirtd: &Path, home: &Path) -> Child {
    let mut command = Command::new(libvirtd);
    if rustix::process::geteuid().is_root() {
        let user = NOBODY.to_string();
        command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]);
        command.arg(libvirtd);
    }
    for (name, folder) in [
        ("HOME", ""),
        ("XDG_RUNTIME_DIR", "run"),
        ("XDG_CONFIG_HOME", "cfg"),
        ("XDG_DATA_HOME", "data"),
    ] {
        command.env(name, home.join(folder));
    }
    // What libvirt learned of QEMU serves every test.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("libvirt-cache");
    if fs::create_dir_all(&cache).is_ok() {
        let _ = fs::set_permissions(&cache, fs::Permissions::from_mode(0o777));
    }
    command.env("XDG_CACHE_HOME", cache);
    let log = fs::File::create(home.join("libvirtd.log")).unwrap();
    let command = command.stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(log).spawn().unwrap()
}

fn give_away(path: &Path) {
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn wait_for(mut happened: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !happened() {
        assert!(Instant::now() < end, "it did not happen within two minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn all_said(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&said).into_owned()
}

/// Runs a program that must succeed; gives what it wrote.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        all_said(&output)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn hooks_change_restored_disks_and_volumes_are_captured_by_their_snapshots() {
    let Some(host) = Host::new() else { return };
    host.define();
    host.does(&["init"]);
    host.does(&["machine", "backup", "-P", &host.uri]);
    a_failed_hook_brings_the_old_machine_back(&host);
    a_hook_changes_the_restored_disk(&host);
    // What follows needs the machine where it was.
    host.virsh(&["undefine", "web"]);
    host.virsh(&["define", &host.shown("web.xml")]);
    volumes_are_captured_as_libvirt_keeps_the_machine_still(&host);
}

fn a_failed_hook_brings_the_old_machine_back(host: &Host) {
    let job = "[[end_recovery]]\nrun = ['sh', '-c', 'echo it stands here; exit 7']\n";
    let job = host.write_job("bad.toml", job);
    let id = host.virsh(&["domuuid", "web"]);
    let to = host.shown("new/");
    let words = [
        "machine",
        "recover",
        "web",
        "-P",
        &host.uri,
        "--replace",
        "--to",
        &to,
        "-j",
        &job,
    ];
    let told = host.refuses(&words);
    assert!(
        told.contains("\n  it stands here\n") && told.contains("exit code 7"),
        "{told}"
    );
    assert_eq!(
        (host.machines(), host.virsh(&["domuuid", "web"])),
        ("web".to_owned(), id)
    );
    assert_eq!(fs::read_dir(host.path("new")).unwrap().count(), 0);
}

fn a_hook_changes_the_restored_disk(host: &Host) {
    let line = "echo after > /etc/hostname; echo $LIFEBOAT_MACHINE has $LIFEBOAT_DISKS; ls /";
    let job = format!("[[end_recovery]]\nrun = ['sh', '-c', '{line}']\nwhere = 'inside'\n");
    let job = host.write_job("good.toml", &job);
    let to = host.shown("new/");
    let words = [
        "machine",
        "recover",
        "web",
        "-P",
        &host.uri,
        "--replace",
        "--to",
        &to,
    ];
    let told = host.does(&[&words[..], &["-j", &job, "--verify", "-v"]].concat());
    let steps = told.lines().filter_map(|line| line.strip_prefix("web: "));
    let steps: Vec<_> = steps.filter(|step| !step.contains(' ')).collect();
    let right = "validate inspect plan build restore verify end_recovery define keep";
    assert_eq!(steps.join(" "), right, "{told}");
    assert!(told.contains("\n  web has vda\n"), "{told}");
    assert!(told.contains("before the hooks"), "{told}");
    assert_eq!(host.machines(), "web");
    let (image, raw) = (host.shown("new/web-vda.qcow2"), host.shown("raw"));
    assert!(host.virsh(&["domblklist", "web"]).contains(&image));
    run(Command::new("qemu-img").args(["convert", "-O", "raw", &image, &raw]));
    let mut look = Command::new(tool("debugfs").unwrap());
    let name = run(look.args(["-R", "cat /etc/hostname", &raw]));
    assert_eq!(name, "after\n");
    assert!(
        !host.path("images/vda").exists(),
        "the old machine's disk goes with it"
    );
    fs::rename(&raw, host.path("images/vda")).unwrap();
    give_away(&host.path("images/vda"));
}

/// A program that answers as LVM makes the disk's file a volume; its snapshots are copies.
fn volumes_are_captured_as_libvirt_keeps_the_machine_still(host: &Host) {
    fs::write(host.path("bin/lvm"), LVM).unwrap();
    fs::set_permissions(host.path("bin/lvm"), fs::Permissions::from_mode(0o755)).unwrap();
    let uri = format!("lvm+{}", host.uri);
    let job = "[lvm]\nsnapshot_size = '25%'\nsnapshot_min = '4M'\n";
    let job = host.write_job("lvm.toml", job);
    let backup = ["--json", "machine", "backup", "-P", &uri, "-j", &job];
    let told = host.does(&["machine", "backup", "-P", &uri, "-j", &job, "-n"]);
    assert!(
        told.contains("store of 8.000 MiB, goes at the end"),
        "{told}"
    );
    assert!(host.does(&backup).contains(r#""consistency":"offline""#));
    host.virsh(&["start", "web"]);
    let told = host.does(&backup);
    assert!(told.contains(r#""consistency":"crash""#), "{told}");
    assert!(told.contains("no channel to a guest agent"), "{told}");
    let told = host.refuses(&[&backup[..], &["--quiesce", "required"]].concat());
    assert!(told.contains("no channel to a guest agent"), "{told}");
    let left = fs::read_dir(host.path("images")).unwrap();
    let left: Vec<_> = left.map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["vda"]);
}
