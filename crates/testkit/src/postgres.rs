//! A PostgreSQL server of the tests' own, without a network.
//!
//! Gives databases by URL, each test one of its own; the server ends with the process that
//! started it, however that ends.
//! Does not sync to the disk: what it promises here is what survives its own death, not that of
//! the computer.
//!
//! Source: PostgreSQL's documentation, `initdb`, `pg_ctl`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use rustix::process::geteuid;

use crate::tool;

/// The user whose server it is where tests run as root, which PostgreSQL refuses to be.
const NOBODY: u32 = 65534;

/// What waits for its owner's end, and cleans up: the folder is gone with the server.
const KEEPER: &str = "cat > /dev/null; \
                      \"$1\" -D \"$2/data\" -m immediate -w stop > /dev/null 2>&1; \
                      rm -rf \"$2\"";

const SETTINGS: &str = "
listen_addresses = ''
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 60
";

/// A server and its folder.
#[derive(Debug)]
pub struct Server {
    folder: PathBuf,
    pg_ctl: PathBuf,
    keeper: Child,
    databases: AtomicU32,
}

impl Server {
    /// The server that all tests of this process share. Nothing where PostgreSQL is not
    /// installed; says so.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Server>> = OnceLock::new();
        SHARED.get_or_init(|| Self::begin("")).as_ref()
    }

    /// A server of its caller's own, with more lines of `postgresql.conf`: for tests that
    /// restart it.
    pub fn begin(settings: &str) -> Option<Self> {
        let (initdb, pg_ctl) = (program("initdb")?, program("pg_ctl")?);
        // Sockets need short paths.
        let folder = tempfile::Builder::new().prefix("lbpg").tempdir().unwrap();
        let folder = folder.keep();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
        if geteuid().is_root() {
            chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let keeper = command(Path::new("sh"))
            .args(["-c", KEEPER, "keeper"])
            .args([&pg_ctl, &folder])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let databases = AtomicU32::new(0);
        let server = Self {
            folder,
            pg_ctl,
            keeper,
            databases,
        };
        let data = server.folder.join("data");
        let mut making = command(&initdb);
        making.args(["-U", "lifeboat", "-A", "trust", "-E", "UTF8"]);
        making.args(["--locale=C.UTF-8", "--no-sync", "-D"]);
        run(making.arg(&data));
        let sockets = format!("unix_socket_directories = '{}'", server.folder.display());
        let text = format!("{SETTINGS}\n{sockets}\n{settings}\n");
        fs::write(server.folder.join("data/postgresql.auto.conf"), text).unwrap();
        server.start();
        Some(server)
    }

    /// Starts the server that was stopped.
    pub fn start(&self) {
        let log = self.folder.join("log");
        run(self.control("start").arg("-l").arg(log));
    }

    /// Ends the server at once, as a crash does: nobody's transaction is finished.
    pub fn stop_at_once(&self) {
        run(self.control("stop").args(["-m", "immediate"]));
    }

    /// Adds lines to `postgresql.conf` and starts the server anew.
    pub fn configure(&self, settings: &str) {
        let file = self.folder.join("data/postgresql.auto.conf");
        let before = fs::read_to_string(&file).unwrap();
        fs::write(file, format!("{before}\n{settings}\n")).unwrap();
        self.stop_at_once();
        self.start();
    }

    /// Puts a file into the folder that the server's user alone reads.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if geteuid().is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
        path
    }

    /// Makes a database and gives its URL.
    pub fn database(&self) -> String {
        let name = format!("test{}", self.databases.fetch_add(1, Relaxed));
        self.psql("postgres", &format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Leads to a database.
    pub fn url(&self, name: &str) -> String {
        format!(
            "postgresql://lifeboat@/{name}?host={}",
            self.folder.display()
        )
    }

    /// The folder; files that are put there end with the server.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Asks psql, the judge, and gives what it says.
    pub fn psql(&self, database: &str, statement: &str) -> String {
        let mut asking = command(&self.pg_ctl.with_file_name("psql"));
        asking.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"]);
        asking.args(["-d", &self.url(database), "-c", statement]);
        run(&mut asking)
    }

    fn control(&self, verb: &str) -> Command {
        let mut command = command(&self.pg_ctl);
        command.arg(verb).arg("-w").arg("-s").arg("-D");
        command.arg(self.folder.join("data"));
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().ok();
    }
}

/// Debian keeps the programs of each version in a folder of its own.
fn program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let programs = versions
        .flatten()
        .map(|it| it.path().join("bin").join(name));
    let mut programs: Vec<_> = programs.filter(|it| it.is_file()).collect();
    programs.sort();
    programs.pop().or_else(|| tool(name))
}

fn command(program: &Path) -> Command {
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
    command.current_dir("/").env("LC_ALL", "C.UTF-8");
    command
}

fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}
