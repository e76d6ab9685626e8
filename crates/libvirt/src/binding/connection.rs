//! A connection to a libvirt daemon.

use std::ptr;
use std::sync::Arc;

use lifeboat_platform::Result;

use super::domain::Domain;
use super::failure::{Called, Code, Failure};
use super::library::{self, Functions, Object};
use super::pool::Pool;
use super::text;

/// Seconds between two signs of life, and how many may be missing.
const ALIVE_SECONDS: i32 = 5;
const ALIVE_MISSING_MAX: u32 = 6;

/// An open connection; closed when the last handle goes.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Opened>);

struct Opened {
    raw: Object,
    functions: &'static Functions,
}

// SAFETY: libvirt's connections are meant for use by several threads; closing is done once.
unsafe impl Send for Opened {}
// SAFETY: as above.
unsafe impl Sync for Opened {}

impl Connection {
    /// Errors: `Unsupported` without the library, `Unreachable`, `Denied`.
    pub(crate) fn open(uri: &str) -> Result<Self> {
        let functions = library::functions()?;
        let failed = |failure: Failure| failure.of_connection("connecting to", uri);
        let text = text::outgoing(uri).map_err(failed)?;
        // SAFETY: a C string that lives through the call.
        let raw = unsafe { (functions.open)(text.as_ptr()) };
        if raw.is_null() {
            return Err(failed(Failure::last()));
        }
        // SAFETY: the connection is open. Drivers without a daemon refuse, which does no harm.
        unsafe { (functions.keep_alive)(raw, ALIVE_SECONDS, ALIVE_MISSING_MAX) };
        Ok(Self(Arc::new(Opened { raw, functions })))
    }

    pub(crate) fn is_alive(&self) -> bool {
        // SAFETY: the connection is open.
        unsafe { (self.functions().is_alive)(self.raw()) == 1 }
    }

    pub(crate) fn domains(&self) -> Called<Vec<Domain>> {
        let mut list: *mut Object = ptr::null_mut();
        // SAFETY: the connection is open; libvirt makes the list.
        let count = unsafe { (self.functions().list_domains)(self.raw(), &raw mut list, 0) };
        let objects = taken_list(list, count)?;
        Ok(objects.into_iter().map(|raw| self.domain(raw)).collect())
    }

    pub(crate) fn domain_by_uuid(&self, uuid: &str) -> Called<Domain> {
        let uuid = text::outgoing(uuid)?;
        // SAFETY: the connection is open, the text lives through the call.
        let raw = unsafe { (self.functions().domain_by_uuid)(self.raw(), uuid.as_ptr()) };
        present(raw).map(|raw| self.domain(raw))
    }

    pub(crate) fn domain_by_name(&self, name: &str) -> Called<Option<Domain>> {
        let name = text::outgoing(name)?;
        // SAFETY: as above.
        let raw = unsafe { (self.functions().domain_by_name)(self.raw(), name.as_ptr()) };
        match present(raw) {
            Ok(raw) => Ok(Some(self.domain(raw))),
            Err(failure) if failure.code == Code::NO_DOMAIN => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    pub(crate) fn define(&self, xml: &str) -> Called<Domain> {
        let xml = text::outgoing(xml)?;
        // SAFETY: as above.
        let raw = unsafe { (self.functions().domain_define)(self.raw(), xml.as_ptr(), 0) };
        present(raw).map(|raw| self.domain(raw))
    }

    /// Errors: `NotFound` if there is no network of that name.
    pub(crate) fn require_network(&self, name: &str) -> Called<()> {
        let name = text::outgoing(name)?;
        // SAFETY: as above; the network that was found is freed at once.
        unsafe {
            let raw = (self.functions().network_by_name)(self.raw(), name.as_ptr());
            present(raw).map(|raw| {
                (self.functions().network_free)(raw);
            })
        }
    }

    pub(crate) fn pool(&self, name: &str) -> Called<Pool> {
        let name = text::outgoing(name)?;
        // SAFETY: as above.
        let raw = unsafe { (self.functions().pool_by_name)(self.raw(), name.as_ptr()) };
        present(raw).map(|raw| Pool::new(self.functions(), raw))
    }

    fn domain(&self, raw: Object) -> Domain {
        Domain::new(self.functions(), raw)
    }

    fn raw(&self) -> Object {
        self.0.raw
    }

    fn functions(&self) -> &'static Functions {
        self.0.functions
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        // SAFETY: the last handle; domains keep references of their own.
        unsafe { (self.functions.close)(self.raw) };
    }
}

/// The object, or the error of the call that gave none.
pub(super) fn present(raw: Object) -> Called<Object> {
    if raw.is_null() {
        Err(Failure::last())
    } else {
        Ok(raw)
    }
}

/// Success, or the error of the call.
pub(super) fn done(result: i32) -> Called<()> {
    if result < 0 {
        Err(Failure::last())
    } else {
        Ok(())
    }
}

/// Takes over a list that libvirt made; the objects in it are the caller's.
pub(super) fn taken_list(list: *mut Object, count: i32) -> Called<Vec<Object>> {
    done(count)?;
    if list.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: on success the list has that many entries.
    let objects = unsafe { std::slice::from_raw_parts(list, count.unsigned_abs() as usize) };
    let objects = objects.to_vec();
    text::release(list.cast());
    Ok(objects)
}
