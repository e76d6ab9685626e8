//! A libvirt daemon of the bench's own, with its machines.
//!
//! It is a session's daemon: apart from the system's, and ended with everything in it. A session
//! is never root's, so root runs it, and all that is measured with it, as another user.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{self as system, Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process;

/// The user, and its group, of a bench that root runs.
const NOBODY: u32 = 65534;
const POLL: Duration = Duration::from_millis(5);

/// The daemon; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Site {
    folder: PathBuf,
    daemon: Child,
    is_root: bool,
}

/// A machine without an operating system of its own choosing: what its definition says.
#[derive(Debug)]
pub(crate) struct Definition<'a> {
    pub(crate) name: &'a str,
    pub(crate) memory_mib: u32,
    /// Format and place, from `vda` on.
    pub(crate) disks: Vec<(&'a str, PathBuf)>,
    /// Where the serial line is written.
    pub(crate) serial: Option<PathBuf>,
}

impl Definition<'_> {
    pub(crate) fn xml(&self) -> String {
        let disks = self.disks.iter().zip('a'..='z');
        let disks: String = disks
            .map(|((format, path), letter)| {
                format!(
                    "<disk type='file' device='disk'><driver name='qemu' type='{format}'/>\
                     <source file='{}'/><target dev='vd{letter}' bus='virtio'/></disk>",
                    path.display()
                )
            })
            .collect();
        let serial = self.serial.as_ref().map(|path| {
            let path = path.display();
            format!("<serial type='file'><source path='{path}'/></serial>")
        });
        format!(
            "<domain type='qemu'><name>{}</name><memory unit='MiB'>{}</memory><vcpu>2</vcpu>\
             <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>\
             <features><acpi/></features><cpu mode='maximum'/><on_poweroff>destroy</on_poweroff>\
             <devices>{disks}{}<controller type='usb' model='none'/>\
             <memballoon model='none'/><video><model type='vga'/></video></devices></domain>",
            self.name,
            self.memory_mib,
            serial.unwrap_or_default()
        )
    }
}

impl Site {
    /// Starts the daemon; what it learns of QEMU stays in `cache`.
    pub(crate) fn begin(cache: &Path) -> Result<Self> {
        // Sockets need short paths.
        let folder = env::temp_dir().join(format!("lb-bench-{}", system::id()));
        if folder.exists() {
            fs::remove_dir_all(&folder).context("removing an earlier daemon's folder")?;
        }
        for name in ["config/libvirt", "run", "data", "scratch", "state", "bin"] {
            fs::create_dir_all(folder.join(name)).context("creating a daemon's folder")?;
        }
        fs::create_dir_all(cache).context("creating the daemon's cache")?;
        // Else it wants virtlogd.
        let settings = folder.join("config/libvirt/qemu.conf");
        fs::write(settings, "stdio_handler = \"file\"\n").context("writing qemu.conf")?;
        let is_root = process::is_root();
        if is_root {
            give(&folder)?;
            give(cache)?;
        }
        let log = File::create(folder.join("libvirtd.log"))?;
        let mut command = Command::new("libvirtd");
        command
            .env("HOME", &folder)
            .env("XDG_RUNTIME_DIR", folder.join("run"))
            .env("XDG_CONFIG_HOME", folder.join("config"))
            .env("XDG_DATA_HOME", folder.join("data"))
            .env("XDG_CACHE_HOME", cache)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let daemon = as_user(command, is_root)
            .spawn()
            .context("starting libvirtd")?;
        let site = Self {
            folder,
            daemon,
            is_root,
        };
        wait_for("libvirtd", || site.virsh(&["list"]).is_ok())?;
        Ok(site)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    pub(crate) fn uri(&self) -> String {
        let socket = self.path("run/libvirt/libvirt-sock");
        format!("qemu:///session?socket={}", socket.display())
    }

    /// The same command, run by the daemon's user, with a program that this user can reach.
    pub(crate) fn command(&self, command: &Command) -> Result<Command> {
        let program = PathBuf::from(command.get_program());
        let name = program.file_name().context("a program has a name")?;
        let reachable = if program.components().count() > 1 {
            let copy = self.path("bin").join(name);
            if !copy.exists() {
                fs::copy(&program, &copy).context("copying a program")?;
            }
            copy
        } else {
            program.clone()
        };
        let mut new = Command::new(reachable);
        new.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => new.env(name, value),
                None => new.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            new.current_dir(folder);
        }
        Ok(as_user(new, self.is_root))
    }

    /// Makes everything below a folder the daemon's user's.
    pub(crate) fn give(&self, folder: &Path) -> Result<()> {
        match self.is_root {
            true => give(folder),
            false => Ok(()),
        }
    }

    pub(crate) fn virsh_command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("virsh");
        command.args(["-q", "-c", &self.uri()]).args(words);
        // It keeps what was typed.
        command.env("HOME", &self.folder);
        command.env("XDG_CACHE_HOME", self.path("data"));
        as_user(command, self.is_root)
    }

    pub(crate) fn virsh(&self, words: &[&str]) -> Result<String> {
        process::output(&mut self.virsh_command(words))
    }

    /// Runs many lines of virsh in one go.
    pub(crate) fn script(&self, lines: &str) -> Result<()> {
        let mut command = self.virsh_command(&[]);
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().context("starting virsh")?;
        let mut input = child.stdin.take().context("virsh has no input")?;
        input.write_all(lines.as_bytes()).context("telling virsh")?;
        drop(input);
        let status = child.wait().context("waiting for virsh")?;
        if !status.success() {
            bail!("virsh ended with {status}");
        }
        Ok(())
    }

    /// Writes a definition to a file.
    pub(crate) fn definition(&self, definition: &Definition<'_>) -> Result<PathBuf> {
        let file = self.path(&format!("{}.xml", definition.name));
        fs::write(&file, definition.xml()).context("writing a definition")?;
        Ok(file)
    }

    /// Defines a machine, that does not run yet.
    pub(crate) fn define(&self, definition: &Definition<'_>) -> Result<()> {
        let file = self.definition(definition)?;
        self.virsh(&["define", &file.display().to_string()])
            .map(drop)
    }

    /// Ends all machines that run.
    pub(crate) fn stop_all(&self) -> Result<()> {
        for name in self.virsh(&["list", "--name"])?.split_whitespace() {
            self.virsh(&["destroy", name])?;
        }
        Ok(())
    }

    /// A command's text without what is only true here.
    pub(crate) fn shortened(&self, text: &str) -> String {
        let folder = format!("{}/", self.folder.display());
        text.replace(&self.uri(), "qemu:///session")
            .replace(&folder, "site/")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // What fails here has ended already, or is told by the next start.
        let _ = self.stop_all();
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Waits until something has happened.
pub(crate) fn wait_for(what: &str, mut happened: impl FnMut() -> bool) -> Result<()> {
    const LIMIT: Duration = Duration::from_secs(180);
    let end = Instant::now() + LIMIT;
    while !happened() {
        if Instant::now() > end {
            bail!("{what}: nothing happened within {} s", LIMIT.as_secs());
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn give(folder: &Path) -> Result<()> {
    let mut command = Command::new("chown");
    command.arg("-R").arg(format!("{NOBODY}:{NOBODY}"));
    process::quiet(command.arg(folder))
}

fn as_user(mut command: Command, is_root: bool) -> Command {
    if is_root {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}
