//! Loading the library and finding its functions.

use std::ffi::{c_char, c_int, c_uint, c_ulong, c_void};
use std::ptr;
use std::sync::OnceLock;
use std::thread;

use libloading::Library;
use lifeboat_model::ErrorKind;
use lifeboat_platform::{Error, Result};

use super::failure::RawError;

/// Any of libvirt's objects: a connection, a domain, a checkpoint, a pool, a volume, a network.
pub(super) type Object = *mut c_void;
pub(super) type Text = *const c_char;
/// A text that the caller frees.
pub(super) type OwnedText = *mut c_char;

/// What virDomainGetBlockInfo fills, in bytes.
#[repr(C)]
#[derive(Default)]
pub(super) struct RawBlockInfo {
    pub(super) capacity: u64,
    pub(super) allocation: u64,
    pub(super) physical: u64,
}

/// What virDomainGetBlockJobInfo fills.
#[repr(C)]
#[derive(Default)]
pub(super) struct RawBlockJob {
    pub(super) kind: c_int,
    pub(super) bandwidth: c_ulong,
    pub(super) current: u64,
    pub(super) end: u64,
}

/// virTypedParameter: a field's name, its type and a union as large as a number of 64 bits.
#[repr(C)]
pub(super) struct RawParameter {
    pub(super) field: [c_char; 80],
    pub(super) kind: c_int,
    pub(super) value: u64,
}

type ErrorFunction = unsafe extern "C" fn(*mut c_void, *mut RawError);
type TimeoutFunction = unsafe extern "C" fn(c_int, *mut c_void);
type FreeFunction = unsafe extern "C" fn(*mut c_void);

/// Declares functions of a library and how each is found by its name.
macro_rules! functions {
    ($table:ident: $($field:ident = $symbol:literal ($($argument:ty),*) -> $result:ty;)*) => {
        pub(super) struct $table {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) -> $result,)*
            /// Kept: the functions live in it.
            _library: Library,
        }

        impl $table {
            fn find(library: Library) -> std::result::Result<Self, libloading::Error> {
                Ok(Self {
                    // SAFETY: the types are those of libvirt's headers, and libvirt keeps its
                    // functions' types for ever; the library is never unloaded.
                    $($field: unsafe { *library.get(concat!($symbol, "\0").as_bytes())? },)*
                    _library: library,
                })
            }
        }
    };
}

functions! { Functions:
    initialize = "virInitialize" () -> c_int;
    last_error = "virGetLastError" () -> *mut RawError;
    set_error_function = "virSetErrorFunc" (*mut c_void, Option<ErrorFunction>) -> ();
    register_events = "virEventRegisterDefaultImpl" () -> c_int;
    run_events = "virEventRunDefaultImpl" () -> c_int;
    add_timeout = "virEventAddTimeout"
        (c_int, TimeoutFunction, *mut c_void, Option<FreeFunction>) -> c_int;
    open = "virConnectOpen" (Text) -> Object;
    close = "virConnectClose" (Object) -> c_int;
    keep_alive = "virConnectSetKeepAlive" (Object, c_int, c_uint) -> c_int;
    is_alive = "virConnectIsAlive" (Object) -> c_int;
    list_domains = "virConnectListAllDomains" (Object, *mut *mut Object, c_uint) -> c_int;
    domain_by_uuid = "virDomainLookupByUUIDString" (Object, Text) -> Object;
    domain_by_name = "virDomainLookupByName" (Object, Text) -> Object;
    domain_name = "virDomainGetName" (Object) -> Text;
    domain_uuid = "virDomainGetUUIDString" (Object, *mut c_char) -> c_int;
    domain_number = "virDomainGetID" (Object) -> c_uint;
    domain_state = "virDomainGetState" (Object, *mut c_int, *mut c_int, c_uint) -> c_int;
    domain_xml = "virDomainGetXMLDesc" (Object, c_uint) -> OwnedText;
    domain_free = "virDomainFree" (Object) -> c_int;
    domain_define = "virDomainDefineXMLFlags" (Object, Text, c_uint) -> Object;
    domain_undefine = "virDomainUndefineFlags" (Object, c_uint) -> c_int;
    domain_create = "virDomainCreate" (Object) -> c_int;
    domain_resume = "virDomainResume" (Object) -> c_int;
    domain_shutdown = "virDomainShutdown" (Object) -> c_int;
    domain_destroy = "virDomainDestroyFlags" (Object, c_uint) -> c_int;
    snapshot_count = "virDomainSnapshotNum" (Object, c_uint) -> c_int;
    domain_rename = "virDomainRename" (Object, Text, c_uint) -> c_int;
    block_info = "virDomainGetBlockInfo" (Object, Text, *mut RawBlockInfo, c_uint) -> c_int;
    block_copy = "virDomainBlockCopy"
        (Object, Text, Text, *mut RawParameter, c_int, c_uint) -> c_int;
    block_job = "virDomainGetBlockJobInfo" (Object, Text, *mut RawBlockJob, c_uint) -> c_int;
    block_job_abort = "virDomainBlockJobAbort" (Object, Text, c_uint) -> c_int;
    job_statistics = "virDomainGetJobStats"
        (Object, *mut c_int, *mut *mut RawParameter, *mut c_int, c_uint) -> c_int;
    free_parameters = "virTypedParamsFree" (*mut RawParameter, c_int) -> ();
    job_abort = "virDomainAbortJob" (Object) -> c_int;
    backup_begin = "virDomainBackupBegin" (Object, Text, Text, c_uint) -> c_int;
    backup_xml = "virDomainBackupGetXMLDesc" (Object, c_uint) -> OwnedText;
    freeze = "virDomainFSFreeze" (Object, *const Text, c_uint, c_uint) -> c_int;
    thaw = "virDomainFSThaw" (Object, *const Text, c_uint, c_uint) -> c_int;
    list_checkpoints = "virDomainListAllCheckpoints" (Object, *mut *mut Object, c_uint) -> c_int;
    checkpoint_by_name = "virDomainCheckpointLookupByName" (Object, Text, c_uint) -> Object;
    checkpoint_name = "virDomainCheckpointGetName" (Object) -> Text;
    checkpoint_xml = "virDomainCheckpointGetXMLDesc" (Object, c_uint) -> OwnedText;
    checkpoint_delete = "virDomainCheckpointDelete" (Object, c_uint) -> c_int;
    checkpoint_free = "virDomainCheckpointFree" (Object) -> c_int;
    network_by_name = "virNetworkLookupByName" (Object, Text) -> Object;
    network_free = "virNetworkFree" (Object) -> c_int;
    pool_by_name = "virStoragePoolLookupByName" (Object, Text) -> Object;
    pool_xml = "virStoragePoolGetXMLDesc" (Object, c_uint) -> OwnedText;
    pool_refresh = "virStoragePoolRefresh" (Object, c_uint) -> c_int;
    pool_free = "virStoragePoolFree" (Object) -> c_int;
    volume_by_name = "virStorageVolLookupByName" (Object, Text) -> Object;
    volume_create = "virStorageVolCreateXML" (Object, Text, c_uint) -> Object;
    volume_delete = "virStorageVolDelete" (Object, c_uint) -> c_int;
    volume_path = "virStorageVolGetPath" (Object) -> OwnedText;
    volume_free = "virStorageVolFree" (Object) -> c_int;
}

functions! { QemuFunctions:
    agent = "virDomainQemuAgentCommand" (Object, Text, c_int, c_uint) -> OwnedText;
}

/// libvirt's functions; loads them at the first call.
///
/// Errors: `Unsupported` if the library is missing or too old.
pub(super) fn functions() -> Result<&'static Functions> {
    static LOADED: OnceLock<std::result::Result<Functions, String>> = OnceLock::new();
    let loaded = LOADED.get_or_init(|| load("libvirt.so.0", Functions::find).and_then(prepare));
    loaded
        .as_ref()
        .map_err(|seen| missing("libvirt.so.0", seen))
}

/// The functions for QEMU alone.
///
/// Errors: as for [`functions`].
pub(super) fn qemu_functions() -> Result<&'static QemuFunctions> {
    static LOADED: OnceLock<std::result::Result<QemuFunctions, String>> = OnceLock::new();
    functions()?;
    let loaded = LOADED.get_or_init(|| load("libvirt-qemu.so.0", QemuFunctions::find));
    loaded
        .as_ref()
        .map_err(|seen| missing("libvirt-qemu.so.0", seen))
}

fn load<T>(
    name: &str,
    find: impl FnOnce(Library) -> std::result::Result<T, libloading::Error>,
) -> std::result::Result<T, String> {
    // SAFETY: libvirt's initialisers have no precondition; the name is the one of its ABI.
    let library = unsafe { Library::new(name) };
    library
        .and_then(find)
        .map_err(|cause| cause.to_string().chars().take(200).collect())
}

fn missing(name: &str, seen: &str) -> Error {
    Error::new(ErrorKind::Unsupported, "loading", name).seen(format!(
        "{seen}; install libvirt 7.2 or newer (Debian, Ubuntu: package libvirt0)"
    ))
}

/// Makes the library quiet, and runs its event loop in a thread of its own: keepalive needs it.
fn prepare(functions: Functions) -> std::result::Result<Functions, String> {
    // SAFETY: called once, before any other call of the library (by the lock around it).
    let began = unsafe {
        (functions.set_error_function)(ptr::null_mut(), Some(stay_quiet));
        (functions.initialize)() >= 0 && (functions.register_events)() >= 0
    };
    if !began {
        return Err("its initialisation failed".into());
    }
    let run = functions.run_events;
    // SAFETY: a timeout whose function does nothing; it lets the loop turn.
    unsafe { (functions.add_timeout)(1000, do_nothing, ptr::null_mut(), None) };
    let turn = move || {
        loop {
            // SAFETY: the loop was registered above and runs in this thread only.
            if unsafe { run() } < 0 {
                thread::sleep(std::time::Duration::from_secs(1));
            }
        }
    };
    let name = thread::Builder::new().name("libvirt events".into());
    name.spawn(turn)
        .map(|_| functions)
        .map_err(|cause| cause.to_string())
}

unsafe extern "C" fn stay_quiet(_: *mut c_void, _: *mut RawError) {}

unsafe extern "C" fn do_nothing(_: c_int, _: *mut c_void) {}
