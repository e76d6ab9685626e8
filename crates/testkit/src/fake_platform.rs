//! A platform in memory: machines with disks that remember what was written since each mark.

mod build;
mod live;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use lifeboat_disk::{DiskReader, ExtentState, ImageFormat, MappedExtent};
use lifeboat_model::{DiskName, ErrorKind, Extent, ExtentSet, VmName};
use lifeboat_platform::{
    Builder, Capture, CaptureOutcome, CaptureRequest, CapturedChange, CapturedDisk, CheckpointId,
    Consistency, DescribingFile, Error, Executed, Finding, GuestCommand, Inventory, LiveMachines,
    Origin, Platform, Quiesce, Result, Since, Vm, VmDisk, VmId, VmState,
};

/// Where a test lets the platform fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlatformFault {
    /// No capture can begin.
    Begin,
    /// The view is lost while it is read.
    Confirm,
    /// What was made for a capture cannot be removed.
    Finish,
    /// No machine can be defined.
    Define,
    /// Disks stay where they are, and it is said that they were moved.
    Promote,
}

/// A platform in memory. Clones share their machines.
#[derive(Clone, Debug, Default)]
pub struct FakePlatform {
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    machines: BTreeMap<VmId, Machine>,
    events: Vec<String>,
    fault: Option<PlatformFault>,
    captures: u32,
    seconds: i64,
}

#[derive(Debug)]
struct Machine {
    name: VmName,
    state: VmState,
    tags: BTreeMap<String, String>,
    disks: BTreeMap<DiskName, Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// Where it is said to be, if not in memory.
    place: Option<String>,
    /// By mark: for whom it was made, and what was written since.
    marks: BTreeMap<CheckpointId, (Origin, ExtentSet)>,
}

impl FakePlatform {
    /// One without machines.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a running machine with empty disks of these sizes in bytes.
    pub fn add(&self, id: &str, name: &VmName, disks: &[(&DiskName, usize)]) {
        let disks = disks.iter().map(|(name, size)| {
            let kept = Kept {
                bytes: vec![0; *size],
                ..Kept::default()
            };
            ((*name).clone(), kept)
        });
        let machine = Machine {
            name: name.clone(),
            state: VmState::Running,
            tags: BTreeMap::new(),
            disks: disks.collect(),
        };
        self.lock().machines.insert(VmId::new(id), machine);
    }

    /// What the guest does: writes to a disk.
    pub fn write(&self, id: &str, disk: &DiskName, offset: usize, bytes: &[u8]) {
        self.with(id, |machine| {
            let Some(kept) = machine.disks.get_mut(disk) else {
                return;
            };
            if let Some(target) = kept.bytes.get_mut(offset..offset + bytes.len()) {
                target.copy_from_slice(bytes);
            }
            for (_, changed) in kept.marks.values_mut() {
                if let Some(extent) = Extent::at(offset as u64, bytes.len() as u64) {
                    changed.insert(extent);
                }
            }
        });
    }

    /// What a disk holds now.
    pub fn bytes(&self, id: &str, disk: &DiskName) -> Vec<u8> {
        let world = self.lock();
        let machine = world.machines.get(&VmId::new(id));
        let kept = machine.and_then(|machine| machine.disks.get(disk));
        kept.map(|kept| kept.bytes.clone()).unwrap_or_default()
    }

    /// Marks on a disk.
    pub fn marks(&self, id: &str, disk: &DiskName) -> Vec<CheckpointId> {
        let world = self.lock();
        let machine = world.machines.get(&VmId::new(id));
        let kept = machine.and_then(|machine| machine.disks.get(disk));
        kept.map(|kept| kept.marks.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Gives a machine another name.
    pub fn rename(&self, id: &str, name: &VmName) {
        self.with(id, |machine| machine.name = name.clone());
    }

    /// Starts or stops a machine.
    pub fn set_state(&self, id: &str, state: VmState) {
        self.with(id, |machine| machine.state = state);
    }

    /// Says where a disk is.
    pub fn set_place(&self, id: &str, disk: &DiskName, place: &str) {
        self.with(id, |machine| {
            if let Some(kept) = machine.disks.get_mut(disk) {
                kept.place = Some(place.to_owned());
            }
        });
    }

    /// Gives a machine a tag.
    pub fn set_tag(&self, id: &str, key: &str, value: &str) {
        self.with(id, |machine| {
            machine.tags.insert(key.to_owned(), value.to_owned());
        });
    }

    /// Lets the platform fail from now on, or not.
    pub fn set_fault(&self, fault: Option<PlatformFault>) {
        self.lock().fault = fault;
    }

    /// What was done so far, in order; forgotten by this.
    pub fn take_events(&self) -> Vec<String> {
        std::mem::take(&mut self.lock().events)
    }

    /// Captures that have not ended.
    pub fn open_captures(&self) -> u32 {
        self.lock().captures
    }

    fn with(&self, id: &str, change: impl FnOnce(&mut Machine)) {
        if let Some(machine) = self.lock().machines.get_mut(&VmId::new(id)) {
            change(machine);
        }
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(|p| p.into_inner())
    }
}

impl Platform for FakePlatform {
    fn kind(&self) -> &'static str {
        "fake"
    }

    fn place(&self) -> String {
        "memory".to_owned()
    }

    fn inventory(&self) -> Result<Inventory> {
        let world = self.lock();
        let vms = world.machines.iter().map(|(id, machine)| Vm {
            id: id.clone(),
            name: machine.name.clone(),
            state: machine.state,
            title: None,
            tags: machine.tags.clone(),
            disks: machine
                .disks
                .iter()
                .map(|(name, kept)| listed(name, kept))
                .collect(),
        });
        Ok(Inventory {
            vms: vms.collect(),
            findings: Vec::new(),
        })
    }

    fn sweep(&self, vm: &VmId, origin: &Origin, wanted: &[CheckpointId]) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        self.lock().events.push("sweep".to_owned());
        self.with(vm.as_str(), |machine| {
            for kept in machine.disks.values_mut() {
                kept.marks.retain(|mark, (of, _)| {
                    let stays = of != origin || wanted.contains(mark);
                    if !stays {
                        findings.push(Finding::note(format!("removed the checkpoint {mark}")));
                    }
                    stays
                });
            }
        });
        Ok(findings)
    }

    fn begin_capture(&self, request: &CaptureRequest) -> Result<Box<dyn Capture>> {
        let mut world = self.lock();
        world.events.push("capture".to_owned());
        let failed = |kind| Error::new(kind, "capturing", request.vm.as_str());
        if world.fault == Some(PlatformFault::Begin) {
            return Err(failed(ErrorKind::Busy).seen("another program captures it"));
        }
        let machine = world.machines.get_mut(&request.vm);
        let machine = machine.ok_or_else(|| failed(ErrorKind::NotFound))?;
        let (name, is_off) = (machine.name.clone(), machine.state == VmState::Off);
        let wanted = |name: &DiskName| request.disks.is_empty() || request.disks.contains(name);
        let disks = machine.disks.iter_mut().filter(|(name, _)| wanted(name));
        let disks = disks
            .map(|(name, kept)| captured(name, kept, request, is_off))
            .collect();
        world.captures += 1;
        world.seconds += 1;
        let captured_at = Timestamp::from_second(world.seconds).unwrap_or_default();
        let consistency = match (is_off, request.quiesce) {
            (true, _) => Consistency::Offline,
            (false, Quiesce::Never) => Consistency::Crash,
            (false, _) => Consistency::Filesystem,
        };
        Ok(Box::new(FakeCapture {
            platform: self.clone(),
            request: request.clone(),
            name,
            captured_at,
            consistency,
            disks,
            files: vec![DescribingFile {
                name: "machine.txt".to_owned(),
                content: b"a machine in memory\n".to_vec(),
            }],
            is_over: false,
        }))
    }

    fn builder(&self) -> Option<&dyn Builder> {
        Some(self)
    }

    fn live(&self) -> Option<&dyn LiveMachines> {
        Some(self)
    }

    fn execute(&self, _vm: &VmId, command: &GuestCommand) -> Result<Executed> {
        self.lock()
            .events
            .push(format!("guest {}", command.words.join(" ")));
        Ok(Executed {
            code: Some(0),
            output: b"done in the guest\n".to_vec(),
            errors: Vec::new(),
        })
    }
}

fn listed(name: &DiskName, kept: &Kept) -> VmDisk {
    VmDisk {
        name: name.clone(),
        size: Some(kept.bytes.len() as u64),
        format: Some(ImageFormat::Raw),
        place: match &kept.place {
            Some(place) => place.clone(),
            None => format!("memory of {name}"),
        },
        passed_over: None,
    }
}

/// One disk; a machine that is off gets no mark.
fn captured(
    name: &DiskName,
    kept: &mut Kept,
    request: &CaptureRequest,
    is_off: bool,
) -> CapturedDisk {
    let change = match request.since.get(name) {
        None => CapturedChange::Everything {
            reason: "nothing was asked".to_owned(),
        },
        Some(Since { checkpoint, size }) => match kept.marks.get(checkpoint) {
            Some((_, changed)) if *size == kept.bytes.len() as u64 => CapturedChange::Since {
                changed: changed.clone(),
            },
            Some(_) => CapturedChange::Everything {
                reason: "the disk was resized".to_owned(),
            },
            None => CapturedChange::Everything {
                reason: format!("the checkpoint {checkpoint} is missing"),
            },
        },
    };
    let mark = request.checkpoint.as_ref().filter(|_| !is_off);
    if let Some(mark) = mark {
        let made = (request.origin.clone(), ExtentSet::new());
        kept.marks.insert(mark.clone(), made);
    }
    CapturedDisk {
        name: name.clone(),
        format: ImageFormat::Raw,
        reader: Arc::new(Memory(kept.bytes.clone())),
        change,
        checkpoint: mark.cloned(),
    }
}

struct FakeCapture {
    platform: FakePlatform,
    request: CaptureRequest,
    name: VmName,
    captured_at: Timestamp,
    consistency: Consistency,
    disks: Vec<CapturedDisk>,
    files: Vec<DescribingFile>,
    is_over: bool,
}

impl FakeCapture {
    fn end(&mut self, outcome: CaptureOutcome) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        let is_offline = self.consistency == Consistency::Offline;
        let old: Vec<CheckpointId> = match outcome {
            CaptureOutcome::Committed if is_offline => Vec::new(),
            CaptureOutcome::Committed => self
                .request
                .since
                .values()
                .map(|since| since.checkpoint.clone())
                .collect(),
            CaptureOutcome::Abandoned => self.request.checkpoint.iter().cloned().collect(),
        };
        self.platform.with(self.request.vm.as_str(), |machine| {
            for kept in machine.disks.values_mut() {
                kept.marks.retain(|mark, _| !old.contains(mark));
            }
        });
        let mut world = self.platform.lock();
        world.captures -= 1;
        world
            .events
            .push(format!("finish {outcome:?}").to_lowercase());
    }
}

impl Drop for FakeCapture {
    fn drop(&mut self) {
        self.end(CaptureOutcome::Abandoned);
    }
}

impl Capture for FakeCapture {
    fn name(&self) -> &VmName {
        &self.name
    }

    fn captured_at(&self) -> Timestamp {
        self.captured_at
    }

    fn consistency(&self) -> Consistency {
        self.consistency
    }

    fn disks(&self) -> &[CapturedDisk] {
        &self.disks
    }

    fn files(&self) -> &[DescribingFile] {
        &self.files
    }

    fn findings(&self) -> &[Finding] {
        &[]
    }

    fn confirm(&mut self) -> Result<()> {
        let mut world = self.platform.lock();
        world.events.push("confirm".to_owned());
        if world.fault == Some(PlatformFault::Confirm) {
            let error = Error::new(ErrorKind::Io, "reading the view of", self.name.as_str());
            return Err(error.seen("it overflowed"));
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, outcome: CaptureOutcome) -> Result<Vec<Finding>> {
        self.end(outcome);
        if self.platform.lock().fault == Some(PlatformFault::Finish) {
            let error = Error::new(ErrorKind::Busy, "removing the view of", self.name.as_str());
            return Err(error.seen("somebody holds it"));
        }
        Ok(Vec::new())
    }
}

/// Bytes as a disk.
struct Memory(Vec<u8>);

impl DiskReader for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> lifeboat_disk::Result<()> {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let range = from..from.saturating_add(buffer.len());
        let bytes = self.0.get(range).ok_or_else(|| {
            lifeboat_disk::Error::new(ErrorKind::Invalid, "reading", Path::new("memory")).at(offset)
        })?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn next_extent(&self, offset: u64) -> lifeboat_disk::Result<MappedExtent> {
        let extent = Extent::new(offset, self.size()).ok_or_else(|| {
            lifeboat_disk::Error::new(ErrorKind::Invalid, "mapping", Path::new("memory")).at(offset)
        })?;
        Ok(MappedExtent {
            extent,
            state: ExtentState::Data,
        })
    }
}
