//! Texts across the border.

use std::ffi::{CStr, CString, c_char, c_void};

use super::failure::{Called, Failure};

unsafe extern "C" {
    /// The C library's own, which the standard library links.
    fn free(memory: *mut c_void);
}

/// A text for a call.
///
/// Errors: one with a NUL inside, which no name and no XML of ours has.
pub(super) fn outgoing(text: &str) -> Called<CString> {
    CString::new(text).map_err(|_| Failure::local("the text has a NUL byte"))
}

/// Copies a text that libvirt keeps.
pub(super) fn borrowed(text: *const c_char) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null; libvirt's texts end with NUL and live as long as their object, which
    // the caller holds.
    let text = unsafe { CStr::from_ptr(text) };
    Some(text.to_string_lossy().into_owned())
}

/// Takes over a text that the caller must free.
pub(super) fn owned(text: *mut c_char) -> Option<String> {
    let copy = borrowed(text)?;
    release(text.cast());
    Some(copy)
}

/// Frees memory that libvirt gave away.
pub(super) fn release(memory: *mut c_void) {
    // SAFETY: libvirt's documentation asks the caller to free it with free(3), and each caller
    // here does so once; free accepts null.
    unsafe { free(memory) };
}
