//! An ssh server of a test's own, with a key and a port of its own: another host, which is this.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_libvirt::{Libvirt, LibvirtOptions};
use lifeboat_model::{SystemClock, SystemEntropy};
use lifeboat_testkit::{free_port, tool};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::session::{Session, shown, wait_for};

/// The server; everything of it ends with this.
pub(crate) struct AnotherHost {
    folder: TempDir,
    port: u16,
    server: Child,
}

impl AnotherHost {
    /// Nothing where there is no ssh; says so.
    pub(crate) fn begin() -> Option<Self> {
        let (sshd, _ssh, keygen) = (tool("sshd")?, tool("ssh")?, tool("ssh-keygen")?);
        let folder = tempfile::Builder::new().prefix("lbh").tempdir().unwrap();
        let path = |name: &str| shown(&folder.path().join(name));
        for name in ["host", "key"] {
            let mut command = Command::new(&keygen);
            command.args(["-q", "-t", "ed25519", "-N", "", "-f", &path(name)]);
            assert!(command.status().unwrap().success());
        }
        fs::create_dir(path("tmp")).unwrap();
        let port = free_port();
        let settings = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nPidFile none\nUsePAM no\n\
             AuthorizedKeysFile {}\nStrictModes no\nPasswordAuthentication no\n\
             KbdInteractiveAuthentication no\nPermitRootLogin yes\nSetEnv TMPDIR={}\n",
            path("host"),
            path("key.pub"),
            path("tmp")
        );
        fs::write(path("sshd_config"), settings).unwrap();
        let host_key = fs::read_to_string(path("host.pub")).unwrap();
        fs::write(path("known"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        let settings = format!(
            "Host *\nUserKnownHostsFile {}\nStrictHostKeyChecking yes\nIdentityFile {}\n\
             IdentitiesOnly yes\n",
            path("known"),
            path("key")
        );
        fs::write(path("config"), settings).unwrap();
        let script = format!("#!/bin/sh\nexec ssh -F {} \"$@\"\n", path("config"));
        fs::write(path("ssh"), script).unwrap();
        fs::set_permissions(path("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        // A service would make it.
        let _ = fs::create_dir_all("/run/sshd");
        let mut server = Command::new(sshd);
        server.args(["-D", "-f", &path("sshd_config"), "-E", &path("log")]);
        let server = server.stdin(Stdio::null()).spawn().unwrap();
        wait_for(|| TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self {
            folder,
            port,
            server,
        })
    }

    /// The session's libvirt as seen from afar.
    pub(crate) fn uri(&self, session: &Session) -> String {
        self.uri_with(session, "ssh")
    }

    /// As [`Self::uri`], with another ssh of the folder.
    pub(crate) fn uri_with(&self, session: &Session, ssh: &str) -> String {
        let local = session.uri();
        let (_, query) = local.split_once('?').unwrap();
        let command = shown(&self.folder.path().join(ssh));
        let port = self.port;
        format!("qemu+ssh://127.0.0.1:{port}/session?{query}&command={command}")
    }

    pub(crate) fn platform(&self, session: &Session) -> Libvirt {
        self.platform_with(session, |_| {})
    }

    pub(crate) fn platform_with(
        &self,
        session: &Session,
        adjust: impl FnOnce(&mut LibvirtOptions),
    ) -> Libvirt {
        let mut options = LibvirtOptions::new(self.uri(session));
        options.scratch = Some(session.path("scratch"));
        options.stop_limit = Duration::ZERO;
        adjust(&mut options);
        Libvirt::new(options, Arc::new(SystemClock), Arc::new(SystemEntropy))
    }

    /// Writes an ssh that is told more, or other things.
    pub(crate) fn other_ssh(&self, name: &str, more: &str) {
        let path = self.folder.path();
        let config = shown(&path.join("config"));
        let script = format!("#!/bin/sh\nexec ssh {more} -F {config} \"$@\"\n");
        fs::write(path.join(name), script).unwrap();
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Every ssh that is connected there, with its words.
    pub(crate) fn clients(&self) -> Vec<(Pid, Vec<String>)> {
        let port = self.port.to_string();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let processes = entries.filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let words = fs::read(entry.path().join("cmdline")).ok()?;
            let words = words.split(|byte| *byte == 0);
            let words = words.map(|word| String::from_utf8_lossy(word).into_owned());
            let words: Vec<_> = words.collect();
            let is_ssh = words.first().is_some_and(|it| it.ends_with("ssh"));
            (is_ssh && words.contains(&port)).then_some((Pid::from_raw(pid)?, words))
        });
        processes.collect()
    }

    /// Kills every ssh that is connected there.
    pub(crate) fn cut(&self) {
        for (pid, _) in self.clients() {
            kill_process(pid, Signal::KILL).ok();
        }
    }

    /// Waits until nobody is connected, and says what stayed at either end.
    pub(crate) fn leftovers(&self, folders: &[PathBuf]) -> Vec<PathBuf> {
        wait_for(|| self.clients().is_empty());
        let left = fs::read_dir(self.path("tmp")).unwrap();
        let left = left.map(|it| it.unwrap().path());
        let here = folders.iter().filter(|it| it.exists()).cloned();
        left.chain(here).collect()
    }

    /// The folders here in which sockets of connections are.
    pub(crate) fn folders_here(&self) -> Vec<PathBuf> {
        let folder = |words: Vec<String>| {
            let at = words.iter().position(|it| it == "-S")? + 1;
            Some(PathBuf::from(words.get(at)?).parent()?.to_owned())
        };
        let clients = self.clients().into_iter();
        clients.filter_map(|(_, words)| folder(words)).collect()
    }
}

impl Drop for AnotherHost {
    fn drop(&mut self) {
        self.server.kill().ok();
        self.server.wait().ok();
    }
}
