//! libvirt's last error as a value, and what sort of failure it is.

use std::ffi::{c_char, c_int, c_void};
use std::fmt;

use lifeboat_model::ErrorKind;
use lifeboat_platform::Error;

use super::library;
use super::text;

/// What to do when nobody answers.
const LOOK: &str = "; see whether libvirtd runs and whether the URI is right, and try again";

/// The result of one call.
pub(crate) type Called<T> = std::result::Result<T, Failure>;

/// virError.
#[repr(C)]
pub(super) struct RawError {
    code: c_int,
    domain: c_int,
    message: *mut c_char,
    level: c_int,
    connection: *mut c_void,
    object: *mut c_void,
    text1: *mut c_char,
    text2: *mut c_char,
    text3: *mut c_char,
    number1: c_int,
    number2: c_int,
    network: *mut c_void,
}

/// virErrorNumber, as far as a decision hangs on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(c_int);

impl Code {
    pub(crate) const NO_DOMAIN: Self = Self(42);
    pub(crate) const NO_BACKUP: Self = Self(104);
    pub(crate) const NO_CHECKPOINT: Self = Self(103);
    pub(crate) const BROKEN_CHECKPOINT: Self = Self(109);
}

/// A call that failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    message: String,
    /// The system's own error number, where libvirt passes one on.
    system: c_int,
}

impl Failure {
    /// The last error of this thread.
    pub(super) fn last() -> Self {
        let Ok(functions) = library::functions() else {
            return Self::local("libvirt is not loaded");
        };
        // SAFETY: gives null or the calling thread's own error, valid until its next call.
        let raw = unsafe { (functions.last_error)().as_ref() };
        match raw {
            Some(raw) => Self {
                code: Code(raw.code),
                message: text::borrowed(raw.message).unwrap_or_default(),
                system: raw.number1,
            },
            None => Self::local("libvirt gave no reason"),
        }
    }

    pub(super) fn local(message: &str) -> Self {
        Self {
            code: Code(1),
            message: message.to_owned(),
            system: 0,
        }
    }

    pub(crate) fn kind(&self) -> ErrorKind {
        kind(self.code.0, self.system)
    }

    /// The error of what was being done, with what to do next where that is known.
    pub(crate) fn of(self, doing: &'static str, object: &str) -> Error {
        let kind = self.kind();
        let advice = match (kind, self.code.0) {
            (ErrorKind::Denied, _) => {
                "; run as root, or add the user to the group libvirt and log in anew"
            }
            (ErrorKind::Unreachable, 5 | 38 | 39) => LOOK,
            _ => "",
        };
        Error::new(kind, doing, object).seen(format!("{self}{advice}"))
    }

    /// The same where nothing but the connection can have failed: a daemon that ends in the
    /// middle of a call has no error number of its own.
    pub(crate) fn of_connection(self, doing: &'static str, object: &str) -> Error {
        match self.kind() {
            ErrorKind::Io => {
                let seen = format!("{self}{LOOK}");
                Error::new(ErrorKind::Unreachable, doing, object).seen(seen)
            }
            _ => self.of(doing, object),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = self.message.chars().take(400).map(plain).collect();
        f.write_str(&shown)
    }
}

/// Source: virterror.h, virErrorNumber.
fn kind(code: c_int, system: c_int) -> ErrorKind {
    match code {
        38 => match ErrorKind::of_io(&std::io::Error::from_raw_os_error(system)) {
            // The socket that is not there.
            ErrorKind::NotFound => ErrorKind::Unreachable,
            kind => kind,
        },
        4 | 5 | 6 | 39 | 40 | 85 | 86 | 97 | 98 => ErrorKind::Unreachable,
        29 | 45 | 79 | 88 | 94 => ErrorKind::Denied,
        42 | 43 | 49 | 50 | 72 | 80 | 99 | 103 | 104 | 107 => ErrorKind::NotFound,
        28 | 37 | 90 | 106 => ErrorKind::Exists,
        3 | 26 | 67 | 74 | 84 => ErrorKind::Unsupported,
        55 | 68 | 83 | 87 => ErrorKind::Busy,
        8 | 16..=23 | 27 | 35 | 44 | 92 => ErrorKind::Invalid,
        109 => ErrorKind::Corrupt,
        _ => ErrorKind::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_of_the_socket_say_what_to_do() {
        let failure = |system| Failure {
            code: Code(38),
            message: "Failed to connect socket".into(),
            system,
        };
        let cut = failure(5).of_connection("connecting to", "qemu:///system");
        assert_eq!(cut.kind(), ErrorKind::Unreachable);
        assert!(cut.to_string().contains("libvirtd runs"), "{cut}");
        let denied = failure(13).of("connecting to", "qemu:///system");
        assert_eq!(denied.kind(), ErrorKind::Denied);
        assert!(denied.to_string().contains("group libvirt"), "{denied}");
        for absent in [2, 111] {
            let absent = failure(absent).of("connecting to", "qemu:///system");
            assert_eq!(absent.kind(), ErrorKind::Unreachable);
            assert!(absent.to_string().contains("libvirtd"), "{absent}");
        }
    }
}
