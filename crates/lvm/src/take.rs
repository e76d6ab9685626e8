//! Taking the snapshots of a machine, and what its capture is made of.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lifeboat_disk::{DiskReader, ImageFormat};
use lifeboat_model::{ByteCount, ErrorKind};
use lifeboat_platform::{
    Capture, CaptureRequest, CapturedChange, CapturedDisk, Consistency, Error, Finding,
    KeptSnapshots, Origin, Quiesce, Result, Stillness, VmDisk, VmState,
};

use crate::adapter::Lvm;
use crate::capture::{LvmCapture, Made, Snapshots};
use crate::change::{self, Kept};
use crate::machine::{Machine, Sort};
use crate::reader::SnapshotReader;
use crate::report::{Volume, VolumeKind};
use crate::system::LockGuard;
use crate::tools::NewVolume;
use crate::{FullName, room, tags};

/// A wanted disk and where it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) disk: &'a VmDisk,
    /// Nothing for a device or file that is read as it is.
    pub(crate) volume: Option<&'a Volume>,
}

impl Place<'_> {
    fn format(&self) -> ImageFormat {
        self.disk.format.unwrap_or(ImageFormat::Raw)
    }
}

/// The lock that a capture of a volume holds against sweeps and other captures for the origin.
pub(crate) fn lock_name(origin: &Origin, uuid: &str) -> String {
    format!("lifeboat-{origin}-{uuid}.lock")
}

/// Takes the snapshots and opens them.
pub(crate) fn capture(
    adapter: &Lvm,
    machine: &Machine,
    request: &CaptureRequest,
    (places, all): (&[Place<'_>], &[Volume]),
) -> Result<Box<dyn Capture>> {
    let locks = locks(adapter, request, places)?;
    let taking = Taking {
        adapter,
        machine,
        request,
        places,
    };
    let mut instant = taking.freeze(all)?;
    let now = match instant.snapshots.made.is_empty() {
        true => Vec::new(),
        false => adapter.tools.volumes()?,
    };
    // Order: declared after the snapshots, so that a failure closes the readers first.
    let mut disks = Vec::new();
    for (index, place) in places.iter().enumerate() {
        disks.push(match place.volume {
            Some(volume) => {
                let made = instant.snapshots.of(index)?;
                taking.snapshot_disk((place, volume), &now, made)?
            }
            None => taking.plain_disk(place)?,
        });
    }
    Ok(Box::new(LvmCapture {
        disks,
        snapshots: instant.snapshots,
        name: machine.vm.name.clone(),
        at: instant.at,
        consistency: instant.stillness.consistency,
        files: machine.files.clone(),
        findings: instant.stillness.findings,
        _locks: locks,
    }))
}

fn locks(adapter: &Lvm, request: &CaptureRequest, places: &[Place<'_>]) -> Result<Vec<LockGuard>> {
    let mut locks = Vec::new();
    for volume in places.iter().filter_map(|it| it.volume) {
        let name = lock_name(&request.origin, &volume.uuid);
        let lock = adapter.doors.system.lock(&name, Duration::ZERO)?;
        let busy = || {
            Error::new(ErrorKind::Busy, "capturing", volume.name.to_string())
                .seen("another capture of this volume runs for the same repository")
        };
        locks.push(lock.ok_or_else(busy)?);
    }
    Ok(locks)
}

struct Taking<'a> {
    adapter: &'a Lvm,
    machine: &'a Machine,
    request: &'a CaptureRequest,
    places: &'a [Place<'a>],
}

/// The snapshots and what the machine was like.
struct Instant {
    snapshots: Snapshots,
    at: Timestamp,
    /// From the first snapshot to the last.
    span: Duration,
    stillness: Stillness,
}

impl Taking<'_> {
    /// Makes all snapshots, as fast after each other as LVM does, while the machine is still.
    fn freeze(&self, all: &[Volume]) -> Result<Instant> {
        let volumes: Vec<&Volume> = self.places.iter().filter_map(|it| it.volume).collect();
        let (tools, clock) = (&self.adapter.tools, &self.adapter.doors.clock);
        let bytes_min = self.request.scratch_bytes_min;
        let stores = room::stores(tools, &self.adapter.rules, (&volumes, all), bytes_min)?;
        let start = tags::name_start(self.adapter.doors.entropy.as_ref());
        let mut snapshots = Snapshots::new(tools.clone());
        let (mut at, mut span) = (clock.now(), Duration::ZERO);
        let mut instant = || {
            at = clock.now();
            let began = clock.monotonic();
            let indexes = self.places.iter().enumerate();
            let with_volumes = indexes.filter_map(|(index, it)| Some((index, it, it.volume?)));
            for ((index, place, volume), store) in with_volumes.zip(&stores) {
                let name = FullName::for_new(&volume.name.group, &format!("{start}-{index}"))
                    .map_err(|e| not_nameable(volume, e))?;
                let made = self.made(index, place, volume, name);
                let kind = match store {
                    Some(store) => NewVolume::ClassicSnapshot {
                        origin: &volume.name,
                        store: *store,
                    },
                    None => NewVolume::ThinSnapshot {
                        origin: &volume.name,
                    },
                };
                let checkpoint = self.request.checkpoint.as_ref().filter(|_| made.keeps);
                let tags = tags::of_new(&self.request.origin, volume, checkpoint);
                tools.create(&made.name, kind, &tags)?;
                snapshots.made.push(made);
            }
            span = clock.monotonic().saturating_sub(began);
            Ok(())
        };
        let stillness = self.still(&mut instant)?;
        let mut instant = Instant {
            snapshots,
            at,
            span,
            stillness,
        };
        self.tell(&mut instant);
        // The machine goes on already.
        for made in instant.snapshots.made.iter().filter(|it| it.is_thin) {
            tools.activate(&made.name)?;
        }
        Ok(instant)
    }

    fn made(&self, index: usize, place: &Place<'_>, volume: &Volume, name: FullName) -> Made {
        let is_thin = volume.kind == VolumeKind::Thin;
        let stays = stays(self.adapter.rules.kept, volume.kind);
        let is_raw = place.format() == ImageFormat::Raw;
        Made {
            name,
            place: index,
            is_thin,
            keeps: stays && is_raw && self.request.checkpoint.is_some(),
            pool: volume.beside(volume.pool.as_deref().unwrap_or_default()),
            replaced: None,
        }
    }

    fn still(&self, instant: &mut dyn FnMut() -> Result<()>) -> Result<Stillness> {
        if let Some(quiescer) = &self.adapter.quiescer {
            return quiescer.around(self.request, instant);
        }
        let state = self.machine.vm.state;
        let mut findings = Vec::new();
        let is_guest = self.adapter.sort == Sort::LvmLibvirt;
        if state != VmState::Off && self.request.quiesce != Quiesce::Never {
            let seen = "nobody is configured who freezes it";
            if self.request.quiesce == Quiesce::Required {
                let object = self.machine.vm.name.as_str();
                return Err(Error::new(ErrorKind::Unsupported, "freezing", object).seen(seen));
            }
            if is_guest {
                let text = format!("{} was not frozen: {seen}", self.machine.vm.name);
                findings.push(Finding::warning(text));
            }
        }
        instant()?;
        Ok(Stillness {
            consistency: match state {
                VmState::Off => Consistency::Offline,
                _ => Consistency::Crash,
            },
            is_still: matches!(state, VmState::Off | VmState::Paused),
            findings,
        })
    }

    /// Adds what the capture is less than it could be.
    fn tell(&self, instant: &mut Instant) {
        let count = instant.snapshots.made.len();
        let findings = &mut instant.stillness.findings;
        if count > 1 && !instant.stillness.is_still {
            findings.push(Finding::warning(format!(
                "the {count} volumes were taken one after another within {} ms while the machine \
                 ran: LVM has no snapshot of several volumes at one instant; freeze or pause the \
                 machine, or keep what belongs together on one volume",
                instant.span.as_millis()
            )));
        }
        for place in self.places.iter().filter(|it| it.volume.is_none()) {
            if self.machine.vm.state != VmState::Off {
                findings.push(Finding::warning(format!(
                    "{} was read without a snapshot: what is written meanwhile may be there in \
                     part",
                    place.disk.place
                )));
            }
        }
    }

    fn plain_disk(&self, place: &Place<'_>) -> Result<CapturedDisk> {
        let path = Path::new(&place.disk.place);
        let reader = self.adapter.doors.system.open(path, place.format())?;
        let reason = "it is read without a snapshot, which tells no changes".to_owned();
        Ok(CapturedDisk {
            name: place.disk.name.clone(),
            format: place.format(),
            reader,
            change: CapturedChange::Everything { reason },
            checkpoint: None,
        })
    }

    fn snapshot_disk(
        &self,
        (place, volume): (&Place<'_>, &Volume),
        now: &[Volume],
        made: &mut Made,
    ) -> Result<CapturedDisk> {
        let snapshot = found(now, volume, made)?;
        let reader = self.open(place, volume, snapshot)?;
        let kept = Kept {
            adapter: self.adapter,
            origin: &self.request.origin,
            volume,
            snapshot,
            all: now,
        };
        let since = self.request.since.get(&place.disk.name);
        let change = match (place.format(), since) {
            (ImageFormat::Qcow2, _) => change::everything("the volume holds a qcow2 image"),
            (ImageFormat::Raw, None) => {
                change::everything("there is no earlier backup to build on")
            }
            (ImageFormat::Raw, Some(since)) => {
                if made.keeps {
                    made.replaced = kept.find(&since.checkpoint).map(|it| it.name.clone());
                }
                kept.changes(since)
            }
        };
        Ok(CapturedDisk {
            name: place.disk.name.clone(),
            format: place.format(),
            reader,
            change,
            checkpoint: self.request.checkpoint.clone().filter(|_| made.keeps),
        })
    }

    fn open(
        &self,
        place: &Place<'_>,
        volume: &Volume,
        snapshot: &Volume,
    ) -> Result<Arc<dyn DiskReader>> {
        let inner = self
            .adapter
            .doors
            .system
            .open(&snapshot.path, place.format())?;
        if place.format() == ImageFormat::Raw && inner.size() != volume.size {
            let seen = format!("it has {} bytes, the volume {}", inner.size(), volume.size);
            let object = snapshot.name.to_string();
            return Err(Error::new(ErrorKind::Corrupt, "opening the snapshot", object).seen(seen));
        }
        Ok(Arc::new(SnapshotReader {
            inner,
            tools: self.adapter.tools.clone(),
            name: snapshot.name.clone(),
            path: snapshot.path.clone(),
        }))
    }
}

/// Whether the snapshot of such a volume stays when the run was committed.
fn stays(kept: KeptSnapshots, kind: VolumeKind) -> bool {
    match kept {
        KeptSnapshots::Never => false,
        KeptSnapshots::Thin => kind == VolumeKind::Thin,
        KeptSnapshots::All => true,
    }
}

/// How each place would be captured.
///
/// Errors: `Full`, as of a capture.
pub(crate) fn preview(
    adapter: &Lvm,
    (places, all): (&[Place<'_>], &[Volume]),
) -> Result<Vec<String>> {
    let volumes: Vec<&Volume> = places.iter().filter_map(|it| it.volume).collect();
    let stores = room::stores(&adapter.tools, &adapter.rules, (&volumes, all), None)?;
    let mut stores = stores.into_iter();
    let line = |place: &Place<'_>| {
        let name = &place.disk.name;
        let Some(volume) = place.volume else {
            return format!("{name}: {} is read as it is", place.disk.place);
        };
        let fate = match stays(adapter.rules.kept, volume.kind) {
            true if place.format() == ImageFormat::Raw => "stays for the next run",
            _ => "goes at the end",
        };
        let origin = &volume.name;
        match stores.next().flatten() {
            None => format!("{name}: thin snapshot of {origin}, {fate}"),
            Some(store) => {
                let store = ByteCount(store);
                format!("{name}: snapshot of {origin} with a store of {store}, {fate}")
            }
        }
    };
    Ok(places.iter().map(line).collect())
}

fn not_nameable(volume: &Volume, error: lifeboat_model::ParseError) -> Error {
    let object = format!("the snapshot of {}", volume.name);
    Error::new(ErrorKind::Invalid, "naming", object).because(error)
}

/// The snapshot as LVM reports it now, of the volume that was meant.
fn found<'a>(now: &'a [Volume], volume: &Volume, made: &Made) -> Result<&'a Volume> {
    let failed = |kind, seen| {
        Err(Error::new(kind, "looking for the snapshot", made.name.to_string()).seen(seen))
    };
    let Some(snapshot) = now.iter().find(|it| it.name == made.name) else {
        return failed(ErrorKind::NotFound, "somebody removed it");
    };
    let origin = now.iter().find(|it| it.name == volume.name);
    let is_same = origin.is_some_and(|it| it.uuid == volume.uuid && it.size == volume.size);
    if !is_same || snapshot.origin.as_deref() != Some(volume.name.volume.as_str()) {
        return failed(
            ErrorKind::Busy,
            "its volume was exchanged or resized meanwhile",
        );
    }
    Ok(snapshot)
}
