//! A checkpoint of a domain.

use super::connection::done;
use super::failure::{Called, Failure};
use super::library::{Functions, Object};
use super::text;

const XML_WITHOUT_DOMAIN: u32 = 2;
const DELETE_METADATA_ONLY: u32 = 2;

/// What of a checkpoint is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// The record and the bitmaps.
    Whole,
    /// Only libvirt's record; for bitmaps that are gone.
    Record,
}

/// A checkpoint.
pub(crate) struct Checkpoint {
    raw: Object,
    functions: &'static Functions,
}

// SAFETY: libvirt's objects are meant for use by several threads.
unsafe impl Send for Checkpoint {}

impl Checkpoint {
    pub(super) fn new(functions: &'static Functions, raw: Object) -> Self {
        Self { raw, functions }
    }

    pub(crate) fn name(&self) -> String {
        // SAFETY: the object is held; the text belongs to it.
        text::borrowed(unsafe { (self.functions.checkpoint_name)(self.raw) }).unwrap_or_default()
    }

    pub(crate) fn xml(&self) -> Called<String> {
        // SAFETY: the object is held; the text is ours.
        let text = unsafe { (self.functions.checkpoint_xml)(self.raw, XML_WITHOUT_DOMAIN) };
        text::owned(text).ok_or_else(Failure::last)
    }

    pub(crate) fn delete(&self, what: Deletion) -> Called<()> {
        let flags = match what {
            Deletion::Whole => 0,
            Deletion::Record => DELETE_METADATA_ONLY,
        };
        // SAFETY: the object is held.
        done(unsafe { (self.functions.checkpoint_delete)(self.raw, flags) })
    }
}

impl Drop for Checkpoint {
    fn drop(&mut self) {
        // SAFETY: our reference, given back once.
        unsafe { (self.functions.checkpoint_free)(self.raw) };
    }
}
