//! A running rescue VM and what it can be asked.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::Duration;

use lifeboat_model::{CancelToken, ErrorKind};

use super::channel::{Channel, Lost};
use super::path::{GuestPath, LastLink};
use super::qemu::{Boot, Engine, Qemu};
use super::run::{self, Command, Ran};
use super::settings::{Accelerator, Access, Disk, Settings};
use super::volume::Volume;
use super::walk::Walk;
use super::{initramfs, kernel};
use crate::wire::{DATA_BYTES_MAX, Entry, LIST_MAX, MISSING_MAX, Reply, Request, VERSION};
use crate::{Error, Result};

/// The bus of the rescue VM has places for as many, besides what else it has.
const DISKS_MAX: usize = 24;
/// A processor that works at all boots the rescue VM in a second or two.
const KVM_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to power off after everything is written.
const END_PATIENCE: Duration = Duration::from_secs(20);
/// Names the boot of the host in which its processor did not run a VM.
const KVM_MARK: &str = "rescue-without-kvm";
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A rescue VM with disks. It is killed when this is dropped; [`Rescue::finish`] ends it well.
///
/// One question at a time. After an error of kind `Unreachable`, `Corrupt`, `Cancelled` or `Io`
/// that names the rescue VM itself it is gone, and every further question fails.
#[derive(Debug)]
pub struct Rescue {
    qemu: Qemu,
    channel: Channel,
    volumes: Vec<Volume>,
    missing: Vec<(String, String)>,
    is_over: bool,
}

/// What a listing gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// An entry.
    Entry(Box<Entry>),
    /// Something could not be read: damage inside the file system.
    Fault(String),
}

impl Rescue {
    /// Boots a rescue VM on these disks and looks at everything on them.
    ///
    /// Errors: `Unsupported` without a kernel or QEMU, naming the packages; `Unreachable` if it
    /// does not come up in time, with its last words; `Cancelled`.
    ///
    /// Cost: about 4 s without KVM, the first time one more; its memory of the host.
    pub fn start(
        disks: &[Disk],
        access: Access,
        settings: &Settings,
        cancel: &CancelToken,
    ) -> Result<Self> {
        if disks.len() > DISKS_MAX {
            let seen = format!("{} disks; at most {DISKS_MAX} fit", disks.len());
            return Err(Error::new(ErrorKind::Invalid, "starting", "the rescue VM").seen(seen));
        }
        let kernel = kernel::find(settings)?;
        let initramfs = initramfs::image(settings, &kernel)?;
        let mut boot = Boot {
            settings,
            kernel: &kernel.image,
            initramfs: &initramfs,
            disks,
            access,
            engine: Engine::Emulator,
        };
        let mut has_kvm_failed = false;
        if settings.accelerator != Accelerator::Emulator && may_use_kvm(settings) {
            boot.engine = Engine::Kvm;
            match Self::boot(&boot, cancel) {
                Err(error)
                    if settings.accelerator == Accelerator::Automatic
                        && error.kind() != ErrorKind::Cancelled =>
                {
                    has_kvm_failed = true;
                }
                booted => return booted?.surveyed(disks),
            }
            boot.engine = Engine::Emulator;
        }
        let rescue = Self::boot(&boot, cancel)?;
        if has_kvm_failed {
            // Without the mark the next start tries again: slow, not wrong.
            let _ = fs::copy(BOOT_ID, settings.cache.join(KVM_MARK));
        }
        rescue.surveyed(disks)
    }

    fn boot(boot: &Boot<'_>, cancel: &CancelToken) -> Result<Self> {
        let (qemu, stream) = boot.start(cancel)?;
        let patience = boot.settings.patience;
        let channel = Channel::new(stream, patience, cancel)
            .map_err(|error| Error::io("talking to", "the rescue VM", error))?;
        let mut rescue = Self {
            qemu,
            channel,
            volumes: Vec::new(),
            missing: Vec::new(),
            is_over: false,
        };
        let patience = match (boot.engine, boot.settings.accelerator) {
            (Engine::Kvm, Accelerator::Automatic) => patience.boot.min(KVM_PATIENCE),
            _ => patience.boot,
        };
        match rescue.channel.receive_any(patience) {
            Ok(Reply::Hello { version: VERSION }) => Ok(rescue),
            Ok(_) => Err(rescue.lose(Lost::OutOfTurn("it is not of this version"))),
            Err(lost) => Err(rescue.lose(lost)),
        }
    }

    fn surveyed(mut self, disks: &[Disk]) -> Result<Self> {
        self.ask(&Request::Volumes)?;
        let found = loop {
            match self.next_reply()? {
                Reply::Missing { path, text } if self.missing.len() < MISSING_MAX => {
                    self.missing.push((path, text));
                }
                Reply::Volumes(found) => break found,
                reply => return Err(self.unexpected(reply, "surveying", &"the disks")),
            }
        };
        self.volumes = found.into_iter().map(|it| Volume::of(it, disks)).collect();
        Ok(self)
    }

    /// Everything found on the disks.
    pub fn volumes(&self) -> &[Volume] {
        &self.volumes
    }

    /// Paths at which the system's own table wants a volume that is not there, and why: what
    /// lies at such a path is not what the system sees.
    pub fn missing(&self) -> &[(String, String)] {
        &self.missing
    }

    /// What is at a path: a folder's entries, sorted by the bytes of their names, or the one
    /// entry itself, without a name. What cannot be read is left out: [`Rescue::each`] tells it.
    ///
    /// Errors: `NotFound`, `Denied` and others as the file system inside reports them.
    pub fn list(&mut self, path: &GuestPath) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        self.each(path, |listed| {
            if let Listed::Entry(entry) = listed {
                entries.push(*entry);
            }
        })?;
        if entries.len() > 1 || entries.first().is_some_and(is_folder) {
            entries.remove(0);
        }
        Ok(entries)
    }

    /// Gives `take` the entry at a path, without a name, and after a folder what is in it, in
    /// ascending order of their names' bytes, and what could not be read: at most two million
    /// things, each of at most 1 MiB. Of a larger folder a million entries and a fault come.
    ///
    /// Errors: as [`Rescue::list`].
    pub fn each(&mut self, path: &GuestPath, mut take: impl FnMut(Listed)) -> Result<()> {
        let place = path.place(&self.volumes, LastLink::Followed)?;
        self.ask(&Request::List(place))?;
        let mut count = 0;
        // The entry itself has no name, which is less than every other.
        let mut latest: Option<Vec<u8>> = None;
        loop {
            match self.next_reply()? {
                Reply::Entry(entry) if count < 2 * LIST_MAX => {
                    let is_next = match &latest {
                        None => entry.name.is_empty(),
                        Some(latest) => *latest < entry.name,
                    };
                    if !is_next {
                        return Err(self.lose(Lost::OutOfTurn("names do not ascend")));
                    }
                    latest = Some(entry.name.clone());
                    take(Listed::Entry(entry));
                }
                Reply::Fault(text) if count < 2 * LIST_MAX => take(Listed::Fault(text)),
                Reply::Done => return Ok(()),
                reply => return Err(self.unexpected(reply, "listing", path)),
            }
            count += 1;
        }
    }

    /// The entry at a path itself, without a name.
    ///
    /// Errors: as [`Rescue::list`].
    pub fn describe(&mut self, path: &GuestPath, last: LastLink) -> Result<Entry> {
        let place = path.place(&self.volumes, last)?;
        self.ask(&Request::Describe(place))?;
        let entry = match self.next_reply()? {
            Reply::Entry(entry) => *entry,
            reply => return Err(self.unexpected(reply, "looking at", path)),
        };
        match self.next_reply()? {
            Reply::Done => Ok(entry),
            reply => Err(self.unexpected(reply, "looking at", path)),
        }
    }

    /// Whether the rescue VM is gone, so that every further question fails.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Begins to read an entry and all below it.
    pub fn walk(&mut self, path: &GuestPath, last: LastLink) -> Result<Walk<'_>> {
        let place = path.place(&self.volumes, last)?;
        self.ask(&Request::Walk(place))?;
        Ok(Walk::new(self, path.to_string()))
    }

    /// Reads a range of a file's content into `buffer`; gives how many bytes the file has there.
    ///
    /// At most 256 KiB are read at once.
    pub fn read(&mut self, path: &GuestPath, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let length = buffer.len().min(DATA_BYTES_MAX);
        let place = path.place(&self.volumes, LastLink::Followed)?;
        self.ask(&Request::Read {
            place,
            offset,
            length: length as u32,
        })?;
        let mut filled = 0;
        loop {
            match self.next_reply()? {
                Reply::Data { offset: at, bytes } if at == offset && filled == 0 => {
                    let Some(room) = buffer[..length].get_mut(..bytes.len()) else {
                        return Err(self.lose(Lost::OutOfTurn("more content than was asked for")));
                    };
                    room.copy_from_slice(&bytes);
                    filled = bytes.len();
                }
                Reply::Done => return Ok(filled),
                reply => return Err(self.unexpected(reply, "reading", path)),
            }
        }
    }

    /// Runs a command inside the system's tree, as root of a machine without network.
    ///
    /// Errors: `Unsupported` unless the disks are writable; `NotFound` if no system is found.
    /// A command that ran and failed is no error.
    pub fn run(&mut self, command: &Command) -> Result<Ran> {
        self.ask(&command.request())?;
        let mut output = run::Output::new(command.output_bytes_max);
        loop {
            match self.next_reply()? {
                Reply::Output(bytes) => output.push(&bytes),
                Reply::Exited { code, is_timed_out } => {
                    return Ok(output.finish(code, is_timed_out));
                }
                reply => return Err(self.unexpected(reply, "running", &command.shown())),
            }
        }
    }

    /// Writes everything to the disks, lets go of them, and ends the rescue VM.
    ///
    /// Order: what was written is with the NBD servers when this returns without an error.
    pub fn finish(mut self) -> Result<()> {
        self.ask(&Request::Finish)?;
        match self.next_reply()? {
            Reply::Done if self.qemu.wait(END_PATIENCE) => Ok(()),
            Reply::Done => Err(self.lose(Lost::Silent(END_PATIENCE))),
            reply => Err(self.unexpected(reply, "ending", &"the rescue VM")),
        }
    }

    pub(super) fn ask(&mut self, request: &Request) -> Result<()> {
        if self.is_over {
            return Err(
                Error::new(ErrorKind::Unreachable, "asking", "the rescue VM")
                    .seen("it has ended before; start it anew"),
            );
        }
        self.channel.send(request).map_err(|lost| self.lose(lost))
    }

    pub(super) fn next_reply(&mut self) -> Result<Reply> {
        self.channel.receive().map_err(|lost| self.lose(lost))
    }

    /// An answer that ends a request otherwise than hoped.
    pub(super) fn unexpected(
        &mut self,
        reply: Reply,
        doing: &'static str,
        object: &dyn ToString,
    ) -> Error {
        match reply {
            Reply::Failed { kind, text } => Error::new(kind, doing, object.to_string()).seen(text),
            _ => self.lose(Lost::OutOfTurn("an answer has no place here")),
        }
    }

    /// Ends the rescue VM, and says why.
    pub(super) fn lose(&mut self, lost: Lost) -> Error {
        self.is_over = true;
        if matches!(lost, Lost::Ended) {
            // Its last words may still be on their way.
            self.qemu.wait(Duration::from_secs(2));
        }
        self.qemu.kill();
        let words = || self.qemu.last_words();
        let broken = |text: String| {
            Error::new(ErrorKind::Corrupt, "listening to", "the rescue VM").seen(format!(
                "{text}; a file system inside may have harmed it, so it was ended"
            ))
        };
        match lost {
            Lost::Ended => Error::new(ErrorKind::Unreachable, "asking", "the rescue VM")
                .seen(format!("it ended by itself; {}", words())),
            Lost::Silent(limit) => Error::new(ErrorKind::Unreachable, "asking", "the rescue VM")
                .seen(format!("no end after {} s; {}", limit.as_secs(), words())),
            Lost::Cancelled => Error::new(ErrorKind::Cancelled, "asking", "the rescue VM"),
            Lost::Malformed(malformed) => broken(malformed.to_string()),
            Lost::OutOfTurn(text) => broken(text.into()),
            Lost::Io(error) => Error::io("talking to", "the rescue VM", error),
        }
    }
}

fn is_folder(entry: &Entry) -> bool {
    entry.kind == crate::wire::FileKind::Folder
}

/// The device can be opened, and no start has failed since the host booted.
fn may_use_kvm(settings: &Settings) -> bool {
    let read = |path: &Path| fs::read(path).ok();
    let mark = read(&settings.cache.join(KVM_MARK));
    let has_failed = mark.is_some() && mark == read(Path::new(BOOT_ID));
    let device = OpenOptions::new().read(true).write(true).open("/dev/kvm");
    settings.accelerator == Accelerator::Kvm || !has_failed && device.is_ok()
}
