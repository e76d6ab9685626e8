//! Machines that run straight from the repository.
//!
//! A server of this program gives the snapshot's disks to the machine and keeps what the machine
//! writes in overlays beside it. It can be killed and started again: the machine waits, and every
//! write that it was told is durable is there.
//!
//! State is one folder for each machine, with `instant.json`, the overlays, the socket, and the
//! lock that says whether the server lives. It is written before anything is made, so that
//! `discard` finds all of it after a crash at any point.

mod moving;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_disk::ImageFormat;
use lifeboat_model::{CancelToken, ErrorKind, VmName};
use lifeboat_nbd::Address;
use lifeboat_platform::{
    BuildDisk, BuildRequest, Finding, Identity, LiveMachines, NetworkMapping, Occupied, Placement,
    Platform, Vm, VmId, VmState,
};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::error::Doing;
use crate::recover::{RecoverySource, describing_files};
use crate::{Error, Result};

pub use moving::{MovingDisk, promote};

const STATE_FILE: &str = "instant.json";
const SOCKET: &str = "nbd";
const SERVER_LOCK: &str = "server.lock";
/// Between two looks at something that takes its time.
const POLL: Duration = Duration::from_millis(20);

/// What is known of a machine that runs from the repository.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InstantState {
    /// Version of this shape: 1.
    pub version: u32,
    /// The machine's name while it runs so.
    pub name: String,
    /// The platform's URI.
    pub platform: String,
    /// The repository's place.
    pub repository: String,
    /// The snapshot, in full.
    pub snapshot: String,
    /// The machine in the snapshot.
    pub machine: String,
    /// Its disks: name and bytes.
    pub disks: Vec<(String, u64)>,
    /// The platform's id, as soon as there is one.
    pub vm: Option<String>,
    /// When it was begun, by RFC 3339.
    pub begun: String,
    /// Disks that were, or are being, moved into storage, and to where.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moving: Vec<MovingDisk>,
}

/// A folder with the state of one machine.
#[derive(Clone, Debug)]
pub struct InstantFolder(PathBuf);

/// How a machine that runs from the repository is doing.
#[derive(Debug)]
pub struct InstantView {
    /// What is known of it.
    pub state: InstantState,
    /// Its folder.
    pub folder: InstantFolder,
    /// Whether its server lives.
    pub is_served: bool,
    /// Bytes that its overlays take.
    pub overlay_bytes: u64,
}

impl InstantView {
    /// How the machine of a folder is doing.
    pub fn of(folder: InstantFolder, state: InstantState) -> Self {
        Self {
            is_served: folder.server().is_some(),
            overlay_bytes: folder.overlay_bytes(),
            state,
            folder,
        }
    }
}

fn failed<'a>(doing: &'a str, path: &'a Path) -> impl Fn(std::io::Error) -> Error + 'a {
    move |e| {
        let message = format!("cannot {doing} {}", path.display());
        Error::new(ErrorKind::of_io(&e), message).with_source(e)
    }
}

impl InstantFolder {
    /// The folder of a machine below `base`.
    pub fn of(base: &Path, name: &VmName) -> Self {
        Self(base.join(name.as_str()))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The server's socket.
    pub fn socket(&self) -> PathBuf {
        self.0.join(SOCKET)
    }

    /// Makes the folder and writes what is known.
    ///
    /// Errors: `Exists` if the machine runs so already.
    pub fn create(&self, state: &InstantState) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let base = self.0.parent().unwrap_or(&self.0);
        fs::create_dir_all(base).map_err(failed("make the folder", base))?;
        let mut builder = fs::DirBuilder::new();
        // Others may pass to the socket, and see nothing.
        let made = builder.mode(0o711).create(&self.0);
        if made
            .as_ref()
            .is_err_and(|e| e.kind() == std::io::ErrorKind::AlreadyExists)
        {
            let message = format!(
                "{} runs from a repository already: 'lifeboat instant list' shows it, 'instant \
                 resume', 'promote' and 'discard' go on with it",
                state.name
            );
            return Err(Error::new(ErrorKind::Exists, message));
        }
        made.map_err(failed("make the folder", &self.0))?;
        self.save(state)
    }

    /// Writes what is known, whole or not at all.
    pub fn save(&self, state: &InstantState) -> Result<()> {
        let path = self.0.join(STATE_FILE);
        let work = self.0.join(".instant.json.lifeboat-part");
        let json = serde_json::to_vec_pretty(state).unwrap_or_default();
        let written = File::create(&work)
            .and_then(|mut file| file.write_all(&json).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&work, &path));
        written.map_err(failed("write", &path))
    }

    /// What is known.
    ///
    /// Errors: `NotFound`; `Corrupt`.
    pub fn load(&self) -> Result<InstantState> {
        let path = self.0.join(STATE_FILE);
        let json = fs::read(&path).map_err(failed("read", &path))?;
        serde_json::from_slice(&json).map_err(|e| {
            Error::new(
                ErrorKind::Corrupt,
                format!("cannot read {}", path.display()),
            )
            .with_source(e)
        })
    }

    /// Takes the lock of the server; it is held as long as the file lives.
    ///
    /// Errors: `Busy` if another server has it.
    pub fn lock_server(&self) -> Result<File> {
        let path = self.0.join(SERVER_LOCK);
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed("open", &path))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            let message = format!("a server works in {} already", self.0.display());
            Error::new(ErrorKind::Busy, message)
        })?;
        file.set_len(0).map_err(failed("write", &path))?;
        write!(file, "{}", std::process::id()).map_err(failed("write", &path))?;
        Ok(file)
    }

    /// The process that holds the server's lock, if any does.
    pub fn server(&self) -> Option<i32> {
        let path = self.0.join(SERVER_LOCK);
        let file = File::open(&path).ok()?;
        if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
            return None;
        }
        fs::read_to_string(&path).ok()?.trim().parse().ok()
    }

    /// Waits until the server listens.
    ///
    /// Errors: `Unreachable` if it does not within `limit`, with the end of what it said.
    pub fn wait_for_server(&self, limit: Duration, cancel: &CancelToken) -> Result<()> {
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(self.socket()).is_err() {
            if begun.elapsed() > limit || cancel.is_cancelled() {
                let log = fs::read_to_string(self.log()).unwrap_or_default();
                let last = log.lines().last().unwrap_or("it said nothing").to_owned();
                let message = format!("the server of the disks does not come up: {last}");
                return Err(Error::new(ErrorKind::Unreachable, message));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// What the server says goes here.
    pub fn log(&self) -> PathBuf {
        self.0.join("server.log")
    }

    /// Ends the server and waits for it.
    pub fn stop_server(&self, limit: Duration) -> Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        let begun = Instant::now();
        let mut signal = Signal::TERM;
        while let Some(process) = self.server().and_then(Pid::from_raw) {
            let _ = kill_process(process, signal);
            std::thread::sleep(POLL * 5);
            if begun.elapsed() > limit {
                signal = Signal::KILL;
            }
            if begun.elapsed() > limit * 3 {
                let message = format!("the server of {} does not end", self.0.display());
                return Err(Error::new(ErrorKind::Busy, message));
            }
        }
        Ok(())
    }

    /// Removes the folder with everything that the machine wrote.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", &self.0)(e)),
            _ => Ok(()),
        }
    }

    fn overlay_bytes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let entries = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let overlays = entries.filter(|it| it.path().extension().is_some_and(|e| e == "overlay"));
        let sizes = overlays.filter_map(|it| it.metadata().ok());
        sizes.map(|metadata| metadata.blocks() * 512).sum()
    }
}

/// All machines below `base` that run from a repository.
pub fn list(base: &Path) -> Result<Vec<InstantView>> {
    let entries = match fs::read_dir(base) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.map_err(failed("list", base))?,
    };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let folder = InstantFolder(entry.path());
        if let Ok(state) = folder.load() {
            found.push(InstantView::of(folder, state));
        }
    }
    found.sort_by(|a, b| a.state.name.cmp(&b.state.name));
    Ok(found)
}

/// Defines and starts a machine whose disks the folder's server gives.
///
/// Errors: those of the platform; then there is no machine.
pub fn start(
    platform: &dyn Platform,
    source: RecoverySource<'_>,
    folder: &InstantFolder,
    state: &mut InstantState,
    networks: &[NetworkMapping],
) -> Result<Vec<Finding>> {
    let builder = platform
        .builder()
        .ok_or_else(|| no_side(platform, "make machines"))?;
    let name: VmName = state.name.parse().map_err(|error| of_name(&error))?;
    let disks = state.disks.iter().map(|(disk, size)| {
        let address = Address::unix(&folder.socket(), disk);
        Ok(BuildDisk {
            name: disk.parse().map_err(|error| of_name(&error))?,
            size: *size,
            format: Some(ImageFormat::Raw),
            placement: Placement::Remote(address.to_string()),
        })
    });
    let request = BuildRequest {
        name: name.clone(),
        files: describing_files(source)?,
        disks: disks.collect::<Result<_>>()?,
        networks: networks.to_vec(),
        identity: Identity::KeepIfFree,
        occupied: Occupied::Refuse,
    };
    let plan = builder.plan(&request);
    let plan = plan.doing(|| format!("cannot plan the machine {name}"))?;
    let build = builder.begin(&plan);
    let mut build = build.doing(|| format!("cannot begin the machine {name}"))?;
    let defined = build
        .define()
        .doing(|| format!("cannot define the machine {name}"))?;
    state.vm = Some(defined.to_string());
    folder.save(state)?;
    build
        .start()
        .doing(|| format!("cannot start the machine {name}"))?;
    let kept = build.keep().doing(|| format!("{name} runs, but"))?;
    Ok(plan.findings.into_iter().chain(kept).collect())
}

fn of_name(error: &lifeboat_model::ParseError) -> Error {
    Error::new(ErrorKind::Corrupt, error.to_string())
}

fn no_side(platform: &dyn Platform, what: &str) -> Error {
    let message = format!("{}: this platform cannot {what}", platform.place());
    Error::new(ErrorKind::Unsupported, message)
}

fn live(platform: &dyn Platform) -> Result<&dyn LiveMachines> {
    let side = platform.live();
    side.ok_or_else(|| no_side(platform, "move disks of running machines"))
}

/// The machine that runs from this folder, by its id, or by its name where the id was not
/// written yet; one that has none of the folder's disks is another.
fn machine(platform: &dyn Platform, view: &InstantView) -> Result<Option<Vm>> {
    let inventory = platform
        .inventory()
        .doing(|| "cannot list machines".to_owned())?;
    let state = &view.state;
    let is_it = |vm: &Vm| match &state.vm {
        Some(id) => vm.id.as_str() == id,
        None => vm.name.as_str() == state.name && uses(vm, view),
    };
    Ok(inventory.vms.into_iter().find(is_it))
}

fn uses(vm: &Vm, view: &InstantView) -> bool {
    let socket = view.folder.socket().display().to_string();
    vm.disks.iter().any(|disk| disk.place.contains(&socket))
}

/// Lets the machine go on when its server is back: it stood still at the first read or write
/// that nobody answered. One that is off stays so.
///
/// Errors: `NotFound` if the machine is gone; those of the platform.
pub fn go_on(platform: &dyn Platform, view: &InstantView) -> Result<VmState> {
    let name = &view.state.name;
    let vm = machine(platform, view)?.ok_or_else(|| {
        let message = format!(
            "{name} is gone from {}: 'lifeboat instant discard {name}' removes what it wrote",
            platform.place()
        );
        Error::new(ErrorKind::NotFound, message)
    })?;
    let gone_on = live(platform)?.go_on(&vm.id);
    gone_on.doing(|| format!("cannot let {name} go on"))?;
    Ok(vm.state)
}

/// Removes the machine, its server and what it wrote, also where that was moved to already.
pub fn discard(platform: &dyn Platform, view: &InstantView, limit: Duration) -> Result<()> {
    // By its id, if it is known: a machine that is not in a list might be there all the same.
    let id = match &view.state.vm {
        Some(id) => Some(VmId::new(id.as_str())),
        None => machine(platform, view)?.map(|vm| vm.id),
    };
    if let Some(id) = id {
        match live(platform)?.remove(&id) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            removed => {
                removed.doing(|| format!("cannot remove the machine {}", view.state.name))?;
            }
        }
    }
    moving::remove_copies(platform, view)?;
    view.folder.stop_server(limit)?;
    view.folder.remove()
}
