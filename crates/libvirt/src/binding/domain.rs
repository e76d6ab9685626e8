//! A domain: a machine, as libvirt calls it.

use std::ffi::{CStr, c_char};
use std::ptr;

use lifeboat_platform::Result;

use super::checkpoint::Checkpoint;
use super::connection::{done, present, taken_list};
use super::failure::{Called, Code, Failure};
use super::library::{self, Functions, Object, RawBlockInfo, RawBlockJob, RawParameter};
use super::text;

const XML_SECURE: u32 = 1;
const XML_INACTIVE: u32 = 2;
const XML_MIGRATABLE: u32 = 8;
const UNDEFINE_SAVED_STATE: u32 = 1;
const UNDEFINE_NVRAM: u32 = 4;
const UNDEFINE_KEEP_NVRAM: u32 = 8;
const UNDEFINE_CHECKPOINTS: u32 = 16;
const DESTROY_GRACEFUL: u32 = 1;
const COPY_INTO_EXISTING: u32 = 2;
const COPY_TRANSIENT: u32 = 4;
const ABORT_PIVOT: u32 = 2;
/// VIR_TYPED_PARAM_INT.
const PARAMETER_INT: i32 = 1;

/// virDomainState.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DomainState {
    Running,
    Paused { by_error: bool },
    ShuttingDown,
    Off,
    Crashed,
    Other,
}

/// What runs on a domain as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Backup,
    /// By its number in virDomainJobOperation.
    Other(i32),
}

/// Which definition is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Definition {
    /// As it is now, without secrets.
    Present,
    /// Complete, with secrets and without what only this host means.
    Portable,
    /// As it will be at the next start, with secrets.
    Stored,
}

/// What goes with a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Undefining {
    /// The file of its firmware's variables too.
    WithNvram,
    /// The file stays.
    KeepNvram,
}

/// How a copy of a disk begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CopyRule {
    /// libvirt makes the target.
    Create,
    /// The target is there.
    IntoExisting,
}

/// How a job on one disk ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobEnd {
    /// The machine goes over to the copy.
    Pivot,
    /// The copy is given up.
    Cancel,
}

/// How far a job on one disk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockJob {
    pub(crate) done: u64,
    pub(crate) end: u64,
}

/// A domain.
pub(crate) struct Domain {
    raw: Object,
    functions: &'static Functions,
}

// SAFETY: libvirt's objects are meant for use by several threads.
unsafe impl Send for Domain {}
// SAFETY: as above.
unsafe impl Sync for Domain {}

impl Domain {
    pub(super) fn new(functions: &'static Functions, raw: Object) -> Self {
        Self { raw, functions }
    }

    pub(crate) fn name(&self) -> String {
        // SAFETY: the object is held; the text belongs to it.
        text::borrowed(unsafe { (self.functions.domain_name)(self.raw) }).unwrap_or_default()
    }

    pub(crate) fn uuid(&self) -> Called<String> {
        // VIR_UUID_STRING_BUFLEN.
        let mut buffer: [c_char; 37] = [0; 37];
        // SAFETY: the object is held; the buffer has the length that libvirt asks for.
        done(unsafe { (self.functions.domain_uuid)(self.raw, buffer.as_mut_ptr()) })?;
        Ok(text::borrowed(buffer.as_ptr()).unwrap_or_default())
    }

    /// The number that a running domain has until it stops.
    pub(crate) fn number(&self) -> Option<u32> {
        // SAFETY: the object is held.
        let number = unsafe { (self.functions.domain_number)(self.raw) };
        (number != u32::MAX).then_some(number)
    }

    pub(crate) fn state(&self) -> Called<DomainState> {
        let (mut state, mut reason) = (0, 0);
        // SAFETY: the object is held; both numbers live through the call.
        let result =
            unsafe { (self.functions.domain_state)(self.raw, &raw mut state, &raw mut reason, 0) };
        done(result)?;
        Ok(match state {
            1 | 2 => DomainState::Running,
            3 | 7 => DomainState::Paused {
                by_error: state == 3 && reason == 5,
            },
            4 => DomainState::ShuttingDown,
            5 => DomainState::Off,
            6 => DomainState::Crashed,
            _ => DomainState::Other,
        })
    }

    pub(crate) fn xml(&self, which: Definition) -> Called<String> {
        let flags = match which {
            Definition::Present => 0,
            Definition::Portable => XML_SECURE | XML_MIGRATABLE,
            Definition::Stored => XML_SECURE | XML_INACTIVE,
        };
        // SAFETY: the object is held; the text is ours.
        let text = unsafe { (self.functions.domain_xml)(self.raw, flags) };
        text::owned(text).ok_or_else(Failure::last)
    }

    /// Bytes of a disk as the machine sees it.
    pub(crate) fn disk_size(&self, disk: &str) -> Called<u64> {
        let disk = text::outgoing(disk)?;
        let mut info = RawBlockInfo::default();
        // SAFETY: the object is held; text and structure live through the call.
        let result =
            unsafe { (self.functions.block_info)(self.raw, disk.as_ptr(), &raw mut info, 0) };
        done(result).map(|()| info.capacity)
    }

    /// What runs on the domain now.
    pub(crate) fn job(&self) -> Called<Option<Operation>> {
        let (mut kind, mut count) = (0, 0);
        let mut list: *mut RawParameter = ptr::null_mut();
        // SAFETY: the object is held; libvirt makes the list, which is freed below.
        let result = unsafe {
            (self.functions.job_statistics)(
                self.raw,
                &raw mut kind,
                &raw mut list,
                &raw mut count,
                0,
            )
        };
        done(result)?;
        let operation = operation(list, count);
        // SAFETY: what the call above gave.
        unsafe { (self.functions.free_parameters)(list, count) };
        // VIR_DOMAIN_JOB_BOUNDED, VIR_DOMAIN_JOB_UNBOUNDED.
        Ok(matches!(kind, 1 | 2).then_some(match operation {
            9 => Operation::Backup,
            other => Operation::Other(other),
        }))
    }

    pub(crate) fn abort_job(&self) -> Called<()> {
        // SAFETY: the object is held.
        done(unsafe { (self.functions.job_abort)(self.raw) })
    }

    pub(crate) fn begin_backup(&self, backup: &str, checkpoint: Option<&str>) -> Called<()> {
        let backup = text::outgoing(backup)?;
        let checkpoint = checkpoint.map(text::outgoing).transpose()?;
        let checkpoint = checkpoint
            .as_ref()
            .map_or(ptr::null(), |text| text.as_ptr());
        // SAFETY: the object is held; the texts live through the call; null is allowed.
        done(unsafe { (self.functions.backup_begin)(self.raw, backup.as_ptr(), checkpoint, 0) })
    }

    /// The description of the backup that runs now.
    pub(crate) fn backup(&self) -> Called<Option<String>> {
        // SAFETY: the object is held; the text is ours.
        let text = unsafe { (self.functions.backup_xml)(self.raw, 0) };
        match text::owned(text).ok_or_else(Failure::last) {
            Ok(xml) => Ok(Some(xml)),
            Err(failure) if failure.code == Code::NO_BACKUP => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// Freezes all file systems and says how many there were.
    pub(crate) fn freeze(&self) -> Called<u32> {
        // SAFETY: the object is held; no list stands for all file systems.
        let count = unsafe { (self.functions.freeze)(self.raw, ptr::null(), 0, 0) };
        done(count).map(|()| count.unsigned_abs())
    }

    /// Thaws all file systems and says how many there were.
    pub(crate) fn thaw(&self) -> Called<u32> {
        // SAFETY: as above.
        let count = unsafe { (self.functions.thaw)(self.raw, ptr::null(), 0, 0) };
        done(count).map(|()| count.unsigned_abs())
    }

    pub(crate) fn checkpoints(&self) -> Called<Vec<Checkpoint>> {
        let mut list: *mut Object = ptr::null_mut();
        // SAFETY: the object is held; libvirt makes the list.
        let count = unsafe { (self.functions.list_checkpoints)(self.raw, &raw mut list, 0) };
        let objects = taken_list(list, count)?;
        let owned = objects.into_iter();
        Ok(owned
            .map(|raw| Checkpoint::new(self.functions, raw))
            .collect())
    }

    pub(crate) fn checkpoint(&self, name: &str) -> Called<Option<Checkpoint>> {
        let name = text::outgoing(name)?;
        // SAFETY: the object is held; the text lives through the call.
        let raw = unsafe { (self.functions.checkpoint_by_name)(self.raw, name.as_ptr(), 0) };
        match present(raw) {
            Ok(raw) => Ok(Some(Checkpoint::new(self.functions, raw))),
            Err(failure) if failure.code == Code::NO_CHECKPOINT => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) fn snapshot_count(&self) -> Called<u32> {
        // SAFETY: the object is held.
        let count = unsafe { (self.functions.snapshot_count)(self.raw, 0) };
        done(count).map(|()| count.unsigned_abs())
    }

    pub(crate) fn start(&self) -> Called<()> {
        // SAFETY: the object is held.
        done(unsafe { (self.functions.domain_create)(self.raw) })
    }

    /// Asks the machine to shut down; it may take its time, or not do it.
    pub(crate) fn shut_down(&self) -> Called<()> {
        // SAFETY: the object is held.
        done(unsafe { (self.functions.domain_shutdown)(self.raw) })
    }

    /// Lets a paused one go on.
    pub(crate) fn resume(&self) -> Called<()> {
        // SAFETY: the object is held.
        done(unsafe { (self.functions.domain_resume)(self.raw) })
    }

    /// Switches it off; its emulator may bring its images in order.
    pub(crate) fn switch_off(&self) -> Called<()> {
        // SAFETY: the object is held.
        done(unsafe { (self.functions.domain_destroy)(self.raw, DESTROY_GRACEFUL) })
    }

    pub(crate) fn undefine(&self, what: Undefining) -> Called<()> {
        let nvram = match what {
            Undefining::WithNvram => UNDEFINE_NVRAM,
            Undefining::KeepNvram => UNDEFINE_KEEP_NVRAM,
        };
        let flags = nvram | UNDEFINE_SAVED_STATE | UNDEFINE_CHECKPOINTS;
        // SAFETY: the object is held.
        done(unsafe { (self.functions.domain_undefine)(self.raw, flags) })
    }

    pub(crate) fn rename(&self, name: &str) -> Called<()> {
        let name = text::outgoing(name)?;
        // SAFETY: the object is held; the text lives through the call.
        done(unsafe { (self.functions.domain_rename)(self.raw, name.as_ptr(), 0) })
    }

    pub(crate) fn begin_copy(&self, disk: &str, target: &str, rule: CopyRule) -> Called<()> {
        let (disk, target) = (text::outgoing(disk)?, text::outgoing(target)?);
        let flags = match rule {
            CopyRule::Create => COPY_TRANSIENT,
            CopyRule::IntoExisting => COPY_TRANSIENT | COPY_INTO_EXISTING,
        };
        // SAFETY: the object is held; the texts live through the call; no parameters.
        done(unsafe {
            (self.functions.block_copy)(
                self.raw,
                disk.as_ptr(),
                target.as_ptr(),
                ptr::null_mut(),
                0,
                flags,
            )
        })
    }

    /// The job on one disk, if there is one.
    pub(crate) fn block_job(&self, disk: &str) -> Called<Option<BlockJob>> {
        let disk = text::outgoing(disk)?;
        let mut job = RawBlockJob::default();
        // SAFETY: the object is held; text and structure live through the call.
        let result =
            unsafe { (self.functions.block_job)(self.raw, disk.as_ptr(), &raw mut job, 0) };
        done(result)?;
        Ok((result > 0).then_some(BlockJob {
            done: job.current,
            end: job.end,
        }))
    }

    pub(crate) fn end_block_job(&self, disk: &str, how: JobEnd) -> Called<()> {
        let disk = text::outgoing(disk)?;
        let flags = match how {
            JobEnd::Pivot => ABORT_PIVOT,
            JobEnd::Cancel => 0,
        };
        // SAFETY: the object is held; the text lives through the call.
        done(unsafe { (self.functions.block_job_abort)(self.raw, disk.as_ptr(), flags) })
    }

    /// Sends one line of JSON to the guest's agent and gives its answer.
    pub(crate) fn ask_agent(&self, command: &str, seconds_max: i32) -> Result<Called<String>> {
        let functions = library::qemu_functions()?;
        let command = match text::outgoing(command) {
            Ok(command) => command,
            Err(failure) => return Ok(Err(failure)),
        };
        // SAFETY: the object is held; the text lives through the call; the answer is ours.
        let text = unsafe { (functions.agent)(self.raw, command.as_ptr(), seconds_max, 0) };
        Ok(text::owned(text).ok_or_else(Failure::last))
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        // SAFETY: our reference, given back once.
        unsafe { (self.functions.domain_free)(self.raw) };
    }
}

/// The job's kind among its statistics; 0, for unknown, if it is not there.
fn operation(list: *const RawParameter, count: i32) -> i32 {
    if list.is_null() || count <= 0 {
        return 0;
    }
    // SAFETY: libvirt's list has that many entries.
    let list = unsafe { std::slice::from_raw_parts(list, count.unsigned_abs() as usize) };
    let named = list.iter().find(|parameter| {
        // SAFETY: libvirt ends the field's name with NUL within its 80 bytes.
        let name = unsafe { CStr::from_ptr(parameter.field.as_ptr()) };
        name == c"operation" && parameter.kind == PARAMETER_INT
    });
    // The number of 32 bits lies first in the union, on machines of either order.
    named.map_or(0, |parameter| {
        let bytes = parameter.value.to_ne_bytes();
        i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    })
}
