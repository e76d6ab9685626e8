//! Disk images made without root, NBD servers for them, and rescue VMs.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use lifeboat_model::{CancelToken, ErrorKind};
use lifeboat_rescue::{Accelerator, Access, Disk, Patience, Rescue, Settings};
use lifeboat_testkit::tool;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;
const SECTOR_BYTES: u64 = 512;

/// A folder with images, and the servers that give them away; these end with it.
pub(crate) struct Disks {
    folder: TempDir,
    servers: Vec<Child>,
}

impl Drop for Disks {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Disks {
    /// None if a program is missing; see [`tool`].
    pub(crate) fn with(programs: &[&str]) -> Option<Self> {
        let needed = ["qemu-system-x86_64", "qemu-nbd"];
        let mut all = needed.iter().chain(programs);
        if !all.all(|program| tool(program).is_some()) {
            return None;
        }
        Some(Self {
            folder: tempfile::tempdir().unwrap(),
            servers: Vec::new(),
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A new folder.
    pub(crate) fn stage(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        path
    }

    /// An empty image.
    pub(crate) fn image(&self, name: &str, mib: u64) -> PathBuf {
        let path = self.path(name);
        File::create(&path).unwrap().set_len(mib * MIB).unwrap();
        path
    }

    /// An image with ext4 that holds a copy of a folder.
    pub(crate) fn ext4(&self, name: &str, mib: u64, stage: &Path) -> PathBuf {
        let image = self.image(name, mib);
        let mut command = Command::new(tool("mke2fs").unwrap());
        command.args(["-q", "-t", "ext4", "-L", name, "-d"]);
        run(command.arg(stage).arg(&image));
        image
    }

    /// An image with a partition table that holds these images one after the other.
    pub(crate) fn partitioned(&self, name: &str, label: &str, parts: &[(&str, &Path)]) -> PathBuf {
        let sizes: Vec<u64> = parts
            .iter()
            .map(|(_, path)| path.metadata().unwrap().len())
            .collect();
        let image = self.image(name, sizes.iter().sum::<u64>() / MIB + 2);
        let mut script = format!("label: {label}\n");
        let mut starts = Vec::new();
        let mut start = MIB;
        for ((kind, _), size) in parts.iter().zip(&sizes) {
            let (first, count) = (start / SECTOR_BYTES, size / SECTOR_BYTES);
            script += &format!("start={first}, size={count}, type={kind}\n");
            starts.push(start);
            start += size;
        }
        feed(
            Command::new(tool("sfdisk").unwrap()).arg("-q").arg(&image),
            &script,
        );
        let file = OpenOptions::new().write(true).open(&image).unwrap();
        for ((_, part), start) in parts.iter().zip(starts) {
            file.write_all_at(&fs::read(part).unwrap(), start).unwrap();
        }
        image
    }

    /// Serves an image; gives the disk for a rescue VM.
    pub(crate) fn serve(&mut self, name: &str, image: &Path, access: Access) -> Disk {
        let socket = self.path(&format!("{}.sock", self.servers.len()));
        let mut command = Command::new(tool("qemu-nbd").unwrap());
        if access == Access::Read {
            command.arg("-r");
        }
        command.args(["-t", "-e", "4", "-f", "raw", "-x", name, "-k"]);
        let mut server = command.arg(&socket).arg(image).spawn().unwrap();
        while !socket.exists() {
            assert!(server.try_wait().unwrap().is_none(), "qemu-nbd ended");
            thread::sleep(Duration::from_millis(5));
        }
        self.servers.push(server);
        let uri = format!("nbd+unix:///{name}?socket={}", socket.display());
        Disk::from_uri(name, &uri).unwrap()
    }

    /// Ends all servers, so that images can be looked at.
    pub(crate) fn stop(&mut self) {
        for mut server in self.servers.drain(..) {
            let _ = server.kill();
            let _ = server.wait();
        }
        let sockets = fs::read_dir(self.folder.path()).unwrap().flatten();
        for socket in sockets.filter(|it| it.path().extension().is_some_and(|it| it == "sock")) {
            fs::remove_file(socket.path()).unwrap();
        }
    }

    /// Settings with this crate's own program inside, and no KVM: judges are the same anywhere.
    pub(crate) fn settings(&self) -> Settings {
        Settings {
            program: Some(env!("CARGO_BIN_EXE_rescue").into()),
            accelerator: Accelerator::Emulator,
            patience: Patience {
                boot: Duration::from_secs(180),
                ..Patience::default()
            },
            ..Settings::new(&self.path("cache"))
        }
    }

    /// None if this machine has no kernel for it; see [`tool`].
    pub(crate) fn start(&self, disks: &[Disk], access: Access) -> Option<Rescue> {
        match Rescue::start(disks, access, &self.settings(), &CancelToken::new()) {
            Ok(rescue) => Some(rescue),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                assert!(env::var_os("CI").is_none(), "{error}");
                eprintln!("SKIPPED: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Runs a program that must succeed; gives what it wrote.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn feed(command: &mut Command, text: &str) {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success(), "{command:?}");
}
