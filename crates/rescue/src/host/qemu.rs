//! The process of QEMU: its arguments, its start, its end.

use std::io::Read;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifeboat_model::{CancelToken, ErrorKind};
use rustix::process::{Pid, Resource, Rlimit};

use super::settings::{Access, Disk, DiskFormat, DiskPlace, Settings};
use super::socket_folder::SocketFolder;
use crate::{Error, Result, wire};

/// How often is looked whether something has happened.
pub(super) const SLICE: Duration = Duration::from_millis(100);
/// How much of the last words is kept for errors.
const CONSOLE_BYTES_MAX: usize = 16 << 10;
/// Room for the tables of a small qcow2 image.
const IMAGE_TABLES: u64 = 64 << 20;
const PROGRAMS: [&str; 2] = ["/usr/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm"];

/// What the kernel is told: where to speak; to end at the first sign of damage; to take the
/// processor's word for randomness (nothing here is secret) and for time (a VM that stood still
/// on a busy host fails the tests of both); to look for nothing that is not there; where
/// libraries are.
const KERNEL_LINE: &str = "console=ttyS0 quiet loglevel=3 panic=-1 oops=panic nowatchdog \
                           rcupdate.rcu_cpu_stall_suppress=1 random.trust_cpu=on \
                           no_timer_check tsc=reliable mitigations=off nokaslr audit=0 \
                           selinux=0 apparmor=0 cgroup_disable=memory edd=off \
                           cryptomgr.notests 8250.nr_uarts=1 i8042.noprobe usbcore.nousb \
                           LD_LIBRARY_PATH=/lib";

/// What QEMU does without: devices, configuration, a network, rights it might gain.
const BARE: [&str; 11] = [
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-nic",
    "none",
    "-no-reboot",
    "-sandbox",
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    "-smp",
    "1",
];

/// What runs the instructions, decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Kvm,
    Emulator,
}

/// A running QEMU; it is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Qemu {
    process: Child,
    console: Arc<Mutex<Vec<u8>>>,
}

/// What is booted.
#[derive(Debug)]
pub(super) struct Boot<'a> {
    pub(super) settings: &'a Settings,
    pub(super) kernel: &'a Path,
    pub(super) initramfs: &'a Path,
    pub(super) disks: &'a [Disk],
    pub(super) access: Access,
    pub(super) engine: Engine,
}

impl Boot<'_> {
    /// Starts QEMU and gives the channel's stream, on which nothing has been said yet.
    ///
    /// Errors: `Unsupported` without QEMU; `Io` if it ends at once, with its words.
    pub(super) fn start(&self, cancel: &CancelToken) -> Result<(Qemu, UnixStream)> {
        let program = program(self.settings)?;
        let shown = program.display().to_string();
        let failed = |error| Error::io("starting", shown.clone(), error);
        // Gone as soon as both have met: nothing is left when we are killed later.
        let folder = SocketFolder::create().map_err(failed)?;
        let socket = folder.path().join("channel");
        let listener = UnixListener::bind(&socket).map_err(failed)?;
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let process = Command::new(&program)
            .args(self.arguments(&socket))
            .env("TMPDIR", &self.settings.cache)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().map_err(failed)?)
            .stderr(writer)
            .spawn()
            .map_err(failed)?;
        let mut qemu = Qemu {
            console: listen(reader),
            process,
        };
        qemu.bound(file_bytes_max(self.settings, self.disks))
            .map_err(failed)?;
        let stream = qemu.accept(&listener, self.settings.patience.boot, cancel)?;
        Ok((qemu, stream))
    }

    fn arguments(&self, socket: &Path) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let (accelerator, processor) = match self.engine {
            Engine::Kvm => ("kvm", "host"),
            // Walks through five levels of page tables cost an emulator a tenth of its time.
            Engine::Emulator => ("tcg,thread=multi", "max,la57=off"),
        };
        let access = match self.access {
            Access::Read => "read",
            Access::Write => wire::WRITE_WORD,
        };
        let line = format!("{KERNEL_LINE} {}={access}", wire::INIT_VARIABLE);
        let memory = self.settings.memory_mib.to_string();
        let mut arguments: Vec<String> = BARE.map(str::to_owned).into();
        let channel = format!("socket,id=channel,path={}", escaped(&path(socket)));
        let port = format!(
            "virtserialport,bus=ports.0,chardev=channel,name={}",
            wire::PORT
        );
        for (name, value) in [
            ("-machine", "q35,usb=off,smbus=off,sata=off,vmport=off"),
            ("-accel", accelerator),
            ("-cpu", processor),
            ("-m", &memory),
            ("-kernel", &path(self.kernel)),
            ("-initrd", &path(self.initramfs)),
            ("-append", &line),
            ("-chardev", "stdio,id=console,signal=off"),
            ("-serial", "chardev:console"),
            ("-chardev", &channel),
            ("-device", "virtio-serial-pci,id=ports"),
            ("-device", &port),
        ] {
            arguments.extend([name.to_owned(), value.to_owned()]);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            let device = format!("virtio-blk-pci,drive=disk{number},serial=disk{number}");
            let drive = drive(number, disk, self.access);
            arguments.extend(["-drive".into(), drive, "-device".into(), device]);
        }
        arguments
    }
}

/// In the reading mode QEMU opens the disk read-only and puts a deleted file above it.
fn drive(number: usize, disk: &Disk, access: Access) -> String {
    let shown = |path: &Path| escaped(&path.display().to_string());
    let source = match &disk.place {
        DiskPlace::Nbd { socket, export } => format!(
            "format=raw,file.driver=nbd,file.server.type=unix,file.server.path={},file.export={}",
            shown(socket),
            escaped(export)
        ),
        DiskPlace::Local { path, format, .. } => {
            let format = match format {
                DiskFormat::Raw => "raw",
                DiskFormat::Qcow2 => "qcow2",
            };
            let driver = match is_device(path) {
                true => "host_device",
                false => "file",
            };
            let path = shown(path);
            format!("format={format},file.driver={driver},file.filename={path}")
        }
    };
    let layer = match access {
        Access::Read => "snapshot=on,cache=unsafe",
        Access::Write => "snapshot=off,cache=writeback,discard=unmap",
    };
    format!("if=none,id=disk{number},{source},{layer}")
}

fn is_device(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|it| it.file_type().is_block_device())
}

/// How large a file of QEMU may become: the throwaway layers, or a disk that it writes, with a
/// qcow2 image's tables.
fn file_bytes_max(settings: &Settings, disks: &[Disk]) -> u64 {
    let local = disks.iter().filter_map(|disk| match &disk.place {
        DiskPlace::Local { bytes, .. } => Some(bytes + bytes / 64 + IMAGE_TABLES),
        DiskPlace::Nbd { .. } => None,
    });
    local.fold(settings.layer_bytes_max, u64::max)
}

/// In QEMU's options a comma ends a value, and two are one.
fn escaped(text: &str) -> String {
    text.replace(',', ",,")
}

fn program(settings: &Settings) -> Result<PathBuf> {
    if let Some(path) = &settings.qemu {
        return Ok(path.clone());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let in_path = std::env::split_paths(&path).map(|folder| folder.join("qemu-system-x86_64"));
    let mut candidates = in_path.chain(PROGRAMS.map(PathBuf::from));
    candidates.find(|path| path.is_file()).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "finding", "qemu-system-x86_64").seen(
            "it is not installed (Debian: qemu-system-x86); the files inside disks are read in a \
             VM of its own",
        )
    })
}

/// Keeps the last words of QEMU and the kernel, until both are silent for ever.
fn listen(mut reader: std::io::PipeReader) -> Arc<Mutex<Vec<u8>>> {
    let console = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&console);
    std::thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = reader.read(&mut piece) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.extend(&piece[..length]);
            let surplus = kept.len().saturating_sub(CONSOLE_BYTES_MAX);
            kept.drain(..surplus);
        }
    });
    console
}

impl Qemu {
    /// A file that grows beyond this ends QEMU: a rescue VM that went wild cannot fill the host.
    fn bound(&mut self, bytes_max: u64) -> std::io::Result<()> {
        let limit = Rlimit {
            current: Some(bytes_max),
            maximum: Some(bytes_max),
        };
        let pid = Pid::from_child(&self.process);
        rustix::process::prlimit(Some(pid), Resource::Fsize, limit)?;
        Ok(())
    }

    fn accept(
        &mut self,
        listener: &UnixListener,
        patience: Duration,
        cancel: &CancelToken,
    ) -> Result<UnixStream> {
        let failed = |error| Error::io("waiting for", "the rescue VM", error);
        listener.set_nonblocking(true).map_err(failed)?;
        let mut waited = Duration::ZERO;
        while waited < patience {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(failed)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(failed(error)),
            }
            if cancel.is_cancelled() {
                return Err(Error::new(
                    ErrorKind::Cancelled,
                    "starting",
                    "the rescue VM",
                ));
            }
            if self.process.try_wait().map_err(failed)?.is_some() {
                break;
            }
            std::thread::sleep(SLICE);
            waited += SLICE;
        }
        let seen = format!("QEMU did not start: {}", self.last_words());
        Err(Error::new(ErrorKind::Io, "starting", "the rescue VM").seen(seen))
    }

    /// What QEMU and the kernel said last, in one line.
    pub(super) fn last_words(&self) -> String {
        let kept = self.console.lock().unwrap_or_else(PoisonError::into_inner);
        let text = String::from_utf8_lossy(&kept).into_owned();
        let lines: Vec<_> = text
            .lines()
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        let last = lines[lines.len().saturating_sub(8)..].join(" | ");
        match last.is_empty() {
            true => "it said nothing".into(),
            false => format!("it said: {last}"),
        }
    }

    /// Waits for its end; says whether it came.
    pub(super) fn wait(&mut self, patience: Duration) -> bool {
        let mut waited = Duration::ZERO;
        while waited < patience {
            if let Ok(Some(_)) | Err(_) = self.process.try_wait() {
                return true;
            }
            std::thread::sleep(SLICE);
            waited += SLICE;
        }
        false
    }

    /// Ends it at once.
    pub(super) fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comma_in_a_name_cannot_add_options() {
        let disk = Disk {
            name: "vda".into(),
            place: DiskPlace::Nbd {
                socket: "/run/a,b".into(),
                export: "x,snapshot=off".into(),
            },
        };
        let drive = drive(0, &disk, Access::Read);
        assert!(drive.contains("path=/run/a,,b,file.export=x,,snapshot=off,snapshot=on"));
        let disk = Disk {
            name: "vda".into(),
            place: DiskPlace::Local {
                path: "/srv/a,readonly=on".into(),
                format: DiskFormat::Qcow2,
                bytes: 1,
            },
        };
        let drive = super::drive(0, &disk, Access::Write);
        assert!(drive.contains("format=qcow2,file.driver=file,"), "{drive}");
        assert!(
            drive.contains("filename=/srv/a,,readonly=on,snapshot=off"),
            "{drive}"
        );
    }

    #[test]
    fn a_disk_that_is_written_may_be_larger_than_a_throwaway_layer() {
        let settings = Settings {
            layer_bytes_max: 4 << 30,
            ..Settings::new(Path::new("/cache"))
        };
        let disk = Disk {
            name: "vda".into(),
            place: DiskPlace::Local {
                path: "/srv/vda".into(),
                format: DiskFormat::Raw,
                bytes: 8 << 30,
            },
        };
        assert_eq!(file_bytes_max(&settings, &[]), 4 << 30);
        assert!(file_bytes_max(&settings, &[disk]) > 8 << 30);
    }
}
