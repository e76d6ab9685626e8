//! A storage pool and its volumes.

use std::path::PathBuf;

use super::connection::{done, present};
use super::failure::{Called, Failure};
use super::library::{Functions, Object};
use super::text;

/// A storage pool.
pub(crate) struct Pool {
    raw: Object,
    functions: &'static Functions,
}

// SAFETY: libvirt's objects are meant for use by several threads.
unsafe impl Send for Pool {}

impl Pool {
    pub(super) fn new(functions: &'static Functions, raw: Object) -> Self {
        Self { raw, functions }
    }

    pub(crate) fn xml(&self) -> Called<String> {
        // SAFETY: the object is held; the text is ours.
        let text = unsafe { (self.functions.pool_xml)(self.raw, 0) };
        text::owned(text).ok_or_else(Failure::last)
    }

    /// Lets libvirt see files that came or went.
    pub(crate) fn refresh(&self) -> Called<()> {
        // SAFETY: the object is held.
        done(unsafe { (self.functions.pool_refresh)(self.raw, 0) })
    }

    /// Makes a volume and says where it is.
    pub(crate) fn create(&self, xml: &str) -> Called<PathBuf> {
        let xml = text::outgoing(xml)?;
        // SAFETY: the object is held, the text lives through the call.
        let volume = unsafe { (self.functions.volume_create)(self.raw, xml.as_ptr(), 0) };
        self.path_of(volume)
    }

    pub(crate) fn path(&self, volume: &str) -> Called<PathBuf> {
        let volume = self.find(volume)?;
        self.path_of(volume)
    }

    pub(crate) fn delete(&self, volume: &str) -> Called<()> {
        let volume = self.find(volume)?;
        // SAFETY: the volume was found and is freed once.
        let result = done(unsafe { (self.functions.volume_delete)(volume, 0) });
        // SAFETY: as above.
        unsafe { (self.functions.volume_free)(volume) };
        result
    }

    fn find(&self, volume: &str) -> Called<Object> {
        let volume = text::outgoing(volume)?;
        // SAFETY: the object is held, the text lives through the call.
        present(unsafe { (self.functions.volume_by_name)(self.raw, volume.as_ptr()) })
    }

    /// Takes over the volume.
    fn path_of(&self, volume: Object) -> Called<PathBuf> {
        let volume = present(volume)?;
        // SAFETY: the volume is held; the text is ours.
        let path = text::owned(unsafe { (self.functions.volume_path)(volume) });
        let path = path.ok_or_else(Failure::last);
        // SAFETY: our reference, given back once.
        unsafe { (self.functions.volume_free)(volume) };
        path.map(PathBuf::from)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // SAFETY: our reference, given back once.
        unsafe { (self.functions.pool_free)(self.raw) };
    }
}
