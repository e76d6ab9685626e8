//! Disks that QEMU shows over NBD, read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lifeboat_disk::{DiskReader, Error as DiskError, ExtentState, MappedExtent};
use lifeboat_model::{ErrorKind, Extent, ExtentSet};
use lifeboat_nbd::{Address, Client, ClientOptions, Mapped, RetryRule};
use lifeboat_platform::{Error, Result};

use crate::ahead::AheadDisk;

const ALLOCATION: &str = "base:allocation";
/// The flag of `base:allocation` that means zeros.
const READS_AS_ZEROS: u64 = 2;
/// The flag of a dirty bitmap that means a change.
const IS_CHANGED: u64 = 1;

/// Threads that read at the same time without waiting for each other.
const CONNECTIONS: usize = 4;
/// Limits of one look ahead: extents that are kept, bytes that they cover.
const AHEAD_COUNT: usize = 1024;
const AHEAD_BYTES: u64 = 16 << 30;
/// Limit: separate ranges in one set, 16 bytes each; beyond it the set becomes coarser.
const EXTENTS_MAX: usize = 4 << 20;
/// QEMU's bitmaps have at least this grain.
const GRAIN: u64 = 512;

/// A disk that was opened.
pub(crate) struct Opened {
    pub(crate) reader: Arc<dyn DiskReader>,
    /// What changed, if that was asked for and the server tells.
    pub(crate) changed: Option<ExtentSet>,
}

/// What must stay while a disk is read; goes after the last connection.
pub(crate) type Kept = Box<dyn Send + Sync>;

/// Opens the export of a disk; reads what changed too, if `bitmap` is the name of a bitmap.
///
/// `advice` says what to look at when reading fails.
pub(crate) fn open(
    socket: &Path,
    export: &str,
    bitmap: Option<&str>,
    advice: &'static str,
    kept: Kept,
) -> Result<Opened> {
    let failed = |error: lifeboat_nbd::Error| {
        Error::new(error.kind(), "opening the disk", export).because(error)
    };
    let bitmap = bitmap.map(|name| format!("qemu:dirty-bitmap:{name}"));
    let mut contexts = vec![ALLOCATION.to_owned()];
    contexts.extend(bitmap.clone());
    let options = ClientOptions {
        contexts,
        connections_max: CONNECTIONS,
        // The server ends with its job; a lost connection seldom comes back.
        retry: RetryRule {
            attempts_max: 3,
            pause_first: Duration::from_millis(50),
            pause_max: Duration::from_millis(200),
        },
        ..ClientOptions::default()
    };
    let client = Client::connect(&Address::unix(socket, export), options).map_err(failed)?;
    let bitmap = bitmap.filter(|it| client.facts().contexts.contains(it));
    let changed = bitmap.map(|it| changed(&client, &it)).transpose();
    let changed = changed.map_err(failed)?;
    let place = PathBuf::from(client.address().to_string());
    let disk = RemoteDisk {
        client,
        place,
        ahead: Mutex::new(Vec::new()),
        advice,
        _kept: kept,
    };
    Ok(Opened {
        reader: Arc::new(AheadDisk::begin(Arc::new(disk), changed.clone())),
        changed,
    })
}

fn changed(client: &Client, bitmap: &str) -> lifeboat_nbd::Result<ExtentSet> {
    let (mut set, size) = (ExtentSet::new(), client.size());
    let mut grain = GRAIN;
    let Some(whole) = Extent::new(0, size) else {
        return Ok(set);
    };
    for mapped in client.extents(&[bitmap], whole)? {
        let mapped = mapped?;
        if flag(&mapped) & IS_CHANGED != 0 {
            set.insert(mapped.extent);
        }
        while set.count() > EXTENTS_MAX {
            grain *= 2;
            set = set.aligned(grain, size);
        }
    }
    Ok(set)
}

fn flag(mapped: &Mapped) -> u64 {
    mapped.flags.first().copied().unwrap_or_default()
}

/// A disk behind NBD.
struct RemoteDisk {
    client: Client,
    place: PathBuf,
    /// What the server said last, in order.
    ahead: Mutex<Vec<MappedExtent>>,
    advice: &'static str,
    _kept: Kept,
}

impl RemoteDisk {
    fn failed(&self, doing: &'static str, offset: u64, cause: lifeboat_nbd::Error) -> DiskError {
        let error = DiskError::new(cause.kind(), doing, &self.place).at(offset);
        let error = match cause.kind() {
            ErrorKind::Unreachable | ErrorKind::NotFound => error.seen(self.advice),
            _ => error,
        };
        error.because(cause)
    }

    /// What the server says from `offset` on.
    fn look_ahead(&self, offset: u64) -> lifeboat_nbd::Result<Vec<MappedExtent>> {
        let end = offset.saturating_add(AHEAD_BYTES).min(self.client.size());
        let Some(range) = Extent::new(offset, end) else {
            return Ok(Vec::new());
        };
        let mappings = self.client.extents(&[ALLOCATION], range)?;
        let states = mappings.take(AHEAD_COUNT).map(|mapped| {
            let mapped = mapped?;
            let state = match flag(&mapped) & READS_AS_ZEROS {
                0 => ExtentState::Data,
                _ => ExtentState::Zero,
            };
            let extent = mapped.extent;
            Ok(MappedExtent { extent, state })
        });
        states.collect()
    }
}

/// The part of the known extents that begins at `offset`.
fn known(ahead: &[MappedExtent], offset: u64) -> Option<MappedExtent> {
    let index = ahead.partition_point(|it| it.extent.end() <= offset);
    let found = ahead.get(index)?;
    let rest = Extent::new(offset, found.extent.end())?;
    (found.extent.start() <= offset).then_some(MappedExtent {
        extent: rest,
        state: found.state,
    })
}

impl DiskReader for RemoteDisk {
    fn size(&self) -> u64 {
        self.client.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> lifeboat_disk::Result<()> {
        self.client
            .read_into(offset, buffer)
            .map_err(|cause| self.failed("reading", offset, cause))
    }

    fn next_extent(&self, offset: u64) -> lifeboat_disk::Result<MappedExtent> {
        if offset >= self.size() {
            return Err(DiskError::new(ErrorKind::Invalid, "mapping", &self.place).at(offset));
        }
        if self
            .client
            .facts()
            .contexts
            .iter()
            .all(|it| it != ALLOCATION)
        {
            let rest = Extent::new(offset, self.size());
            return rest
                .map(|extent| MappedExtent {
                    extent,
                    state: ExtentState::Data,
                })
                .ok_or_else(|| DiskError::new(ErrorKind::Invalid, "mapping", &self.place));
        }
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known(&ahead, offset) {
            return Ok(found);
        }
        let answer = self.look_ahead(offset);
        *ahead = answer.map_err(|cause| self.failed("mapping", offset, cause))?;
        known(&ahead, offset).ok_or_else(|| {
            DiskError::new(ErrorKind::Corrupt, "mapping", &self.place)
                .at(offset)
                .seen("the server tells nothing of it")
        })
    }
}

impl fmt::Debug for RemoteDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteDisk({})", self.place.display())
    }
}
