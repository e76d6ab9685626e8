//! The adapter beside a libvirt daemon of each test's own, and what a repository would keep.

use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lifeboat_libvirt::{Libvirt, LibvirtOptions};
use lifeboat_model::{ByteCount, DiskName, SystemClock};
use lifeboat_platform::{
    Capture, CaptureRequest, CapturedChange, CapturedDisk, CheckpointId, Origin, Platform, Quiesce,
    Since,
};
use lifeboat_testkit::SeededEntropy;
use lifeboat_testkit::libvirtd::{Daemon, TestMachine};
pub(crate) use lifeboat_testkit::libvirtd::{
    MIB, TestDisk, give_away, qcow2, qemu_img, raw, shown, wait_for,
};

/// Random numbers differ between tests that share nothing, and need not.
const SEED: u64 = 7;

/// A daemon and the adapter that is connected to it.
pub(crate) struct Session {
    daemon: Daemon,
    pub(crate) platform: Libvirt,
    pub(crate) entropy: SeededEntropy,
}

/// A machine, and how it is captured.
pub(crate) struct Machine<'a> {
    pub(crate) session: &'a Session,
    machine: TestMachine<'a>,
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
        let daemon = Daemon::begin(Path::new(env!("CARGO_TARGET_TMPDIR")))?;
        let mut options = LibvirtOptions::new(daemon.uri());
        options.scratch = Some(daemon.path("scratch"));
        options.stop_limit = Duration::ZERO;
        adjust(&mut options);
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SeededEntropy::new(SEED)));
        Some(Self {
            platform: Libvirt::new(options, clock, entropy),
            entropy: SeededEntropy::new(SEED + 1),
            daemon,
        })
    }

    /// Makes the images, defines the machine and starts it.
    pub(crate) fn machine(&self, name: &str, disks: &[TestDisk]) -> Machine<'_> {
        Machine {
            session: self,
            machine: self.daemon.machine(name, disks),
        }
    }

    /// Makes the images and defines the machine, with more devices.
    pub(crate) fn defined(&self, name: &str, disks: &[TestDisk], devices: &str) -> Machine<'_> {
        Machine {
            session: self,
            machine: self.daemon.defined(name, disks, devices),
        }
    }
}

impl Deref for Session {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.daemon
    }
}

impl<'a> Deref for Machine<'a> {
    type Target = TestMachine<'a>;

    fn deref(&self) -> &TestMachine<'a> {
        &self.machine
    }
}

impl DerefMut for Machine<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.machine
    }
}

impl Machine<'_> {
    pub(crate) fn request(&self, origin: &Origin) -> CaptureRequest {
        CaptureRequest {
            vm: self.id.clone(),
            disks: Vec::new(),
            since: BTreeMap::new(),
            checkpoint: Some(CheckpointId::new(&self.session.entropy)),
            origin: origin.clone(),
            quiesce: Quiesce::Never,
            freeze_max: Duration::from_secs(10),
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
